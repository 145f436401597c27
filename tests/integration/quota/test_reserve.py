"""Reservations are granted in full, in part or not at all, whatever is asked again or all at once."""

from __future__ import annotations

from typing import Any

import pytest

from retinue.quota.v1.quota_pb2 import Grant, Quota
from retinue_core.errors import RetinueError, unavailable
from retinue_core.identity import Identity
from services.quota.plans import RETRY_SECONDS
from tests.integration.access.room import Access
from tests.integration.quota.room import Quotas, bill_for, boss, run_of

GRANTED, BUSY, EXHAUSTED, NOT_HELD = (
    Grant.Outcome.Value(name) for name in ("GRANTED", "BUSY", "EXHAUSTED", "NOT_HELD")
)


def outcomes(grants: list[Grant]) -> list[int]:
    return [grant.outcome for grant in grants]


async def test_without_a_limit_everything_is_granted_and_counted_all_the_same(quotas: Quotas) -> None:
    who = boss()
    [grant] = await quotas.reserve(run_of(who, tokens=500, cost_micros=70, credits=3))
    assert (grant.outcome, grant.tokens, grant.cost_micros, grant.credits) == (GRANTED, -1, -1, -1)
    limit = await quotas.limit(who, 1_000)
    assert (limit.used, limit.reserved) == (0, 500)


async def test_a_grant_is_what_is_wanted_as_long_as_that_is_left_and_then_what_is_left(quotas: Quotas) -> None:
    who = boss()
    await quotas.limit(who, 1_000)
    grants = await quotas.reserve(*(run_of(who, tokens=400) for _ in range(4)))
    assert [(grant.outcome, grant.tokens) for grant in grants] == [
        (GRANTED, 400),
        (GRANTED, 400),
        (GRANTED, 200),
        (EXHAUSTED, 0),
    ]
    stood = grants[3].limit
    assert (stood.level, stood.metric, stood.window) == (Quota.ORGANIZATION, Quota.TOKENS, Quota.TOTAL)
    assert (stood.limit, stood.used, stood.reserved) == (1_000, 0, 0)
    [later] = await quotas.reserve(run_of(who, tokens=1))
    assert (later.outcome, later.limit.reserved, later.limit.source) == (EXHAUSTED, 1_000, "organization")
    await quotas.check_books(who)


async def test_a_reservation_that_is_refused_holds_nothing_of_any_metric(quotas: Quotas) -> None:
    who = boss()
    await quotas.limit(who, 100, "TOKENS")
    await quotas.limit(who, 0, "COST_MICROS")
    [refused] = await quotas.reserve(run_of(who, tokens=100, cost_micros=1))
    assert (refused.outcome, refused.limit.metric) == (EXHAUSTED, Quota.COST_MICROS)
    await quotas.limit(who, 1, "COST_MICROS")
    [granted] = await quotas.reserve(run_of(who, tokens=100))
    assert (granted.outcome, granted.tokens, granted.cost_micros) == (GRANTED, 100, 0)


async def test_a_budget_that_is_spent_stops_those_too_who_want_none_of_it(quotas: Quotas) -> None:
    who = boss()
    await quotas.limit(who, 10, "COST_MICROS")
    spent = run_of(who, cost_micros=10)
    [_, beside] = await quotas.reserve(spent, run_of(who))
    assert (beside.outcome, beside.cost_micros) == (GRANTED, 0)
    await quotas.settle(bill_for(spent, cost_micros=10))
    assert outcomes(await quotas.reserve(run_of(who))) == [EXHAUSTED]


async def test_a_budget_of_zero_stops_everybody(quotas: Quotas) -> None:
    who = boss()
    await quotas.limit(who, 0)
    assert outcomes(await quotas.reserve(run_of(who))) == [EXHAUSTED]


async def test_too_many_at_the_same_time_are_busy_until_one_ends(quotas: Quotas) -> None:
    who = boss()
    await quotas.limit(who, 2, "CONCURRENT_EXECUTIONS")
    first, *others = (run_of(who) for _ in range(3))
    grants = await quotas.reserve(first, *others)
    assert outcomes(grants) == [GRANTED, GRANTED, BUSY]
    assert (grants[2].limit.metric, grants[2].limit.window) == (Quota.CONCURRENT_EXECUTIONS, 0)
    await quotas.settle(bill_for(first))
    assert outcomes(await quotas.reserve(others[1])) == [GRANTED]


