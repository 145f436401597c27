"""Spent + reserved <= limit at every instant (I4): by a model of the rules, by many callers at once, and the checker
is shown to notice when the mechanism is off.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retinue.quota.v1.quota_pb2 import Grant
from retinue_core.identity import Identity
from services.quota.recovery import sweep
from tests.integration.quota.room import EXECUTION, OVERSHOT, Quotas, bill_for, boss, run_of

GRANTED = Grant.Outcome.Value("GRANTED")
METRICS = ("CONCURRENT_EXECUTIONS", "TOKENS", "COST_MICROS")


@dataclass
class Model:
    """The rules of reserving for one organisation, in the simplest words."""

    limits: dict[tuple[str, str], int]
    held: dict[str, tuple[str, tuple[int, int, int]]] = field(default_factory=dict)
    spent: dict[tuple[str, str], int] = field(default_factory=dict)

    def left(self, level: str, user: str, metric: str) -> int | None:
        limit = self.limits.get((level, metric))
        if limit is None:
            return None
        mine = [held for owner, held in self.held.values() if level == "ORGANIZATION" or owner == user]
        reserved = sum(held[METRICS.index(metric)] for held in mine)
        return limit - reserved - self.spent_by(level, user, metric)

    def spent_by(self, level: str, user: str, metric: str) -> int:
        return sum(
            amount
            for (owner, what), amount in self.spent.items()
            if what == metric and (level == "ORGANIZATION" or owner == user)
        )

    def reserve(self, run: str, user: str, tokens: int, cost: int) -> tuple[str, int, int]:
        give = [1, tokens, cost]
        unlimited = [True, True, True]
        verdict = "GRANTED"
        for number in (1, 2, 0):
            for level in ("ORGANIZATION", "USER"):
                left = self.left(level, user, METRICS[number])
                if left is None:
                    continue
                unlimited[number] = False
                spent = (
                    number > 0 and self.spent_by(level, user, METRICS[number]) >= self.limits[level, METRICS[number]]
                )
                if (spent or (left <= 0 and give[number] > 0)) and verdict == "GRANTED":
                    verdict = "EXHAUSTED" if number else "BUSY"
                give[number] = max(min(give[number], left), 0)
        if verdict != "GRANTED":
            return verdict, 0, 0
        self.held[run] = user, (give[0], give[1], give[2])
        return verdict, -1 if unlimited[1] else give[1], -1 if unlimited[2] else give[2]

    def settle(self, run: str, tokens: int, cost: int) -> None:
        user, _ = self.held.pop(run)
        for metric, amount in (("TOKENS", tokens), ("COST_MICROS", cost)):
            self.spent[user, metric] = self.spent.get((user, metric), 0) + amount


limits = st.dictionaries(
    st.tuples(st.sampled_from(["ORGANIZATION", "USER"]), st.sampled_from(METRICS)), st.integers(0, 40), max_size=5
)
wanted = st.tuples(st.integers(0, 1), st.integers(0, 15), st.integers(0, 15))
steps = st.lists(st.tuples(st.lists(wanted, max_size=6), st.floats(0, 1)), min_size=1, max_size=6)


@given(limits=limits, steps=steps, randomness=st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_batches_are_answered_as_the_rules_say_one_after_the_other(
    quotas: Quotas,
    limits: dict[tuple[str, str], int],
    steps: list[tuple[list[tuple[int, int, int]], float]],
    randomness: random.Random,
) -> None:
    users = (who := boss()), boss(who.organization_id)
    model = Model(limits | {("USER", "CONCURRENT_EXECUTIONS"): limits.get(("USER", METRICS[0]), 10)})
    for (level, metric), limit in limits.items():
        await quotas.limit(who, limit, metric, level=level)
    for batch, share in steps:
        runs = [run_of(users[user], tokens=tokens, cost_micros=cost) for user, tokens, cost in batch]
        expected = [model.reserve(run["id"], run["user_id"], run["tokens"], run["cost_micros"]) for run in runs]
        grants = await quotas.reserve(*runs)
        assert [(Grant.Outcome.Name(grant.outcome), grant.tokens, grant.cost_micros) for grant in grants] == expected
        ending = [run for run in model.held if randomness.random() < share]
        bills = []
        for run in ending:
            _, (_, tokens, cost) = model.held[run]
            bills.append((run, randomness.randint(0, tokens), randomness.randint(0, cost)))
        for run, tokens, cost in bills:
            model.settle(run, tokens, cost)
        home = {"organization_id": who.organization_id}
        await quotas.settle(
            *(bill_for(home | {"id": run}, input_tokens=tokens, cost_micros=cost) for run, tokens, cost in bills)
        )
        await quotas.check_books(who)


async def test_many_at_once_never_overshoot_deadlock_or_leak(quotas: Quotas) -> None:
    homes = [boss() for _ in range(3)]
    for who in homes:
        await quotas.limit(who, 3_000, "TOKENS")
        await quotas.limit(who, 500, "TOKENS", level="USER")
        await quotas.limit(who, 6, "CONCURRENT_EXECUTIONS")
    people = [(who, user) for who in homes for user in (who.subject, "u1", "u2")]
    done = asyncio.Event()

    async def watch() -> int:
        looks = 0
        while not done.is_set():
            for who in homes:
                assert await quotas.query(who, OVERSHOT) == []
            looks += 1
        return looks

    watching = asyncio.create_task(watch())
    granted = await asyncio.gather(*(_work(quotas, people, random.Random(seed)) for seed in range(12)))
    done.set()
    assert await watching > 0
    assert sum(granted) > 0
    for who in homes:
        await quotas.check_books(who)
        # What was forgotten on purpose is all that is still held, and the sweep gives it back.
        await quotas.query(who, "update reservations set expires_at = now()")
    await sweep(quotas.store)
    for who in homes:
        rows = await quotas.query(who, "select 1 from counters where running <> 0 or reserved_tokens <> 0")
        assert rows == []
        await quotas.check_books(who)


async def _work(quotas: Quotas, people: list[tuple[Identity, str]], chance: random.Random) -> int:
    """Reserve, extend and settle batches of several organisations in any order; returns how much was granted."""
    granted = 0
    for _ in range(12):
        batch = [
            run_of(who, user_id=user, agent_id=chance.choice("ab"), tokens=chance.randint(1, 200))
            for who, user in chance.choices(people, k=chance.randint(1, 8))
        ]
        held = {}
        for run, grant in zip(batch, await quotas.reserve(*batch), strict=True):
            if grant.outcome == GRANTED:
                held[run["id"]] = run, grant.tokens
                granted += 1
        more: list[dict[str, Any]] = [
            {"reservation_id": run["id"], "organization_id": run["organization_id"], "id": "more", "tokens": 20}
            for run, _ in held.values()
        ]
        for extension, grant in zip(more, await quotas.extend(*more), strict=True):
            run, tokens = held[extension["reservation_id"]]
            held[run["id"]] = run, tokens + grant.tokens
        bills = [bill_for(run, input_tokens=chance.randint(0, tokens)) for run, tokens in held.values()]
        chance.shuffle(bills)
        kept = chance.randint(0, len(bills)) if chance.random() < 0.1 else len(bills)
        await asyncio.gather(quotas.settle(*bills[:kept]), quotas.settle(*bills[:kept][::-1]))
    return granted


@pytest.mark.parametrize("mechanism", [True, False])
async def test_the_checker_notices_when_the_lock_is_off(quotas: Quotas, postgres_url: str, mechanism: bool) -> None:
    who, rival = (who := boss()), "rival"
    await quotas.limit(who, 100)
    first, second = run_of(who, tokens=100), run_of(who, tokens=100, user_id=rival)
    await quotas.store.meet(who.organization_id, "standard")
    async with await psycopg.AsyncConnection.connect(
        postgres_url, options="-c search_path=retinue_quota", autocommit=True
    ) as owner:
        cursor = await owner.execute("select pg_get_functiondef('lock_organizations'::regproc)")
        [[definition]] = await cursor.fetchall()
        try:
            if not mechanism:
                await owner.execute(_NO_LOCK)
            await _race(quotas, owner, first, second)
        finally:
            await owner.execute(definition)
    assert bool(await quotas.query(who, OVERSHOT)) is not mechanism


_NO_LOCK = "create or replace function lock_organizations(ids uuid[]) returns void language plpgsql as 'begin end'"


async def _race(
    quotas: Quotas, owner: psycopg.AsyncConnection[Any], first: dict[str, Any], second: dict[str, Any]
) -> None:
    """Let the second reservation come while the first is not committed yet."""
    async with quotas.database.system() as connection:
        columns = {"execution_id": "", "project_id": "", "team_ids": [], "cost_micros": 0, "credits": 0}
        await connection.execute("select * from reserve(%s)", [psycopg.types.json.Json([first | columns])])
        answer = asyncio.create_task(quotas.call(EXECUTION, "Reserve", reservations=[second]))
        waiting = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%reserve(%'"
        async with asyncio.timeout(20):
            while not await (await owner.execute(waiting)).fetchall():
                assert not answer.done()
    await answer
