"""Quotas and usage from the outside: who waits, who is refused, what was used."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.clients.agents import say, scripted, slow
from tests.clients.people import People
from tests.clients.rest import Refused, Rest


def spending(tokens: int, **turn: Any) -> dict[str, Any]:
    """An agent that uses so many tokens, a quarter of them for its answer."""
    usage = {"inputTokens": tokens - tokens // 4, "outputTokens": tokens // 4, "costMicros": 7}
    return scripted(say("Hi.", usage=usage, **turn))


async def limit(acme: Rest, metric: str, most: int, *, level: str = "ORGANIZATION", **more: str) -> None:
    quota = {"level": level, "metric": metric, "limit": str(most), **more}
    set_to = await acme.call("PUT", "/v1/quotas", quota)
    assert (set_to["limit"], set_to["source"]) == (str(most), "organization")


async def running(acme: Rest) -> int:
    return len((await acme.get("/v1/executions", filter="status=RUNNING"))["executions"])


async def test_what_is_beyond_a_users_limit_waits_in_the_queue_and_completes(people: People) -> None:
    acme = await people.founder()
    user = await people.join(acme.organization_id)
    await limit(acme, "CONCURRENT_EXECUTIONS", 2, level="USER")
    holding, quick = await acme.publish(slow()), await acme.publish(scripted(say("Hi.")))
    held = [(await user.start(holding))["id"] for _ in range(2)]
    waiting = [await user.start(quick) for _ in range(5)]
    assert {one["status"] for one in waiting} == {"PENDING"}
    assert waiting[0]["waitingFor"]
    assert (await acme.run(quick))["status"] == "COMPLETED"  # the limit is each user's own

    assert await running(user) == 2
    for execution in held:
        await user.post(f"/v1/executions/{execution}/cancel")
    ended = [await user.until(one["id"]) for one in waiting]
    assert {one["status"] for one in ended} == {"COMPLETED"}


async def test_a_limit_is_never_passed_while_many_wait(people: People) -> None:
    acme = await people.founder()
    await limit(acme, "CONCURRENT_EXECUTIONS", 3, level="USER")
    agent = await acme.publish(slow(150))
    started = asyncio.gather(*(acme.run(agent) for _ in range(20)))
    most = 0
    while not started.done():
        most = max(most, await running(acme))
    assert {one["status"] for one in await started} == {"COMPLETED"}
    assert 0 < most <= 3


async def test_a_budget_that_is_used_up_refuses_with_a_remedy(people: People) -> None:
    acme = await people.founder()
    await limit(acme, "TOKENS", 100, window="TOTAL")
    agent = await acme.publish(spending(50))
    for _ in range(2):
        assert (await acme.run(agent))["status"] == "COMPLETED"
    refused = await exhausted(acme, agent)
    assert refused.actions
    assert int(refused.headers["retry-after"]) > 0

    await limit(acme, "TOKENS", 150, window="TOTAL")
    assert (await acme.run(agent))["status"] == "COMPLETED"
    while (quota := await tokens(acme))["used"] != "150":  # booked a moment after the end
        await asyncio.sleep(0.05)
    assert (quota["reserved"], quota["limit"]) == ("0", "150")


async def tokens(acme: Rest) -> dict[str, Any]:
    """The organisation's own limit on tokens."""
    (quota,) = [one for one in (await acme.get("/v1/quotas"))["quotas"] if one["metric"] == "TOKENS"]
    return dict(quota)


async def exhausted(acme: Rest, agent: str) -> Refused:
    """Ask until the last settlement is booked and the budget is used up."""
    while True:
        try:
            ended = await acme.run(agent)
        except Refused as refused:
            assert (refused.status, refused.code) == (429, "RESOURCE_EXHAUSTED")  # noqa: PT017 - it was asked before
            return refused
        assert ended["error"]["code"] == "RESOURCE_EXHAUSTED"


async def test_a_call_that_the_budget_does_not_cover_is_not_made(people: People) -> None:
    acme = await people.founder()
    await limit(acme, "TOKENS", 100, window="DAY")
    ended = await acme.run(await acme.publish(spending(101)))
    assert (ended["status"], ended["error"]["code"]) == ("FAILED", "RESOURCE_EXHAUSTED")
    assert ended["usage"]["steps"] == 0
    assert (await acme.run(await acme.publish(spending(100))))["status"] == "COMPLETED"


async def test_a_crowd_spends_no_more_than_the_budget(people: People) -> None:
    acme = await people.founder()
    await limit(acme, "TOKENS", 200, window="TOTAL")
    agent = await acme.publish(spending(40, delayMs=50))

    async def attempt() -> str:
        try:
            return str((await acme.run(agent))["status"])
        except Refused as refused:
            return refused.code

    outcomes = await asyncio.gather(*(attempt() for _ in range(15)))
    assert outcomes.count("COMPLETED") == 5
    assert set(outcomes) <= {"COMPLETED", "FAILED", "RESOURCE_EXHAUSTED"}
    assert (await settled(acme, 5))["inputTokens"] == "150"


async def settled(acme: Rest, executions: int) -> dict[str, Any]:
    """The usage, once that many executions are booked."""
    while True:
        total = (await acme.get("/v1/usage"))["total"]
        if int(total["executions"]) >= executions and int(total["steps"]) >= executions:
            return dict(total)
        await asyncio.sleep(0.05)


async def test_usage_is_reported_by_agent_user_and_project(people: People) -> None:
    acme = await people.founder()
    member = await people.join(acme.organization_id)
    small, large = await acme.publish(spending(40)), await acme.publish(spending(400))
    await acme.run(small, projectId="red")
    await acme.run(large, projectId="blue")
    await member.run(large)
    total = await settled(acme, 3)
    assert (total["inputTokens"], total["outputTokens"], total["costMicros"]) == ("630", "210", "21")
    for group, expected in {
        "AGENT": {small: "30", large: "600"},
        "USER": {acme.user_id: "330", member.user_id: "300"},
        "PROJECT": {"red": "30", "blue": "300", "": "300"},
    }.items():
        entries = (await acme.get("/v1/usage", groupBy=group))["entries"]
        assert {entry["key"]: entry["inputTokens"] for entry in entries} == expected


async def test_only_administrators_set_quotas(people: People) -> None:
    acme = await people.founder()
    member = await people.join(acme.organization_id)
    with pytest.raises(Refused) as refused:
        await limit(member, "TOKENS", 10**9, window="TOTAL")
    assert (refused.value.status, refused.value.code) == (403, "INSUFFICIENT_PERMISSIONS")
    assert refused.value.actions
