"""Limits are set and listed; bad input is named; nobody sees or sets what is not theirs."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from retinue.quota.v1 import quota_service_pb2 as pb
from retinue.quota.v1.quota_pb2 import Quota
from retinue_core.errors import Kind, RetinueError
from retinue_core.identity import Identity
from tests.integration.quota.room import EXECUTION, Quotas, bill_for, boss, run_of

GOOD = {"level": "ORGANIZATION", "metric": "TOKENS", "window": "DAY", "limit": 1}
RUN = {"id": "r", "organization_id": "01990000-0000-7000-8000-000000000000"}
BILL = {"reservation_id": "r", "organization_id": RUN["organization_id"]}
MORE = BILL | {"id": "x"}
FAR = 10**15 + 1


async def test_the_quotas_of_the_plan_are_listed_until_others_take_their_place(quotas: Quotas) -> None:
    who = boss()
    [plan] = (await quotas.call(who, "ListQuotas")).quotas
    assert (plan.level, plan.metric, plan.limit, plan.source) == (Quota.USER, Quota.CONCURRENT_EXECUTIONS, 10, "plan")
    own = await quotas.limit(who, 3, "CONCURRENT_EXECUTIONS", level="USER")
    special = await quotas.limit(who, 5, "CONCURRENT_EXECUTIONS", level="USER", subject_id=who.subject)
    assert list((await quotas.call(who, "ListQuotas")).quotas) == [own, special]
    assert uuid.UUID(own.id).version == 7


async def test_setting_a_quota_again_replaces_the_limit_and_keeps_the_id(quotas: Quotas) -> None:
    who = boss()
    first, second = await quotas.limit(who, 3), await quotas.limit(who, 0)
    assert (first.id, first.limit, second.limit) == (second.id, 3, 0)
    assert second.HasField("limit")


async def test_a_quota_of_one_subject_shows_what_is_used_and_reserved(quotas: Quotas) -> None:
    who = boss()
    runs = [run_of(who, tokens=100), run_of(who, tokens=50)]
    await quotas.reserve(*runs)
    await quotas.settle(bill_for(runs[0], input_tokens=70))
    each = await quotas.limit(who, 1_000, level="USER")
    mine = await quotas.limit(who, 1_000, level="USER", subject_id=who.subject)
    running = await quotas.limit(who, 9, "CONCURRENT_EXECUTIONS")
    assert [(one.used, one.reserved) for one in (each, mine, running)] == [(0, 0), (70, 50), (1, 0)]


async def test_who_listens_is_told_that_a_quota_changed(quotas: Quotas) -> None:
    who = boss()
    told: asyncio.Queue[bytes] = asyncio.Queue()

    async def listen(subject: str, data: bytes) -> None:
        await told.put(data)

    await quotas.events.listen(f"quota.{who.organization_id}.changed", listen)
    kept = await quotas.limit(who, 3)
    assert json.loads(await asyncio.wait_for(told.get(), 10))["quotaId"] == kept.id


BAD: list[tuple[str, dict[str, Any], list[str]]] = [
    ("SetQuota", {}, ["quota"]),
    ("SetQuota", {"quota": {"limit": 1}}, ["quota.level", "quota.metric"]),
    ("SetQuota", {"quota": {"level": "ORGANIZATION", "metric": "TOKENS"}}, ["window", "limit"]),
    ("SetQuota", {"quota": GOOD | {"level": 9, "metric": 9, "limit": -1}}, ["level", "metric", "limit"]),
    ("SetQuota", {"quota": GOOD | {"level": "EXECUTION"}}, ["level"]),
    ("SetQuota", {"quota": GOOD | {"metric": "REQUESTS"}}, ["metric"]),
    ("SetQuota", {"quota": GOOD | {"metric": "CONCURRENT_EXECUTIONS"}}, ["window"]),
    ("SetQuota", {"quota": GOOD | {"window": 9}}, ["window"]),
    ("SetQuota", {"quota": GOOD | {"subject_id": str(uuid.uuid4())}}, ["subjectId"]),
    ("SetQuota", {"quota": GOOD | {"level": "USER", "subject_id": "ada\0"}}, ["subjectId"]),
    ("SetQuota", {"quota": GOOD | {"limit": FAR}}, ["limit"]),
    ("GetUsage", {"group_by": 9}, ["groupBy"]),
    ("GetUsage", {"from": Timestamp(seconds=9), "to": Timestamp(seconds=9)}, ["from"]),
    ("GetUsage", {"to": Timestamp(seconds=10**12)}, ["to"]),
    ("Reserve", {"reservations": [{}]}, ["reservations[0].id", "reservations[0].organizationId"]),
    ("Reserve", {"reservations": [RUN, RUN | {"organization_id": "mine"}]}, ["reservations[1].organizationId"]),
    ("Reserve", {"reservations": [RUN | {"id": "x" * 201}]}, ["reservations[0].id"]),
    ("Reserve", {"reservations": [RUN | {"user_id": "a\0", "team_ids": ["", "b\0"]}]},
     ["reservations[0].userId", "reservations[0].teamIds[1]"]),
    ("Reserve", {"reservations": [RUN | {"tokens": -1, "cost_micros": FAR, "credits": -1}]},
     ["reservations[0].tokens", "reservations[0].costMicros", "reservations[0].credits"]),
    ("Reserve", {"reservations": [RUN | {"expires_at": Timestamp(seconds=10**12)}]}, ["reservations[0].expiresAt"]),
    ("Extend", {"extensions": [BILL]}, ["extensions[0].id"]),
    ("Extend", {"extensions": [MORE | {"organization_id": "x", "tokens": -1}]},
     ["extensions[0].tokens", "extensions[0].organizationId"]),
    ("Settle", {"settlements": [{}]}, ["settlements[0].reservationId", "settlements[0].organizationId"]),
    ("Settle", {"settlements": [BILL | {"input_tokens": -1, "steps": -1, "ended": "well"}]},
     ["settlements[0].inputTokens", "settlements[0].steps", "settlements[0].ended"]),
]  # fmt: skip

SCOPED = {
    "ListQuotas": ({}, "quotas:read"),
    "SetQuota": ({"quota": GOOD}, "quotas:write"),
    "GetUsage": ({}, "usage:read"),
}
INTERNAL = ("Reserve", "Extend", "Settle")


@pytest.mark.parametrize(("method", "fields", "paths"), BAD)
async def test_bad_input_is_named_field_by_field(
    quotas: Quotas, method: str, fields: dict[str, Any], paths: list[str]
) -> None:
    with pytest.raises(RetinueError) as caught:
        await quotas.call(EXECUTION if method in INTERNAL else boss(), method, **fields)
    error = caught.value
    assert (error.kind, error.code) == (Kind.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert [problem.field for problem in error.problems] == paths
    assert all(problem.message for problem in error.problems)


def test_the_matrix_holds_every_rpc() -> None:
    service = pb.DESCRIPTOR.services_by_name["QuotaService"]
    assert {method.name for method in service.methods} == {*SCOPED, *INTERNAL}


@pytest.mark.parametrize("method", [*SCOPED, *INTERNAL])
async def test_without_an_identity_nothing_is_answered(quotas: Quotas, method: str) -> None:
    with pytest.raises(RetinueError) as caught:
        await quotas.call(None, method, **SCOPED.get(method, ({},))[0])
    assert caught.value.kind is Kind.UNAUTHENTICATED


@pytest.mark.parametrize("method", SCOPED)
async def test_without_the_scope_nothing_is_answered(quotas: Quotas, method: str) -> None:
    fields, scope = SCOPED[method]
    who = Identity(str(uuid.uuid4()), str(uuid.uuid4()), scopes=frozenset({"agents:read"}))
    with pytest.raises(RetinueError) as caught:
        await quotas.call(who, method, **fields)
    assert caught.value.kind is Kind.PERMISSION_DENIED
    assert scope in caught.value.message


async def test_another_organisation_sees_and_changes_nothing(quotas: Quotas) -> None:
    mine, theirs = boss(), boss()
    wanted = run_of(mine, tokens=7)
    await quotas.limit(mine, 1_000)
    await quotas.reserve(wanted)
    await quotas.settle(bill_for(wanted, input_tokens=7))
    assert [one.source for one in (await quotas.call(theirs, "ListQuotas")).quotas] == ["plan"]
    assert (await quotas.call(theirs, "GetUsage")).total.input_tokens == 0
    await quotas.limit(theirs, 1)
    assert {one.limit for one in await quotas.store.quotas(mine.organization_id)} == {10, 1_000}


async def test_a_settlement_for_another_organisation_leaves_a_reservation_alone(quotas: Quotas) -> None:
    mine, theirs = boss(), boss()
    wanted = run_of(mine, tokens=7)
    await quotas.limit(mine, 7)
    await quotas.reserve(wanted)
    await quotas.settle(bill_for(wanted | {"organization_id": theirs.organization_id}, input_tokens=1))
    [limit] = [one for one in await quotas.store.quotas(mine.organization_id) if one.metric == "TOKENS"]
    assert (limit.used, limit.reserved) == (0, 7)


async def test_the_database_itself_shows_an_organisation_only_its_own(quotas: Quotas) -> None:
    mine, theirs = boss(), boss()
    wanted = run_of(theirs, tokens=7)
    await quotas.limit(theirs, 70)
    await quotas.reserve(wanted, run_of(theirs))
    await quotas.settle(bill_for(wanted))
    for table in ("organizations", "limits", "counters", "reservations", "settled", "ledger"):
        rows = f"select organization_id::text as home from {table}"
        assert await quotas.database.statement(mine.organization_id, rows) == []
        assert {row["home"] for row in await quotas.database.statement(theirs.organization_id, rows)} == {
            theirs.organization_id
        }
