"""Which worker an execution is given to, and which gets nothing."""

from __future__ import annotations

import asyncio

from retinue.execution.v1 import worker_pb2
from services.execution.matching import Attachment, Matcher
from tests.unit.execution.test_domain import execution


def attached(matcher: Matcher, name: str, slots: int = 2, pool: str = "default") -> Attachment:
    attachment = Attachment(name, f"worker-{name}", pool, slots)
    matcher.add(attachment)
    return attachment


def give(matcher: Matcher, attachment: Attachment) -> None:
    matcher.assign(attachment, execution(), worker_pb2.Assignment(execution_id="e"))


def test_the_worker_with_most_room_in_the_pool_is_taken() -> None:
    matcher = Matcher()
    small, large = attached(matcher, "s", 1), attached(matcher, "l", 3)
    attached(matcher, "other", 9, pool="gpu")
    taken = [matcher.take("default") for _ in range(4)]
    assert taken[0] is large
    assert small.promised == 1
    assert large.promised == 3
    assert matcher.take("default") is None
    matcher.give_up(large)
    assert matcher.take("default") is large


async def test_an_assignment_keeps_its_promise_and_is_sent() -> None:
    matcher = Matcher()
    attachment = attached(matcher, "a", 1)
    assert matcher.take("default") is attachment
    give(matcher, attachment)
    assert (attachment.promised, attachment.free) == (0, 0)
    assert [frame.WhichOneof("frame") for frame in await attachment.sent()] == ["assignment"]
    matcher.let_go(attachment, "e")
    assert attachment.free == 1


def test_a_worker_that_leaves_or_is_silent_gets_nothing_more() -> None:
    matcher = Matcher()
    attachment = attached(matcher, "a")
    attachment.silent_for = 2
    assert matcher.take("default") is attachment
    attachment.silent_for = 3
    assert matcher.take("default") is None
    attachment.silent_for = 0
    attachment.draining = True
    assert matcher.take("default") is None


async def test_the_stream_of_a_session_that_is_over_ends_and_holds_nothing() -> None:
    matcher = Matcher()
    attachment = attached(matcher, "a")
    matcher.take("default")
    give(matcher, attachment)
    matcher.drop("a")
    matcher.drop("nobody")
    assert matcher.take("default") is None
    assert not matcher.revoke("e", "cancelled")
    assert len(await attachment.sent()) == 1, "what was said before is still sent"
    assert await attachment.sent() == []


async def test_whoever_holds_an_execution_is_told_to_stop_or_to_hand_it_back() -> None:
    matcher = Matcher()
    attachment = attached(matcher, "a")
    matcher.take("default")
    give(matcher, attachment)
    assert matcher.want_back("e", "pause")
    assert matcher.revoke("e", "cancelled")
    assert not matcher.want_back("e", "pause")
    frames = [frame.WhichOneof("frame") for frame in await attachment.sent()]
    assert frames == ["assignment", "hand_back", "revoked"]
    assert attachment.held == {}


async def test_the_next_stream_of_a_session_replaces_the_one_before_and_holds_what_it_kept() -> None:
    matcher = Matcher()
    before = attached(matcher, "a", 2)
    matcher.take("default")
    give(matcher, before)
    after = Attachment("a", "worker-a", "default", 2, 2, held=dict(before.held))
    matcher.add(after)
    assert before.closed
    matcher.remove(before)
    matcher.let_go(before, "e")
    assert matcher.free("default") == 1
    assert matcher.revoke("e", "cancelled"), "what an old stream says of itself changed the new one"
    assert [frame.WhichOneof("frame") for frame in await after.sent()] == ["revoked"]


async def test_what_was_on_its_way_to_a_stream_that_ended_is_stranded() -> None:
    matcher = Matcher()
    before = attached(matcher, "a")
    matcher.take("default")
    attached(matcher, "a")
    give(matcher, before)
    assert not matcher.want_back("e", "pause")
    assert [one.id for one in matcher.stranded()] == ["e"]
    assert matcher.stranded() == []


async def test_a_drain_waits_for_what_is_on_its_way() -> None:
    matcher = Matcher()
    attachment = attached(matcher, "a")
    await matcher.promises_kept()
    matcher.take("default")
    matcher.take("default")
    waiting = asyncio.create_task(matcher.promises_kept())
    give(matcher, attachment)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiting.done()
    matcher.give_up(attachment)
    await waiting
