"""What was used is booked once and for good, and what nobody settles is given back."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from psycopg import errors

from retinue_core.identity import Identity
from services.quota.recovery import sweep
from tests.integration.quota.room import Quotas, bill_for, boss, run_of


async def tokens_left(quotas: Quotas, who: Identity) -> int:
    [limit] = [one for one in await quotas.store.quotas(who.organization_id) if one.metric == "TOKENS"]
    return limit.limit - limit.used - limit.reserved


async def test_the_rest_is_given_back(quotas: Quotas) -> None:
    who, wanted = (who := boss()), run_of(who, tokens=900)
    await quotas.limit(who, 1_000)
    await quotas.reserve(wanted)
    assert await tokens_left(quotas, who) == 100
    assert await quotas.settle(bill_for(wanted, input_tokens=200, output_tokens=50)) == []
    assert await tokens_left(quotas, who) == 750
    await quotas.check_books(who)


async def test_settling_again_changes_nothing(quotas: Quotas) -> None:
    who, wanted = (who := boss()), run_of(who, tokens=900)
    await quotas.limit(who, 1_000)
    await quotas.reserve(wanted)
    bill = bill_for(wanted, input_tokens=200)
    await quotas.settle(bill, bill)
    await quotas.settle(bill_for(wanted, input_tokens=999))
    assert await tokens_left(quotas, who) == 800
    await quotas.check_books(who)


async def test_settlements_of_one_reservation_at_once_book_it_once(quotas: Quotas) -> None:
    who, wanted = (who := boss()), run_of(who, tokens=900)
    await quotas.limit(who, 1_000)
    await quotas.reserve(wanted)
    await asyncio.gather(*(quotas.settle(bill_for(wanted, input_tokens=200)) for _ in range(10)))
    assert await tokens_left(quotas, who) == 800
    await quotas.check_books(who)


async def test_what_nobody_reserved_is_booked_once_to_whom_the_settlement_names(quotas: Quotas) -> None:
    who = boss()
    bill = bill_for(run_of(who), input_tokens=70, user_id=who.subject, agent_id="agent", project_id="project")
    for _ in range(2):
        [overrun] = await quotas.settle(bill) or [None]
    assert overrun is None
    usage = await quotas.call(who, "GetUsage", group_by="AGENT")
    assert [(entry.key, entry.input_tokens) for entry in usage.entries] == [("agent", 70)]
    await quotas.check_books(who)


async def test_what_goes_beyond_the_grant_is_booked_and_reported(quotas: Quotas) -> None:
    who, wanted = (who := boss()), run_of(who, tokens=100, cost_micros=100)
    await quotas.limit(who, 1_000)
    await quotas.reserve(wanted)
    [overrun] = await quotas.settle(bill_for(wanted, input_tokens=1_000, output_tokens=200, cost_micros=500))
    # Nothing was exceeded where nothing was limited.
    assert (overrun.reservation_id, overrun.tokens, overrun.cost_micros) == (wanted["id"], 1_100, 0)
    assert await tokens_left(quotas, who) == -200
    [refused] = await quotas.reserve(run_of(who, tokens=1))
    assert (refused.limit.used, refused.limit.limit) == (1_200, 1_000)


async def test_what_expires_is_given_back_and_nothing_is_booked(quotas: Quotas) -> None:
    who, past = boss(), datetime.now(UTC) - timedelta(seconds=1)
    await quotas.limit(who, 1_000)
    await quotas.reserve(run_of(who, tokens=300, expires_at=past), run_of(who, tokens=200))
    assert await sweep(quotas.store) == 1
    assert await tokens_left(quotas, who) == 800
    assert not (await quotas.call(who, "GetUsage")).total.executions
    await quotas.check_books(who)


async def test_a_reservation_without_an_end_is_held_for_an_hour(quotas: Quotas) -> None:
    await quotas.reserve(run_of(who := boss()))
    [row] = await quotas.query(
        who,
        "select expires_at - now() between interval '59 minutes' and interval '61 minutes' as right_"
        f" from reservations where organization_id = '{who.organization_id}'",
    )
    assert row["right_"]


async def test_sweeps_at_once_give_back_once(quotas: Quotas) -> None:
    who, past = boss(), datetime.now(UTC) - timedelta(seconds=1)
    await quotas.limit(who, 1_000)
    await quotas.limit(who, 100, "CONCURRENT_EXECUTIONS", level="USER")
    await quotas.reserve(*(run_of(who, tokens=10, expires_at=past) for _ in range(50)))
    assert sum(await asyncio.gather(*(sweep(quotas.store) for _ in range(4)))) == 50
    assert await tokens_left(quotas, who) == 1_000
    await quotas.check_books(who)


async def test_a_settlement_after_the_expiry_is_booked_to_the_same_user_and_agent(quotas: Quotas) -> None:
    who, past = boss(), datetime.now(UTC) - timedelta(seconds=1)
    late = run_of(who, tokens=300, agent_id="agent", expires_at=past)
    await quotas.limit(who, 1_000)
    await quotas.reserve(late)
    await sweep(quotas.store)
    await quotas.settle(bill_for(late, input_tokens=250))
    assert await tokens_left(quotas, who) == 750
    usage = await quotas.call(who, "GetUsage", group_by="USER")
    assert [(entry.key, entry.input_tokens) for entry in usage.entries] == [(who.subject, 250)]
    await quotas.check_books(who)


async def test_what_expired_can_be_reserved_afresh(quotas: Quotas) -> None:
    who, past = boss(), datetime.now(UTC) - timedelta(seconds=1)
    wanted = run_of(who, tokens=800)
    await quotas.limit(who, 1_000)
    await quotas.reserve(wanted | {"expires_at": past})
    await sweep(quotas.store)
    await quotas.reserve(run_of(who, tokens=700))
    [grant] = await quotas.reserve(wanted)
    assert grant.tokens == 300
    await quotas.check_books(who)


async def test_what_expired_long_ago_is_forgotten(quotas: Quotas) -> None:
    who, past = boss(), datetime.now(UTC) - timedelta(seconds=1)
    await quotas.reserve(run_of(who, expires_at=past))
    await sweep(quotas.store)
    await quotas.store.forget_expired(3_600)
    assert await quotas.query(who, "select 1 from reservations where expired_at is not null")
    await quotas.store.forget_expired(0)
    assert not await quotas.query(who, "select 1 from reservations where expired_at is not null")


async def test_usage_is_that_of_the_period_split_as_asked(quotas: Quotas) -> None:
    who, start = boss(), datetime.now(UTC)
    runs = [
        run_of(who, agent_id=agent, user_id=user, project_id="p")
        for agent, user in (("a", "u"), ("a", "v"), ("b", "v"))
    ]
    await quotas.reserve(*runs)
    await quotas.settle(
        bill_for(runs[0], input_tokens=10, output_tokens=1, cost_micros=5, credits=2, steps=3, tool_calls=4),
        bill_for(runs[1], input_tokens=20, cost_micros=1, ended=""),
        bill_for(runs[2], input_tokens=40, cost_micros=9, ended="failed"),
    )
    by_agent = await quotas.call(who, "GetUsage", group_by="AGENT")
    assert [(entry.key, entry.cost_micros, entry.executions) for entry in by_agent.entries] == [
        ("b", 9, 1),
        ("a", 6, 1),
    ]
    by_user = await quotas.call(who, "GetUsage", group_by="USER")
    assert [(entry.key, entry.input_tokens) for entry in by_user.entries] == [("v", 60), ("u", 10)]
    whole = await quotas.call(who, "GetUsage")
    assert not whole.entries
    total = whole.total
    assert (total.input_tokens, total.output_tokens, total.credits, total.steps, total.tool_calls) == (70, 1, 2, 3, 4)
    period = getattr(whole, "from").ToDatetime(UTC), whole.to.ToDatetime(UTC)
    assert period[1] - period[0] == timedelta(hours=24)
    later = await quotas.call(who, "GetUsage", **{"from": datetime.now(UTC) + timedelta(hours=1)})
    assert not later.total.input_tokens
    before = await quotas.call(who, "GetUsage", to=start)
    assert not before.total.input_tokens


async def test_a_booking_cannot_be_changed_or_taken_out(quotas: Quotas) -> None:
    who = boss()
    await quotas.settle(bill_for(run_of(who), input_tokens=1))
    for statement in ("update ledger set input_tokens = 0", "delete from ledger"):
        with pytest.raises(errors.RaiseException, match="append-only"):
            await quotas.query(who, statement)
