"""A worker whose stream breaks: what it holds goes on, and is spoken of on the next stream as if nothing had been."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from retinue.execution.v1 import worker_pb2, worker_service_pb2_grpc
from retinue_core.clock import SystemClock
from services.worker.attach import _send
from services.worker.outbox import Outbox
from tests.fakes.web import Reply, Seen
from tests.fakes.worker_service import Stream, agent_spec, fake_execution
from tests.integration.worker.conftest import Bench, Start

SLOW = agent_spec([{"content": [{"text": "slow"}], "delayMs": 60_000}])
LATER = agent_spec([{"content": [{"text": "later"}], "delayMs": 1_000}])
QUICK = agent_spec([[{"text": "done"}]])


def paying(bench: Bench) -> Any:
    use = {"toolUse": {"name": "http", "input": {"url": bench.web.url("/pay"), "method": "POST"}}}
    return agent_spec([[use], [{"text": "paid"}]])


class Till:
    """A till at `/pay` that answers only when it is told to."""

    def __init__(self, bench: Bench) -> None:
        self._opened = asyncio.Event()
        self.seen = bench.web.seen
        self.arrived = bench.web.arrived
        bench.web.raw["/pay"] = self._pay

    def open(self) -> None:
        self._opened.set()

    async def _pay(self, _: Seen, writer: asyncio.StreamWriter) -> None:
        await self._opened.wait()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


async def again(bench: Bench, streams: int = 2) -> Stream:
    """Wait until the worker is welcomed on another stream."""
    execution = bench.execution
    await execution.until(lambda: len(execution.streams) >= streams and execution.stream.session_id)
    return execution.stream


def held(stream: Stream) -> list[tuple[str, int]]:
    return [(one.execution_id, one.fence) for one in stream.frames[0].hello.held]


async def test_what_is_under_way_ends_on_the_next_stream_and_is_made_once(bench: Bench) -> None:
    till = Till(bench)
    paid = await bench.execution.assign(paying(bench))
    thought = await bench.execution.assign(LATER)
    await till.arrived.wait()
    first = bench.execution.stream
    first.end()
    second = await again(bench)
    till.open()
    assert (await bench.execution.ended(paid)).HasField("execution_completed")
    assert (await bench.execution.ended(thought)).HasField("execution_completed")
    assert second.session_id == first.session_id
    assert sorted(held(second)) == sorted([(paid, 1), (thought, 1)])
    assert len(till.seen) == 1
    assert bench.execution.kinds(paid) == [
        "model_completed",
        "tool_dispatched",
        "tool_completed",
        "model_completed",
        "execution_completed",
    ]


async def test_what_was_said_into_a_broken_stream_is_said_again_from_where_the_journal_ends(bench: Bench) -> None:
    """The service loses what it read last, as one that crashes before its commit does."""
    execution = bench.execution
    execution.acks = False
    till = Till(bench)
    lost = await execution.assign(paying(bench))
    await execution.until(lambda: execution.last(lost, "tool_dispatched"))
    del execution.journals[lost][1:]
    execution.acks = True
    execution.stream.end()
    await again(bench)
    till.open()
    assert (await execution.ended(lost)).HasField("execution_completed")
    appended = [frame.append for frame in execution.stream.frames if frame.HasField("append")]
    assert [entry.sequence for append in appended for entry in append.entries] == [2, 3, 4, 5]


async def test_an_end_that_was_committed_unheard_is_not_said_again(bench: Bench) -> None:
    execution = bench.execution
    execution.acks = False
    ended = await execution.assign(QUICK)
    await execution.ended(ended)
    execution.acks = True
    execution.stream.end()
    second = await again(bench)
    assert held(second) == [(ended, 1)]
    await execution.ended(await execution.assign(QUICK))
    assert len(execution.journals[ended]) == 2
    execution.stream.end()
    assert held(await again(bench, 3)) == []


async def test_what_is_not_kept_stops_and_says_nothing_more(bench: Bench) -> None:
    gone = bench.web.hang("/pay")
    taken = await bench.execution.assign(paying(bench))
    kept = await bench.execution.assign(LATER)
    await bench.web.arrived.wait()
    said = len(bench.execution.journals[taken])
    bench.execution.fences[taken] += 1
    bench.execution.stream.end()
    await asyncio.wait_for(gone.wait(), 30)
    assert (await bench.execution.ended(kept)).HasField("execution_completed")
    assert len(bench.execution.journals[taken]) == said


async def test_a_service_that_does_not_know_the_session_keeps_nothing(bench: Bench) -> None:
    bench.execution.adopts = False
    gone = bench.web.hang("/pay")
    await bench.execution.assign(paying(bench))
    await bench.web.arrived.wait()
    first = bench.execution.stream
    first.end()
    second = await again(bench)
    assert second.session_id != first.session_id
    await asyncio.wait_for(gone.wait(), 30)
    assert (await bench.execution.ended(await bench.execution.assign(QUICK))).HasField("execution_completed")


async def test_goodbye_makes_the_worker_leave_that_stream_and_attach_again(bench: Bench) -> None:
    waiting = await bench.execution.assign(LATER)
    first = bench.execution.stream
    first.send(goodbye=worker_pb2.Goodbye())
    second = await again(bench)
    assert second is not first
    assert (await bench.execution.ended(waiting)).HasField("execution_completed")
    assert "append" not in first.kinds()


async def test_writing_to_a_stream_that_has_just_ended_is_a_broken_stream() -> None:
    async with fake_execution() as (execution, port), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = worker_service_pb2_grpc.WorkerServiceStub(channel).Attach()
        attaching = asyncio.create_task(_send(outbox := Outbox(), call))
        outbox.frame().hello.SetInParent()
        await execution.until(lambda: execution.streams and execution.stream.session_id)
        execution.stream.end()
        async for _ in call:
            pass
        outbox.frame().heartbeat.SetInParent()
        with pytest.raises(OSError, match="has ended"):
            await attaching


async def test_budget_is_asked_for_again_under_the_same_id(bench: Bench) -> None:
    asking = await bench.execution.assign(QUICK, budget_tokens=0)
    await bench.execution.until(lambda: "budget_request" in bench.execution.stream.kinds())
    first = bench.execution.stream

    def grant(request: worker_pb2.BudgetRequest) -> worker_pb2.BudgetGrant:
        return worker_pb2.BudgetGrant(
            execution_id=request.execution_id, request_id=request.request_id, tokens=request.tokens
        )

    bench.execution.on_budget = grant
    first.end()
    assert (await bench.execution.ended(asking)).HasField("execution_completed")
    requests = [
        frame.budget_request
        for stream in (first, bench.execution.stream)
        for frame in stream.frames
        if frame.HasField("budget_request")
    ]
    assert len(requests) == 2
    assert requests[0] == requests[1]


async def test_no_change_is_begun_without_a_stream(start: Start) -> None:
    """Its intent is committed and the stream breaks: the lease counts as over until there is another stream."""
    async with start(clock=SystemClock()) as bench:
        execution = bench.execution
        bench.web.routes["/pay"] = lambda _: Reply(body=b"ok")
        execution.acks = False
        paid = await execution.assign(paying(bench))
        execution.welcomes = False
        await execution.until(lambda: execution.last(paid, "tool_dispatched"))
        execution.stream.end()
        await execution.until(lambda: len(execution.streams) == 2 and execution.stream.frames)
        assert not bench.worker._lease.held
        assert bench.web.seen == []
        execution.acks = True
        execution.welcome(execution.stream)
        assert (await execution.ended(paid)).HasField("execution_completed")
        assert len(bench.web.seen) == 1


async def test_a_worker_that_stays_alone_lets_everything_go(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.worker.attach.ALONE", 0.1)
    async with start(lease_ms=300, clock=SystemClock()) as bench:
        gone = bench.web.hang("/pay")
        lost = await bench.execution.assign(paying(bench))
        await bench.web.arrived.wait()
        bench.execution.welcomes = False
        bench.execution.stream.end()
        await asyncio.wait_for(gone.wait(), 30)
        await bench.execution.until(lambda: len(bench.execution.streams) == 2)
        bench.execution.welcomes = True
        bench.execution.stream.end()
        third = await again(bench, 3)
        assert held(third) == []
        assert bench.execution.kinds(lost) == ["model_completed", "tool_dispatched"]


async def test_what_was_let_go_while_hello_was_on_its_way_is_given_back(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.worker.attach.ALONE", 0.1)
    async with start(lease_ms=300, clock=SystemClock()) as bench:
        gone = bench.web.hang("/pay")
        lost = await bench.execution.assign(paying(bench))
        await bench.web.arrived.wait()
        bench.execution.welcomes = False
        bench.execution.stream.end()
        await asyncio.wait_for(gone.wait(), 30)
        bench.execution.welcome(bench.execution.stream)
        await bench.execution.until(lambda: "release" in bench.execution.stream.kinds())
        release = next(frame.release for frame in bench.execution.stream.frames if frame.HasField("release"))
        assert (release.execution_id, release.fence) == (lost, 1)


async def test_a_worker_that_leaves_hands_over_on_the_next_stream(bench: Bench) -> None:
    bench.web.routes["/pay"] = lambda _: Reply(body=b"ok")
    turn = {"content": [{"toolUse": {"name": "http", "input": {"url": bench.web.url("/pay")}}}], "delayMs": 1_000}
    leaving = await bench.execution.assign(agent_spec([turn, [{"text": "never here"}]]))
    await bench.execution.ended(await bench.execution.assign(QUICK))
    bench.worker.leave()
    await bench.execution.until(lambda: "draining" in bench.execution.stream.kinds())
    bench.execution.stream.send(goodbye=worker_pb2.Goodbye())
    second = await again(bench)
    await asyncio.wait_for(bench.task, 30)
    await bench.execution.until(lambda: "release" in second.kinds())
    assert bench.execution.kinds(leaving) == ["model_completed"]
