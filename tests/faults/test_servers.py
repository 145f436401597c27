"""PostgreSQL and NATS that die while executions run and clients watch."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import signal
import time

import psutil
import psycopg
import pytest

from tests.clients.agents import say, scripted
from tests.clients.rest import Refused
from tests.faults.arena import Arena, Round
from tests.faults.clients import Passing
from tests.faults.work import calling

pytestmark = pytest.mark.faults


async def quick(one: Round) -> str:
    return await one.acme.publish(scripted(say("Hi.")))


async def test_an_outage_of_postgresql_loses_nothing(arena: Arena) -> None:
    """It is ended at once, as `pg_ctl stop -m immediate` does; the supervisor starts it again."""
    async with arena.round(CONCURRENT_EXECUTIONS=50) as one:
        agent, probe = await one.acme.publish(calling(arena.keyed.url, 3, 300)), await quick(one)
        executions = [await one.client.start(agent, {"n": n}) for n in range(12)]
        watching = [asyncio.create_task(one.client.watch(execution)) for execution in executions]
        await one.until_running(len(executions))
        killed = arena.signal("postgres", signal.SIGQUIT)
        during = [one.client.start(agent, {"n": n}) for n in range(12, 24)]
        assert (await one.client.run(probe))["status"] == "COMPLETED"
        arena.measured("PostgreSQL ended: until a new execution completed", time.time() - killed)
        executions += await asyncio.gather(*during)
        ended = await asyncio.gather(*map(one.client.ended, executions))
        assert {execution["status"] for execution in ended} == {"COMPLETED"}
        await asyncio.gather(*watching)


@pytest.mark.long
async def test_postgresql_that_ends_every_few_seconds_loses_nothing(arena: Arena) -> None:
    async with arena.round(CONCURRENT_EXECUTIONS=20) as one:
        agent, probe = await one.acme.publish(calling(arena.keyed.url, 6, 500)), await quick(one)
        executions = [await one.client.start(agent, {"n": n}) for n in range(30)]
        watching = [asyncio.create_task(one.client.watch(execution)) for execution in executions]
        for _ in range(6):
            killed = arena.signal("postgres", signal.SIGQUIT)
            assert (await one.client.run(probe))["status"] == "COMPLETED"
            arena.measured("PostgreSQL ended: until a new execution completed", time.time() - killed)
        # Once more while it recovers.
        arena.signal("postgres", signal.SIGKILL)
        await one.until("it is started again", lambda: bool(arena.running("postgres")))
        arena.signal("postgres", signal.SIGQUIT)
        ended = await asyncio.gather(*map(one.client.ended, executions))
        assert {execution["status"] for execution in ended} == {"COMPLETED"}
        await asyncio.gather(*watching)


@pytest.mark.parametrize("known", [False, pytest.param(True, marks=pytest.mark.long)], ids=["new agent", "known agent"])
async def test_without_postgresql_the_suite_says_so_and_recovers(arena: Arena, known: bool) -> None:
    async with arena.round() as one:
        agent = await quick(one)
        if known:
            assert (await one.client.run(agent))["status"] == "COMPLETED"
        with arena.without_postgres():
            await one.until("it is not ready", lambda: unavailable(one, "/readyz"))
            assert await one.acme.get("/healthz") == {"status": "alive"}
            with pytest.raises(Refused) as refused:
                await one.acme.start(agent)
            assert (refused.value.status, refused.value.code) == (503, "DATABASE_UNAVAILABLE")
            assert refused.value.actions
            assert refused.value.headers["retry-after"]
            assert "postgres" not in str(refused.value.error).lower()
        await one.until("it is ready", lambda: ready(one))
        assert (await one.client.run(agent))["status"] == "COMPLETED"


async def unavailable(one: Round, path: str) -> bool:
    return (await one.acme.http.get(path)).status_code == 503


async def ready(one: Round) -> bool:
    return (await one.acme.http.get("/readyz")).status_code == 200


async def test_a_client_that_watches_sees_no_gap_when_nats_dies_and_forgets(arena: Arena) -> None:
    """Its store is taken away before it is killed, so that the next one knows no stream."""
    async with arena.round() as one:
        agent = await one.acme.publish(calling(arena.keyed.url, 6, 300))
        executions = [await one.client.start(agent, {"n": n}) for n in range(6)]
        told: list[float] = []
        watching = [
            asyncio.create_task(one.client.watch(execution, lambda _: told.append(time.time())))
            for execution in executions
        ]
        await one.until("events arrive", lambda: len(told) > 12)
        shutil.rmtree(arena.suite.home / "nats" / "jetstream")
        killed = arena.signal("nats-server", signal.SIGKILL)
        late = asyncio.create_task(one.client.watch(executions[0]))
        await asyncio.gather(*watching, late)
        ended = await asyncio.gather(*map(one.client.ended, executions))
        assert {execution["status"] for execution in ended} == {"COMPLETED"}
        assert {execution["attempt"] for execution in ended} == {1}
        arena.measured("NATS killed: longest silence of six streams", longest(told, killed))


def longest(told: list[float], since: float) -> float:
    """The longest time between two events after a moment."""
    after = [since, *sorted(moment for moment in told if moment > since)]
    return max((later - earlier for earlier, later in itertools.pairwise(after)), default=0.0)


@pytest.mark.long
async def test_the_execution_service_dies_under_load_and_everything_completes(arena: Arena) -> None:
    async with arena.round(CONCURRENT_EXECUTIONS=50) as one:
        agent, probe = await one.acme.publish(calling(arena.keyed.url, 6, 500)), await quick(one)
        executions = [await one.client.start(agent, {"n": n}) for n in range(12)]
        watching = [asyncio.create_task(one.client.watch(execution)) for execution in executions]
        for begin in (12, 20, 28):
            starting = [one.client.start(agent, {"n": n}) for n in range(begin, begin + 8)]
            killed = arena.signal("execution", signal.SIGKILL)
            assert (await one.client.run(probe))["status"] == "COMPLETED"
            arena.measured("execution killed -9: until a new execution completed", time.time() - killed)
            executions += await asyncio.gather(*starting)
        ended = await asyncio.gather(*map(one.client.ended, executions))
        assert {execution["status"] for execution in ended} == {"COMPLETED"}
        await asyncio.gather(*watching)


@pytest.mark.long
@pytest.mark.parametrize("room", ["gateway", "quota", "version", "access", "agent"])
async def test_any_other_service_dies_under_load_and_everything_completes(arena: Arena, room: str) -> None:
    async with arena.round(CONCURRENT_EXECUTIONS=50) as one:
        agent = await one.acme.publish(calling(arena.keyed.url, 3, 200))
        executions = [await one.client.start(agent, {"n": n}) for n in range(8)]
        watching = [asyncio.create_task(one.client.watch(execution)) for execution in executions]
        killed = arena.signal(room, signal.SIGKILL)
        executions += await asyncio.gather(*(one.client.start(agent, {"n": n}) for n in range(8, 24)))
        arena.measured(f"{room} killed -9: until 16 new executions were accepted", time.time() - killed)
        ended = await asyncio.gather(*map(one.client.ended, executions))
        assert {execution["status"] for execution in ended} == {"COMPLETED"}
        await asyncio.gather(*watching)


async def test_what_was_never_told_is_told_later(arena: Arena) -> None:
    """While NATS is away commits stay in the outbox, which `close` waits to be empty."""
    async with arena.round() as one:
        probe = await quick(one)
        supervisor = psutil.Process(arena.suite.pid)
        supervisor.send_signal(signal.SIGSTOP)
        try:
            arena.signal("nats-server", signal.SIGKILL)
            for _ in range(5):
                assert (await one.client.run(probe))["status"] == "COMPLETED"
            assert untold(arena) > 0
        except Passing as error:
            pytest.fail(f"without NATS the suite must go on: {error}")
        finally:
            supervisor.send_signal(signal.SIGCONT)


def untold(arena: Arena) -> int:
    with psycopg.connect(arena.database_url) as connection:
        return int(connection.execute(b"select count(*) from retinue_execution.outbox").fetchall()[0][0])
