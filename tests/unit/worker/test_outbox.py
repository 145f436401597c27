"""What a worker says leaves in order, together, and not at all once an execution is taken away."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from retinue.execution.v1 import worker_pb2
from retinue_core.clock import FixedClock
from services.worker.budget import Missing
from services.worker.core.entries import ExecutionCompleted, ToolCompleted
from services.worker.lease import Lease
from services.worker.link import Link
from services.worker.models.contract import Delta
from services.worker.outbox import Outbox, Request

DONE = ExecutionCompleted('"x"')


@pytest.fixture
async def outbox() -> Outbox:
    return Outbox()


def link(outbox: Outbox, execution_id: str = "e1", fence: int = 1) -> Link:
    return Link(execution_id, fence, 10, outbox, Lease(FixedClock(datetime(2026, 1, 1, tzinfo=UTC))))


def kinds(request: Request) -> list[str]:
    return [str(frame.WhichOneof("frame")) for frame in request.frames]


async def test_entries_of_one_execution_share_a_frame_and_are_numbered(outbox: Outbox) -> None:
    one, other = link(outbox), link(outbox, "e2")
    assert one.append(ToolCompleted("c", "1")) == 11
    other.append(DONE)
    assert one.append(ToolCompleted("d", "2"), DONE) == 13
    request = await outbox.take()
    assert kinds(request) == ["append", "append"]
    assert [entry.sequence for entry in request.frames[0].append.entries] == [11, 12, 13]


async def test_text_stays_before_the_entries_that_follow_it(outbox: Outbox) -> None:
    one = link(outbox)
    one.say(1, Delta(text="a"))
    one.say(1, Delta(text="b", thinking="c"))
    one.append(DONE)
    one.say(2, Delta(text="d"))
    one.append(DONE)
    request = await outbox.take()
    assert kinds(request) == ["delta", "append", "delta", "append"]
    first = request.frames[0].delta
    assert (first.text, first.thinking, first.step) == ("ab", "c", 1)
    assert request.frames[2].delta.step == 2


async def test_later_pieces_of_text_are_gathered(outbox: Outbox) -> None:
    one = link(outbox)
    one.say(1, Delta(text="a"))
    assert kinds(await outbox.take()) == ["delta"]
    for piece in "bcdef":
        one.say(1, Delta(text=piece))
    request = await asyncio.wait_for(outbox.take(), 30)
    assert [frame.delta.text for frame in request.frames] == ["bcdef"]


async def test_what_was_taken_is_not_added_to(outbox: Outbox) -> None:
    one = link(outbox)
    one.append(DONE)
    first = await outbox.take()
    one.append(DONE)
    assert len(first.frames[0].append.entries) == 1
    assert len((await outbox.take()).frames[0].append.entries) == 1


async def test_messages_stay_within_what_grpc_carries(outbox: Outbox) -> None:
    one = link(outbox)
    for _ in range(9):
        one.append(ToolCompleted("c", "x" * 1_000_000))
    outbox.frame().heartbeat.SetInParent()
    sizes, sequences = [], []
    for _ in range(5):
        request = await outbox.take()
        sizes.append(request.ByteSize())
        sequences += [entry.sequence for frame in request.frames for entry in frame.append.entries]
    assert max(sizes) < 4_000_000
    assert sequences == list(range(11, 20))


async def test_many_frames_make_several_messages(outbox: Outbox) -> None:
    for index in range(1200):
        link(outbox, f"e{index}").append(DONE)
    assert [len((await outbox.take()).frames) for _ in range(3)] == [500, 500, 200]


async def test_a_revoked_execution_says_nothing_more_and_takes_back_the_rest(outbox: Outbox) -> None:
    one, other = link(outbox), link(outbox, "e2")
    one.say(1, Delta(text="a"))
    one.append(DONE)
    other.append(DONE)
    one.revoke()
    one.append(DONE)
    one.say(2, Delta(text="b"))
    one.release("late")
    request = await outbox.take()
    assert [frame.append.execution_id for frame in request.frames] == ["e2"]


async def test_a_newer_assignment_of_the_same_execution_is_not_taken_back(outbox: Outbox) -> None:
    old, new = link(outbox), link(outbox, fence=2)
    old.append(DONE)
    new.append(DONE)
    old.revoke()
    request = await outbox.take()
    assert [frame.append.fence for frame in request.frames] == [2]


async def test_commits_are_waited_for_by_number(outbox: Outbox) -> None:
    one = link(outbox)
    one.append(DONE, DONE)
    early, late = asyncio.create_task(one.committed(11)), asyncio.create_task(one.committed(12))
    await asyncio.sleep(0)
    one.acknowledge(11)
    await early
    seen = [late.done(), one.settled]
    one.acknowledge(12)
    await late
    await one.committed(5)
    assert [*seen, one.settled] == [False, False, True]


async def test_budget_is_answered_by_request(outbox: Outbox) -> None:
    one = link(outbox)
    asked = asyncio.create_task(one.budget(Missing(5, 7)))
    request = (await outbox.take()).frames[0].budget_request
    assert (request.tokens, request.cost_micros, request.execution_id) == (5, 7, "e1")
    one.granted(worker_pb2.BudgetGrant(request_id="another"))
    one.granted(worker_pb2.BudgetGrant(request_id=request.request_id, tokens=5))
    assert (await asked).tokens == 5


async def test_a_closed_outbox_swallows_what_is_said(outbox: Outbox) -> None:
    link(outbox).append(DONE)
    closing = asyncio.create_task(outbox.close())
    await outbox.take()
    again = asyncio.create_task(outbox.take())
    await closing
    link(outbox).append(DONE)
    await asyncio.sleep(0)
    assert not again.done()
    again.cancel()
