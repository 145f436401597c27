"""Workers that stand still past their lease and then go on as if nothing had happened."""

from __future__ import annotations

import asyncio
import signal
import time

import psycopg
import pytest

from tests.faults.arena import Arena
from tests.faults.work import calling

pytestmark = pytest.mark.faults


async def test_a_worker_that_wakes_up_late_can_write_nothing(arena: Arena) -> None:
    """It is stopped in the middle of its calls; the other one takes over, and makes them with the same keys."""
    async with arena.round() as one:
        agent = await one.acme.publish(calling(arena.keyed.url, 2))
        with arena.keyed.gate(after_effect=True) as gate:
            executions = await asyncio.gather(*(one.client.start(agent, {"n": n}) for n in range(8)))
            await asyncio.to_thread(gate.arrived, len(executions))
            stopped = await one.holder(executions[0])
            stopped.send_signal(signal.SIGSTOP)
            moment = time.time()
            await asyncio.to_thread(gate.arrived)
        ended = await asyncio.gather(*map(one.client.ended, executions))
        arena.measured(f"takeover after SIGSTOP, lease {arena.lease:g} s", *await one.takeovers(moment))
        assert {execution["status"] for execution in ended} == {"COMPLETED"}
        assert {execution["attempt"] for execution in ended} == {1, 2}
        assert (await one.holder(executions[0])).pid != stopped.pid

        # Now it finds the answers to its calls, and would go on.
        stopped.send_signal(signal.SIGCONT)
        await one.until_attached()
        assert [await one.acme.execution(execution["id"]) for execution in ended] == ended


async def test_a_worker_that_wakes_up_late_makes_no_call_that_was_decided_before(arena: Arena) -> None:
    """It is stopped right before an effect without a key: after its intent was sent, before that was acknowledged."""
    async with arena.round() as one:
        agent = await one.acme.publish(calling(arena.plain.url, 1, 400))
        execution = await one.client.start(agent, {"n": 1})
        stopped = await one.holder(execution)
        with psycopg.connect(arena.database_url) as lock:
            lock.execute("select from retinue_execution.executions where id = %s for update", [execution])
            await one.until("the intent waits for its row", one.ledger.waits)
            stopped.send_signal(signal.SIGSTOP)
        ended = await one.client.ended(execution)
        assert (ended["status"], ended["error"]["code"]) == ("FAILED", "EFFECT_UNKNOWN")
        stopped.send_signal(signal.SIGCONT)
        await one.until_attached()
        assert (await one.acme.execution(execution))["lastSequence"] == ended["lastSequence"]
        keys = [entry.key for row in one.ledger.rows() for entry in row.journal if entry.key]
        assert len(keys) == 1
        assert keys[0] not in {attempt.key for attempt in arena.plain.attempts}


async def test_a_pause_shorter_than_the_lease_changes_nothing(arena: Arena) -> None:
    async with arena.round() as one:
        agent = await one.acme.publish(calling(arena.plain.url, 3, 200))
        execution = await one.client.start(agent, {"n": 1})
        for _ in range(3):
            holder = await one.holder(execution)
            holder.send_signal(signal.SIGSTOP)
            holder.send_signal(signal.SIGCONT)
        ended = await one.client.ended(execution)
        assert (ended["status"], ended["attempt"]) == ("COMPLETED", 1)