@pytest.mark.parametrize(("plan", "most"), [("standard", 10), ("local", 1_000)])
async def test_the_plan_of_the_organisation_limits_each_user(
    quotas: Quotas, access: Access, plan: str, most: int
) -> None:
    home = (await access.organization(plan=plan)).id
    ada, grace = boss(home), boss(home)
    many = [run_of(ada) for _ in range(most)]
    for start in range(0, most, 500):
        assert set(outcomes(await quotas.reserve(*many[start : start + 500]))) == {GRANTED}
    [refused, granted] = await quotas.reserve(run_of(ada), run_of(grace))
    assert (refused.outcome, refused.limit.limit, refused.limit.source) == (BUSY, most, "plan")
    assert granted.outcome == GRANTED


async def test_an_organisation_that_access_does_not_know_is_on_the_standard_plan(quotas: Quotas) -> None:
    who = boss()
    grants = await quotas.reserve(*(run_of(who) for _ in range(11)))
    assert outcomes(grants) == [GRANTED] * 10 + [BUSY]


async def test_a_plan_is_learnt_when_access_answers_again(
    quotas: Quotas, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = boss((await access.organization(plan="local")).id)

    async def down(organization_id: str) -> str:
        raise unavailable("Access is away.")

    with monkeypatch.context() as patch:
        patch.setattr(quotas.plans._source, "plan", down)
        assert outcomes(await quotas.reserve(*(run_of(who) for _ in range(11)))) == [GRANTED] * 10 + [BUSY]
    quotas.clock.advance(RETRY_SECONDS)
    await quotas.plans.ensure([who.organization_id])
    await quotas.plans._learn(who.organization_id)
    assert outcomes(await quotas.reserve(run_of(who))) == [GRANTED]


async def test_a_limit_of_ones_own_goes_before_that_of_each_and_that_before_the_plan(quotas: Quotas) -> None:
    admin, ada, grace = (who := boss()), boss(who.organization_id), boss(who.organization_id)
    await quotas.limit(admin, 1, "CONCURRENT_EXECUTIONS", level="USER")
    await quotas.limit(admin, 12, "CONCURRENT_EXECUTIONS", level="USER", subject_id=ada.subject)
    assert outcomes(await quotas.reserve(*(run_of(ada) for _ in range(13)))) == [GRANTED] * 12 + [BUSY]
    assert outcomes(await quotas.reserve(run_of(grace), run_of(grace))) == [GRANTED, BUSY]


async def test_the_tightest_of_all_levels_decides(quotas: Quotas) -> None:
    who, agent, team = boss(), str(boss().subject), str(boss().subject)
    for level, subject, limit in (("ORGANIZATION", "", 90), ("TEAM", team, 50), ("USER", "", 70), ("AGENT", agent, 60)):
        await quotas.limit(who, limit, level=level, subject_id=subject)
    wanted: dict[str, Any] = {"tokens": 100, "agent_id": agent, "team_ids": [team, str(boss().subject)]}
    [grant] = await quotas.reserve(run_of(who, **wanted))
    assert grant.tokens == 50
    [refused] = await quotas.reserve(run_of(who, **wanted))
    assert (refused.outcome, refused.limit.level, refused.limit.subject_id) == (EXHAUSTED, Quota.TEAM, team)
    [without] = await quotas.reserve(run_of(who, tokens=100))
    assert without.tokens == 20
    await quotas.check_books(who)


async def test_every_window_limits_by_itself(quotas: Quotas) -> None:
    who = boss()
    for window, limit in (("MINUTE", 10), ("DAY", 20), ("MONTH", 30), ("TOTAL", 40)):
        await quotas.limit(who, limit, window=window)
    for window in ("minute", "day", "month", "month"):
        wanted = run_of(who, tokens=100)
        [grant] = await quotas.reserve(wanted)
        assert grant.tokens == 10
        await quotas.settle(bill_for(wanted, input_tokens=10))
        # Time goes on to the next of these windows, and so of the shorter ones.
        for shorter in ("minute", "day", "month"):
            await quotas.query(who, f"update counters set {shorter} = {shorter} - interval '40 days'")
            if shorter == window:
                break
    assert outcomes(await quotas.reserve(run_of(who, tokens=1))) == [EXHAUSTED]


async def test_reserving_again_changes_nothing(quotas: Quotas) -> None:
    who, wanted = (who := boss()), run_of(who, tokens=600, cost_micros=5)
    await quotas.limit(who, 1_000)
    first, again, twice = (await quotas.reserve(wanted, wanted))[0], *await quotas.reserve(wanted, wanted)
    assert first == again == twice
    assert (first.tokens, first.cost_micros) == (600, -1)
    [limit] = [found for found in await quotas.store.quotas(who.organization_id) if found.metric == "TOKENS"]
    assert limit.reserved == 600


async def test_a_late_repeat_after_the_settlement_gets_the_same_grant_and_holds_nothing(quotas: Quotas) -> None:
    who, wanted = (who := boss()), run_of(who, tokens=600)
    await quotas.limit(who, 1_000)
    first = await quotas.reserve(wanted)
    await quotas.settle(bill_for(wanted, input_tokens=1))
    assert await quotas.reserve(wanted) == first
    assert await quotas.query(who, "select 1 from reservations") == []
    await quotas.check_books(who)


async def test_the_same_id_in_two_organisations_is_two_reservations(quotas: Quotas) -> None:
    one, other = run_of(boss()), run_of(boss())
    await quotas.reserve(one, other | {"id": one["id"]})
    rows = "select organization_id from reservations where id = %s"
    assert len(await quotas.database.statement("*", rows, [one["id"]])) == 2


async def test_an_extension_adds_what_is_left(quotas: Quotas) -> None:
    who, wanted = (who := boss()), run_of(who, tokens=600)
    await quotas.limit(who, 1_000)
    await quotas.limit(who, 1, "CONCURRENT_EXECUTIONS")
    await quotas.reserve(wanted)
    more = {"reservation_id": wanted["id"], "organization_id": who.organization_id, "id": "call-2", "tokens": 300}
    last, none = more | {"id": "call-3"}, more | {"id": "call-4"}
    grants = await quotas.extend(more, more, last, none)
    assert [(grant.outcome, grant.tokens) for grant in grants] == [
        (GRANTED, 300),
        (GRANTED, 300),
        (GRANTED, 100),
        (EXHAUSTED, 0),
    ]
    assert [grant.tokens for grant in await quotas.extend(last, more)] == [100, 300]
    assert await quotas.settle(bill_for(wanted, input_tokens=1_000)) == []
    assert await quotas.query(who, "select 1 from extensions") == []
    await quotas.check_books(who)


@pytest.mark.parametrize("what", ["never made", "settled", "expired"])
async def test_nothing_is_added_to_what_is_not_held(quotas: Quotas, what: str) -> None:
    who, wanted = (who := boss()), run_of(who)
    if what != "never made":
        await quotas.reserve(wanted)
    if what == "settled":
        await quotas.settle(bill_for(wanted))
    if what == "expired":
        await quotas.query(who, "update reservations set expires_at = now()")
        await quotas.store.expire(who.organization_id, 10)
    more = {"reservation_id": wanted["id"], "organization_id": who.organization_id, "id": "call-2", "tokens": 300}
    assert outcomes(await quotas.extend(more)) == [NOT_HELD]
    await quotas.check_books(who)


async def test_one_organisation_cannot_spend_what_is_left_of_another(quotas: Quotas) -> None:
    poor, rich = boss(), boss()
    await quotas.limit(poor, 0)
    await quotas.limit(rich, 1_000)
    grants = await quotas.reserve(run_of(poor, tokens=1), run_of(rich, tokens=1_000), run_of(rich, tokens=1))
    assert outcomes(grants) == [EXHAUSTED, GRANTED, EXHAUSTED]


async def test_an_empty_batch_is_answered(quotas: Quotas) -> None:
    assert (await quotas.reserve(), await quotas.extend(), await quotas.settle()) == ([], [], [])


async def test_a_batch_of_thousand_is_answered_in_order(quotas: Quotas) -> None:
    homes = [boss() for _ in range(5)]
    many = [run_of(homes[number % 5]) for number in range(1_000)]
    grants = await quotas.reserve(*many)
    assert [grant.reservation_id for grant in grants] == [one["id"] for one in many]
    assert outcomes(grants) == [GRANTED] * 50 + [BUSY] * 950
    with pytest.raises(RetinueError) as caught:
        await quotas.reserve(*many, run_of(homes[0]))
    assert [problem.field for problem in caught.value.problems] == ["reservations"]


async def test_only_execution_books(quotas: Quotas) -> None:
    for who in (boss(), Identity("", "worker", kind="service"), None):
        for method in ("Reserve", "Extend", "Settle"):
            with pytest.raises(RetinueError) as caught:
                await quotas.call(who, method)
            assert caught.value.kind.name == ("UNAUTHENTICATED" if who is None else "PERMISSION_DENIED")
