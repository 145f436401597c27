"""The life of a worker's stream: leases, revocations, breaks, and leaving."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from retinue.execution.v1 import journal_pb2, worker_pb2
from retinue_core.clock import SystemClock
from retinue_core.ports import free_ports
from tests.fakes.web import Reply
from tests.fakes.worker_service import agent_spec, fake_execution
from tests.integration.worker.conftest import Bench, Start

SLOW = agent_spec([{"content": [{"text": "slow"}], "delayMs": 60_000}])
QUICK = agent_spec([[{"text": "done"}]])
Entry = journal_pb2.JournalEntry


def call(bench: Bench, path: str, method: str = "GET") -> dict[str, Any]:
    return {"toolUse": {"name": "http", "input": {"url": bench.web.url(path), "method": method}}}


async def test_a_revoked_execution_stops_and_says_nothing_more(bench: Bench) -> None:
    gone = bench.web.hang("/slow")
    execution_id = await bench.execution.assign(agent_spec([[call(bench, "/slow")], [{"text": "never"}]]))
    await bench.web.arrived.wait()
    said = len(bench.execution.journals[execution_id])
    bench.execution.revoke(execution_id)
    await asyncio.wait_for(gone.wait(), 30)
    other = await bench.execution.assign(QUICK)
    await bench.execution.ended(other)
    assert len(bench.execution.journals[execution_id]) == said


async def test_an_execution_can_come_back_to_the_worker_that_lost_it(bench: Bench) -> None:
    execution_id = await bench.execution.assign(SLOW)
    bench.execution.revoke(execution_id, "paused")
    bench.execution.fences[execution_id] -= 1
    await bench.execution.assign(QUICK, execution_id=execution_id)
    last = await bench.execution.ended(execution_id)
    assert last.execution_completed.output_json == '"done"'


async def test_a_stale_fence_writes_nothing_and_stops(bench: Bench) -> None:
    spec = agent_spec([{"content": [{"text": "late"}], "delayMs": 100}])
    execution_id = await bench.execution.assign(spec)
    bench.execution.fences[execution_id] += 1
    await bench.execution.until(lambda: "append" in bench.execution.stream.kinds())
    await bench.execution.ended(await bench.execution.assign(QUICK))
    assert bench.execution.journals[execution_id] == []


async def test_a_worker_that_lost_its_stream_comes_back_and_names_its_session(start: Start) -> None:
    async with start(clock=SystemClock()) as bench:
        execution_id = await bench.execution.assign(SLOW)
        first = bench.execution.stream
        first.end()
        await bench.execution.until(lambda: len(bench.execution.streams) == 2 and bench.execution.stream.session_id)
        assert bench.execution.stream.frames[0].hello.previous_session_id == first.session_id
        bench.execution.fences[execution_id] += 1
        await bench.execution.assign(QUICK, execution_id=execution_id)
        last = await bench.execution.ended(execution_id)
        assert last.sequence == len(bench.execution.journals[execution_id])


async def test_a_worker_waits_for_the_service_and_for_its_return(identity_key: Callable[[str], Path]) -> None:
    async with _process(identity_key("worker")) as (port, process):
        for _ in range(2):
            async with fake_execution(port=port) as (execution, _port):
                last = await execution.ended(await execution.assign(QUICK))
                assert last.HasField("execution_completed")
        assert process.returncode is None


async def test_leases_are_renewed_from_when_a_heartbeat_was_sent(start: Start) -> None:
    async with start(lease_ms=300, clock=SystemClock()) as bench:
        bench.web.routes["/pay"] = lambda _: Reply(body=b"ok")
        execution_id = await bench.execution.assign(agent_spec([{"content": [{"text": "x"}], "delayMs": 1000}]))
        await bench.execution.ended(execution_id)
        beats = [frame for frame in bench.execution.stream.frames if frame.HasField("heartbeat")]
        assert len(beats) >= 3
        assert len(bench.execution.streams) == 1


async def test_nobody_answering_is_a_broken_stream(start: Start) -> None:
    async with start(lease_ms=150, clock=SystemClock()) as bench:
        bench.execution.alive = False
        await bench.execution.until(lambda: len(bench.execution.streams) >= 2)
        assert bench.execution.stream is not bench.execution.streams[0]


async def test_past_its_lease_a_worker_starts_no_change(start: Start) -> None:
    async with start(lease_ms=600) as bench:
        bench.web.routes["/pay"] = lambda _: Reply(body=b"ok")
        bench.execution.acks = bench.execution.alive = False
        spec = agent_spec([[call(bench, "/pay", "POST")], [{"text": "done"}]])
        execution_id = await bench.execution.assign(spec, remaining_ms=10_000_000)
        await bench.execution.until(lambda: bench.execution.last(execution_id, "tool_dispatched"))
        bench.clock.advance(1.0)  # as if the process had been stopped
        bench.execution.acks = True
        bench.execution.acknowledge(execution_id)
        await bench.execution.ended(await bench.execution.assign(QUICK, remaining_ms=10_000_000))
        assert bench.web.seen == []
        bench.execution.alive = True
        assert (await bench.execution.ended(execution_id)).HasField("execution_completed")
        assert bench.execution.kinds(execution_id)[2:4] == ["log_recorded", "tool_completed"]
        assert len(bench.web.seen) == 1


async def test_past_its_lease_a_worker_that_was_replaced_never_starts_its_change(start: Start) -> None:
    async with start(lease_ms=600) as bench:
        bench.execution.acks = bench.execution.alive = False
        spec = agent_spec([[call(bench, "/pay", "POST")], [{"text": "done"}]])
        execution_id = await bench.execution.assign(spec, remaining_ms=10_000_000)
        await bench.execution.until(lambda: bench.execution.last(execution_id, "tool_dispatched"))
        bench.clock.advance(1.0)
        bench.execution.acknowledge(execution_id)
        bench.execution.fences[execution_id] += 1  # another worker has it by now
        bench.execution.acks = bench.execution.alive = True
        kinds = bench.execution.stream.kinds
        await bench.execution.until(lambda: kinds().count("append") == 2)
        await bench.execution.ended(await bench.execution.assign(QUICK, remaining_ms=10_000_000))
        assert bench.web.seen == []


async def test_an_execution_that_is_wanted_back_is_released_at_its_next_step(bench: Bench) -> None:
    gone = bench.web.hang("/never")
    turn = {"content": [{"text": "thinking aloud"}, call(bench, "/never")], "delayMs": 300}
    wanted = await bench.execution.assign(agent_spec([turn, [{"text": "never here"}]]))
    await bench.execution.until(lambda: "delta" in bench.execution.stream.kinds())
    hand_back = worker_pb2.HandBack(execution_id=wanted, fence=bench.execution.fences[wanted], reason="pause")
    bench.execution.stream.send(hand_back=hand_back)
    await bench.execution.until(lambda: "release" in bench.execution.stream.kinds())
    assert bench.execution.kinds(wanted) == ["model_completed"]
    assert not gone.is_set()
    assert (await bench.execution.ended(await bench.execution.assign(QUICK))).HasField("execution_completed")


async def test_leaving_hands_over_at_the_step_boundary(bench: Bench) -> None:
    bench.web.routes["/quick"] = lambda _: Reply(body=b"ok")
    turn = {"content": [{**call(bench, "/quick")}], "delayMs": 300}
    execution_id = await bench.execution.assign(agent_spec([turn, [{"text": "never here"}]]))
    await bench.execution.ended(await bench.execution.assign(QUICK))
    bench.worker.leave()
    await asyncio.wait_for(bench.task, 30)
    stream = bench.execution.stream
    await bench.execution.until(lambda: "release" in stream.kinds())
    assert bench.execution.kinds(execution_id) == ["model_completed"]
    release = next(frame.release for frame in stream.frames if frame.HasField("release"))
    assert (release.execution_id, release.reason) == (execution_id, "draining")
    assert stream.kinds().index("draining") < stream.kinds().index("release")


async def test_leaving_cuts_short_what_takes_too_long(start: Start) -> None:
    async with start(grace=0.5, clock=SystemClock()) as bench:
        gone = bench.web.hang("/slow")
        execution_id = await bench.execution.assign(agent_spec([[call(bench, "/slow")], []]))
        await bench.web.arrived.wait()
        bench.worker.leave()
        await asyncio.wait_for(bench.task, 30)
        await bench.execution.until(lambda: "release" in bench.execution.stream.kinds())
        assert bench.execution.kinds(execution_id) == ["model_completed", "tool_dispatched"]
        await asyncio.wait_for(gone.wait(), 30)


async def test_work_that_comes_while_leaving_goes_back(bench: Bench) -> None:
    first = await bench.execution.assign(agent_spec([{"content": [{"text": "x"}], "delayMs": 400}]))
    await bench.execution.ended(await bench.execution.assign(QUICK))
    bench.worker.leave()
    await bench.execution.until(lambda: "draining" in bench.execution.stream.kinds())
    late = await bench.execution.assign(QUICK)
    await asyncio.wait_for(bench.task, 30)
    released = [frame.release.execution_id for frame in bench.execution.stream.frames if frame.HasField("release")]
    assert released == [late]
    assert bench.execution.kinds(first) == ["model_completed", "execution_completed"]


async def test_the_process_ends_by_itself_when_told_to(identity_key: Callable[[str], Path]) -> None:
    async with fake_execution() as (execution, port), _process(identity_key("worker"), port) as (_, process):
        last = await execution.ended(await execution.assign(QUICK))
        assert last.HasField("execution_completed")
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 0
        assert execution.stream.kinds()[-1] == "draining"


@pytest.mark.faults
async def test_a_process_that_was_stopped_past_its_lease_changes_nothing(
    start: Start, identity_key: Callable[[str], Path]
) -> None:
    async with fake_execution(600) as (execution, port), start() as bench:
        bench.web.routes["/pay"] = lambda _: Reply(body=b"ok")
        allowed = {"RETINUE_EGRESS_ALLOW": f"127.0.0.1:{bench.web.port}"}
        async with _process(identity_key("worker"), port, **allowed) as (_, process):
            execution.acks = False
            execution_id = await execution.assign(agent_spec([[call(bench, "/pay", "POST")], []]))
            await execution.until(lambda: execution.last(execution_id, "tool_dispatched"))
            process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(1.0)  # longer than its lease
            execution.acknowledge(execution_id)
            execution.fences[execution_id] += 1
            execution.acks = True
            process.send_signal(signal.SIGCONT)
            await execution.ended(await execution.assign(QUICK))
            assert bench.web.seen == []
            assert execution.kinds(execution_id) == ["model_completed", "tool_dispatched"]


class _Process:
    """`python -m services.worker` as a child of this test."""

    def __init__(self, key: Path, port: int, environment: dict[str, str]) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RETINUE_", "ANTHROPIC_"))}
        self._environment = kept | environment
        self._environment |= {
            "RETINUE_EXECUTION_ADDR": f"127.0.0.1:{port}",
            "RETINUE_ACCESS_ADDR": "127.0.0.1:1",
            "RETINUE_IDENTITY_KEY": str(key),
            "RETINUE_IDENTITY_JWKS": str(key.parent / "jwks.json"),
        }
        self._port = port
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> tuple[int, asyncio.subprocess.Process]:
        command = (sys.executable, "-m", "services.worker")
        self._process = await asyncio.create_subprocess_exec(*command, env=self._environment)
        return self._port, self._process

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


def _process(key: Path, port: int = 0, **environment: str) -> _Process:
    if not port:
        port = free_ports(1)[0]
    return _Process(key, port, environment)
