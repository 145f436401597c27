"""An execution service that dies or leaves, and executions that do not notice."""

from __future__ import annotations

import asyncio
import signal
from functools import partial
from typing import Any

import psutil
import psycopg
import pytest

from tests.clients.agents import say, scripted
from tests.faults.arena import Arena, Round
from tests.faults.work import USAGE, calling

pytestmark = pytest.mark.faults

SLOW = scripted(say("slow", delayMs=6_000, usage=USAGE), tools=[])


async def restarted(arena: Arena, one: Round, number: signal.Signals) -> psutil.Process:
    """Send a signal to the execution service, and wait until that process is gone."""
    [process] = arena.running("execution")
    process.send_signal(number)
    await one.until("the process has ended", lambda: process not in arena.running("execution"))
    return process


def unharmed(execution: dict[str, Any]) -> bool:
    return (execution["status"], execution["attempt"]) == ("COMPLETED", 1)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "told to leave"])
@pytest.mark.parametrize("meanwhile", [True, False], ids=["answered meanwhile", "answered later"])
async def test_what_is_under_way_goes_on_while_the_execution_service_is_away(
    arena: Arena, number: signal.Signals, meanwhile: bool
) -> None:
    """A call that must not be repeated, and a model call, end on the worker that began them."""
    async with arena.round() as one:
        caller = await one.acme.publish(calling(arena.plain.url, 2))
        thinker = await one.acme.publish(SLOW)
        with arena.plain.gate(after_effect=True) as gate:
            thinking = [await one.client.start(thinker, {}) for _ in range(4)]
            called = await one.client.start(caller, {"n": 1})
            await asyncio.to_thread(gate.arrived)
            followed = [asyncio.create_task(one.client.watch(execution)) for execution in (called, *thinking)]
            seen = len(arena.plain.attempts)
            process = await restarted(arena, one, number)
            if not meanwhile:
                await one.until("another one serves", lambda: _another(arena, process))
                await one.until_attached()
            assert not [entry for row in one.ledger.rows() for entry in row.journal if "recovered" in entry.kind]
        ended = await asyncio.gather(*map(one.client.ended, [called, *thinking]))
        assert all(map(unharmed, ended)), ended
        await asyncio.gather(*followed)
        assert len(arena.plain.attempts) == seen + 1, "a call was made again"


def streams(arena: Arena) -> list[int]:
    """Which stream each session is on."""
    with psycopg.connect(arena.database_url) as connection:
        query = b"select epoch from retinue_execution.sessions order by id"
        return [int(row[0]) for row in connection.execute(query).fetchall()]


def back(arena: Arena, expected: list[int]) -> bool:
    return streams(arena) == expected


def _another(arena: Arena, process: psutil.Process) -> bool:
    return any(found != process for found in arena.running("execution"))


@pytest.mark.long
async def test_much_is_under_way_while_the_execution_service_is_killed(arena: Arena) -> None:
    """Calls that must not be repeated and the appends of many executions, at every moment of a crash."""
    async with arena.round() as one:
        agent = await one.acme.publish(calling(arena.plain.url, 8, 1_500))
        executions = [await one.client.start(agent, {"n": n}) for n in range(40)]
        await one.until_running(len(executions))
        for number in (signal.SIGKILL, signal.SIGTERM):
            expected = [epoch + 1 for epoch in streams(arena)]
            await restarted(arena, one, number)
            await one.until("all workers are back", partial(back, arena, expected))
        ended = await asyncio.gather(*map(one.client.ended, executions))
        assert all(map(unharmed, ended)), [execution for execution in ended if not unharmed(execution)]
