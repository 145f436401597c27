"""The plan of an organisation is asked for once, refreshed behind the scenes, and never waited for twice."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import cast

from retinue_core.clock import FixedClock
from retinue_core.errors import unavailable
from services.quota.plans import REFRESH_SECONDS, RETRY_SECONDS, Plans
from services.quota.store import Store


class Kept:
    """A store that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def learn(self, organization_id: str, plan: str) -> None:
        self.told.append(f"{organization_id} is on {plan}")

    async def meet(self, organization_id: str, plan: str) -> None:
        self.told.append(f"{organization_id} may be on {plan}")


class Source:
    """An access room that answers, or not, when it is let."""

    def __init__(self, plan: str) -> None:
        self.answer = plan
        self.asked = 0
        self.open = asyncio.Event()
        self.open.set()

    async def plan(self, organization_id: str) -> str:
        self.asked += 1
        await self.open.wait()
        if not self.answer:
            raise unavailable("Access is away.")
        return self.answer


def build(plan: str) -> tuple[Plans, Kept, Source, FixedClock]:
    kept, source, clock = Kept(), Source(plan), FixedClock(datetime(2026, 11, 20, tzinfo=UTC))
    return Plans(cast("Store", kept), source, clock), kept, source, clock


async def test_callers_at_once_share_one_question() -> None:
    plans, kept, source, _ = build("local")
    await asyncio.gather(*(plans.ensure(["o"]) for _ in range(5)))
    await plans.ensure(["o"])
    assert (source.asked, kept.told) == (1, ["o is on local"])


async def test_a_refresh_holds_nobody_up() -> None:
    plans, kept, source, clock = build("local")
    await plans.ensure(["o"])
    clock.advance(REFRESH_SECONDS)
    source.answer = "standard"
    source.open.clear()
    await plans.ensure(["o"])
    assert kept.told == ["o is on local"]
    source.open.set()
    await plans._learn("o")
    assert kept.told == ["o is on local", "o is on standard"]


async def test_without_an_answer_the_default_holds_until_the_next_try() -> None:
    plans, kept, source, clock = build("")
    await plans.ensure(["o"])
    await plans.ensure(["o"])
    assert (source.asked, kept.told) == (1, ["o may be on standard"])
    source.answer = "local"
    clock.advance(RETRY_SECONDS)
    await plans._learn("o")
    assert kept.told[-1] == "o is on local"


async def test_a_caller_that_goes_away_does_not_stop_the_question() -> None:
    plans, kept, source, _ = build("local")
    source.open.clear()
    impatient = asyncio.create_task(plans.ensure(["o"]))
    patient = asyncio.create_task(plans.ensure(["o"]))
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.gather(impatient, return_exceptions=True)
    source.open.set()
    await patient
    assert kept.told == ["o is on local"]


async def test_a_plan_that_has_no_limits_here_counts_as_the_default() -> None:
    plans, kept, _, _ = build("gold")
    await plans.ensure(["o"])
    assert kept.told == ["o is on standard"]
