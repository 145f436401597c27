"""Crowds: submissions all at once, cancellations all at once, clients that vanish."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from tests.clients.agents import slow
from tests.clients.rest import Refused, Rest
from tests.faults.arena import Arena
from tests.faults.work import TOKENS, calling

pytestmark = pytest.mark.faults


async def test_three_hundred_submissions_at_once_all_complete_within_their_limit(arena: Arena) -> None:
    async with arena.round(CONCURRENT_EXECUTIONS=40) as one:
        agent = await one.acme.publish(calling(arena.plain.url, 1))
        started = await asyncio.gather(*(one.client.start(agent, {"n": n}) for n in range(300)))
        assert len(set(started)) == 300
        ended = await asyncio.gather(*map(one.client.ended, started))
        assert {execution["status"] for execution in ended} == {"COMPLETED"}
        assert {execution["attempt"] for execution in ended} == {1}


@pytest.mark.long
async def test_a_crowd_on_a_small_budget_never_overshoots_it(arena: Arena) -> None:
    budget = 25 * TOKENS
    async with arena.round(CONCURRENT_EXECUTIONS=10, TOKENS=budget) as one:
        agent = await one.acme.publish(calling(arena.plain.url, 1))

        async def attempt(n: int) -> str:
            try:
                # What waits for budget when there is none left waits in vain: its time ends it.
                execution = await one.acme.run(agent, {"n": n}, timeout="15s")
            except Refused as refused:
                assert refused.code == "RESOURCE_EXHAUSTED"  # noqa: PT017 - that is one of the outcomes
                return refused.code
            one.books.told[execution["id"]] = execution["status"]
            return str(execution["status"])

        outcomes = await asyncio.gather(*(attempt(n) for n in range(40)))
        assert outcomes.count("COMPLETED") <= budget // (2 * TOKENS)
        assert set(outcomes) <= {"COMPLETED", "FAILED", "RESOURCE_EXHAUSTED"}
        # The suite is asked to work again when the books are closed, which takes budget.
        await one.acme.call(
            "PUT", "/v1/quotas", {"level": "ORGANIZATION", "metric": "TOKENS", "window": "TOTAL", "limit": "100000"}
        )


async def test_a_storm_of_cancellations_leaves_nothing_behind(arena: Arena) -> None:
    async with arena.round(CONCURRENT_EXECUTIONS=30) as one:
        agent = await one.acme.publish(slow())
        started = await asyncio.gather(*(one.client.start(agent) for _ in range(60)))

        async def cancel(execution: str) -> None:
            cancelled = await one.acme.post(f"/v1/executions/{execution}/cancel")
            one.books.told[execution] = cancelled["status"]

        await asyncio.gather(*(cancel(execution) for execution in [*started, *started]))
        ended = await asyncio.gather(*map(one.client.ended, started))
        assert {execution["status"] for execution in ended} == {"CANCELLED"}


async def test_clients_that_vanish_at_any_moment_leave_nothing_running(arena: Arena) -> None:
    async with arena.round() as one:
        agent = await one.acme.publish(slow())

        async def vanish(n: int) -> None:
            async with Rest(one.acme.url, one.acme.token) as client:
                with contextlib.suppress(TimeoutError):
                    async with (
                        asyncio.timeout(n * 0.01),
                        client.events("POST", f"/v1/agents/{agent}/execute", {}) as events,
                    ):
                        async for _ in events:
                            pass

        await asyncio.gather(*(vanish(n) for n in range(1, 41)))

        async def nothing_runs() -> bool:
            listed = (await one.acme.get("/v1/executions", pageSize=1_000))["executions"]
            return all(execution["status"] == "CANCELLED" for execution in listed)

        await one.until("all are cancelled", nothing_runs)
