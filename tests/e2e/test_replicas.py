"""Two replicas of the execution service over one database: nothing is run or booked twice, nothing is forgotten."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from retinue_core.ports import LOOPBACK, free_ports
from retinue_core.testing.suite import Suite
from tests.clients.agents import adder
from tests.clients.people import people_of
from tests.clients.rest import PATIENCE, Rest

COUNT = 60


@contextmanager
def replica(suite: Suite, room: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run one more process of a room, told what the first one is told but for some variables."""
    [first] = suite.processes(room)
    process = subprocess.Popen([sys.executable, "-m", f"services.{room}"], env=first.environ() | environment)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


async def used(acme: Rest) -> dict[str, int]:
    """What quota has booked for the organisation."""
    total = (await acme.get("/v1/usage"))["total"]
    return {name: int(total[name]) for name in ("executions", "inputTokens", "outputTokens", "steps", "toolCalls")}


@pytest.mark.faults
async def test_what_two_replicas_dispatch_is_booked_once_and_in_full(start_suite: Callable[..., Suite]) -> None:
    suite = start_suite(RETINUE_WORKER_SLOTS="2")
    address = f"{LOOPBACK}:{free_ports(1)[0]}"
    async with people_of(suite.url, suite.token) as people:
        acme = await people.founder()
        agent = await acme.publish(adder())
        with (
            replica(suite, "execution", RETINUE_EXECUTION_ADDR=address),
            replica(suite, "worker", RETINUE_EXECUTION_ADDR=address, RETINUE_WORKER_NAME="second"),
        ):
            started = await asyncio.gather(*(acme.start(agent, {"a": n, "b": 1}) for n in range(COUNT)))
            ended = [await acme.until(one["id"]) for one in started]
        assert {one["status"] for one in ended} == {"COMPLETED"}
        expected = {"executions": COUNT, "steps": 2 * COUNT, "toolCalls": COUNT} | {
            name: sum(one["usage"][name] for one in ended) for name in ("inputTokens", "outputTokens")
        }
        async with asyncio.timeout(PATIENCE):
            while await used(acme) != expected:
                await asyncio.sleep(0.2)
