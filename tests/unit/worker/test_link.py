"""An execution's line when its stream breaks: what is said again on the next one, and what is not."""

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
from services.worker.outbox import Outbox

DONE = ExecutionCompleted('"x"')


def tool(name: str) -> ToolCompleted:
    return ToolCompleted(name, "1")


@pytest.fixture
async def old() -> Outbox:
    return Outbox()


@pytest.fixture
async def new() -> Outbox:
    return Outbox()


def link(outbox: Outbox) -> Link:
    return Link("e1", 3, 10, outbox, Lease(FixedClock(datetime(2026, 1, 1, tzinfo=UTC))))


async def said(outbox: Outbox) -> list[tuple[int, str]]:
    outbox.frame().heartbeat.SetInParent()
    frames = (await outbox.take()).frames
    return [
        (entry.sequence, entry.tool_completed.call_id or str(entry.WhichOneof("body")))
        for frame in frames
        for entry in frame.append.entries
    ]


async def test_what_was_not_acknowledged_is_said_again_and_nothing_else(old: Outbox, new: Outbox) -> None:
    one = link(old)
    one.append(tool("a"), tool("b"))
    one.append(tool("c"))
    await old.take()
    one.acknowledge(11)
    one.hold()
    one.append(DONE)
    one.resume(new, 12)
    assert await said(new) == [(13, "c"), (14, "execution_completed")]


async def test_an_acknowledgement_that_was_lost_is_made_up_for(old: Outbox, new: Outbox) -> None:
    one = link(old)
    sequence = one.append(tool("a"), DONE)
    waiting = asyncio.create_task(one.committed(sequence))
    await asyncio.sleep(0)
    one.hold()
    seen = [one.settled]
    one.resume(new, sequence)
    await waiting
    assert [*seen, one.settled] == [False, True]
    assert await said(new) == []


async def test_it_goes_on_where_it_was_on_the_new_stream_only(old: Outbox, new: Outbox) -> None:
    one = link(old)
    one.hold()
    one.resume(new, 10)
    one.append(tool("a"))
    one.acknowledge(11)
    one.append(tool("b"))
    assert await said(old) == []
    assert await said(new) == [(11, "a"), (12, "b")]


async def test_what_is_acknowledged_is_not_kept(old: Outbox, new: Outbox) -> None:
    one = link(old)
    for _ in range(3):
        one.acknowledge(one.append(tool("a"), tool("b")))
    one.acknowledge(12)
    one.append(tool("c"))
    one.hold()
    one.resume(new, 16)
    assert await said(new) == [(17, "c")]


async def test_a_second_break_says_it_all_again(old: Outbox, new: Outbox) -> None:
    one = link(old)
    one.append(tool("a"))
    for _ in range(2):
        one.hold()
        one.append(tool("b"))
        one.resume(new, 10)
        numbers = [number for number, _ in await said(new)]
    assert numbers == [11, 12, 13]


async def test_budget_is_asked_for_again_under_the_same_id(old: Outbox, new: Outbox) -> None:
    one = link(old)
    asked = asyncio.create_task(one.budget(Missing(5, 7)))
    first = (await old.take()).frames[0].budget_request
    one.hold()
    one.resume(new, 10)
    again = (await new.take()).frames[0].budget_request
    assert again == first
    asked.cancel()


async def test_budget_that_was_answered_is_not_asked_for_again(old: Outbox, new: Outbox) -> None:
    one = link(old)
    asked = asyncio.create_task(one.budget(Missing(5, 7)))
    request = (await old.take()).frames[0].budget_request
    one.granted(worker_pb2.BudgetGrant(request_id=request.request_id, tokens=5))
    await asked
    one.hold()
    one.resume(new, 10)
    new.frame().heartbeat.SetInParent()
    assert [frame.WhichOneof("frame") for frame in (await new.take()).frames] == ["heartbeat"]


async def test_text_that_nobody_could_hear_is_not_kept(old: Outbox, new: Outbox) -> None:
    one = link(old)
    one.hold()
    one.say(1, Delta(text="a"))
    one.append(DONE)
    one.resume(new, 10)
    assert [frame.WhichOneof("frame") for frame in (await new.take()).frames] == ["append"]


async def test_what_is_let_go_without_a_stream_is_forgotten(old: Outbox, new: Outbox) -> None:
    one = link(old)
    one.append(DONE)
    one.hold()
    one.revoke()
    one.release("late")
    one.resume(new, 10)
    assert await said(new) == []
