"""Workers that die, that are told to leave, and what becomes of what they held."""

from __future__ import annotations

import asyncio
import signal
import time
from functools import partial

import psutil
import psycopg
import pytest

from tests.faults.arena import Arena
from tests.faults.work import calling

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("after_effect", [True, False], ids=["after the effect", "before the effect"])
async def test_a_keyed_call_is_made_again_by_the_next_worker_and_takes_effect_once(
    arena: Arena, after_effect: bool
) -> None:
    async with arena.round() as one:
        agent = await one.acme.publish(calling(arena.keyed.url, 2))
        with arena.keyed.gate(after_effect=after_effect) as gate:
            execution = await one.client.start(agent, {"n": 1})
            await asyncio.to_thread(gate.arrived)
            killed = arena.signal("worker", signal.SIGKILL)
            await asyncio.to_thread(gate.arrived)  # the next worker makes the call again
        ended = await one.client.ended(execution)
        assert ended["status"] == "COMPLETED"
        assert ended["attempt"] > 1
        arena.measured("takeover after kill -9 of all workers", *await one.takeovers(killed))


async def test_a_call_without_a_key_is_never_repeated(arena: Arena) -> None:
    async with arena.round() as one:
        agent = await one.acme.publish(calling(arena.plain.url, 2))
        with arena.plain.gate(after_effect=True) as gate:
            execution = await one.client.start(agent, {"n": 1})
            await asyncio.to_thread(gate.arrived)
            arena.signal("worker", signal.SIGKILL)
            ended = await one.client.ended(execution)
        assert (ended["status"], ended["error"]["code"]) == ("FAILED", "EFFECT_UNKNOWN")
        steps = (await one.acme.get(f"/v1/executions/{execution}/steps"))["steps"]
        assert [step["status"] for step in steps] == ["COMPLETED", "UNKNOWN"]


async def test_a_step_that_was_not_acknowledged_is_not_lost_and_not_made_twice(arena: Arena) -> None:
    """The worker dies between its result and the acknowledgement, while the row it writes to is locked."""
    async with arena.round() as one:
        agent = await one.acme.publish(calling(arena.keyed.url, 2))
        with arena.keyed.gate(after_effect=True) as gate:
            execution = await one.client.start(agent, {"n": 1})
            await asyncio.to_thread(gate.arrived)
            with psycopg.connect(arena.database_url) as lock:
                lock.execute("select from retinue_execution.executions where id = %s for update", [execution])
                arena.keyed.release()
                await one.until("the result waits for its row", one.ledger.waits)
                arena.signal("worker", signal.SIGKILL)
        ended = await one.client.ended(execution)
        assert ended["status"] == "COMPLETED"
        assert ended["attempt"] > 1
        first = [attempt for attempt in arena.keyed.attempts if attempt.path == "/0/1"]
    repeated = [attempt.key for attempt in first if attempt.key == first[-1].key]
    assert len(repeated) == 1, "the step was recorded, so its call must not be made again"


async def test_what_a_killed_worker_held_goes_on_with_the_other(arena: Arena) -> None:
    async with arena.round() as one:
        agent = await one.acme.publish(calling(arena.keyed.url, 3))
        with arena.keyed.gate(after_effect=False) as gate:
            executions = await asyncio.gather(*(one.client.start(agent, {"n": n}) for n in range(24)))
            await asyncio.to_thread(gate.arrived, len(executions))
            killed = arena.signal("worker", signal.SIGKILL, most=1)
        ended = await asyncio.gather(*map(one.client.ended, executions))
        assert {execution["status"] for execution in ended} == {"COMPLETED"}
        assert {execution["attempt"] for execution in ended} == {1, 2}
        arena.measured("takeover after kill -9 of one of two workers", *await one.takeovers(killed))


async def test_a_worker_that_is_told_to_leave_hands_over_and_nothing_runs_twice(arena: Arena) -> None:
    """All are in the middle of a call that must not be repeated: the leaving worker waits for the answers."""
    async with arena.round() as one:
        agent = await one.acme.publish(calling(arena.plain.url, 3, 200))
        leaving = arena.running("worker")[0]
        with arena.plain.gate(after_effect=True) as gate:
            executions = await asyncio.gather(*(one.client.start(agent, {"n": n}) for n in range(24)))
            await asyncio.to_thread(gate.arrived, len(executions))
            leaving.send_signal(signal.SIGTERM)
        ended = await asyncio.gather(*map(one.client.ended, executions))
        assert {execution["status"] for execution in ended} == {"COMPLETED"}
        assert {execution["attempt"] for execution in ended} == {1, 2}
        assert not psutil.wait_procs([leaving], 60)[1]


def another(arena: Arena, before: set[str]) -> bool:
    return bool(arena.sessions() - before)


@pytest.mark.long
async def test_workers_that_die_all_the_time_lose_nothing(arena: Arena) -> None:
    async with arena.round(CONCURRENT_EXECUTIONS=30, TOKENS=10**6) as one:
        agent = await one.acme.publish(calling(arena.keyed.url, 4, 100))
        executions: list[str] = []
        for n in range(6):
            with arena.keyed.gate(after_effect=n % 2 == 0) as gate:
                executions += await asyncio.gather(*(one.client.start(agent, {"n": k}) for k in range(8)))
                await asyncio.to_thread(gate.arrived, 8)
                before, killed = arena.sessions(), arena.signal("worker", signal.SIGKILL, most=1)
            await one.until("another one is attached", partial(another, arena, before))
            await one.until_attached()
            arena.measured("kill -9 of a worker, again and again: until another is attached", time.time() - killed)
        ended = await asyncio.gather(*map(one.client.ended, executions))
        assert {execution["status"] for execution in ended} == {"COMPLETED"}
