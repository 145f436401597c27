"""Idempotency keys over REST: one answer for one key, whoever asks again."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from tests.clients.agents import say, scripted, slow
from tests.clients.people import People
from tests.clients.rest import Refused, Rest


async def test_the_same_key_gives_the_same_execution(acme: Rest) -> None:
    agent, key = await acme.publish(scripted(say("Hi."))), str(uuid.uuid4())
    path, body = f"/v1/agents/{agent}/executions", {"input": {"n": 1}, "wait": "60s"}
    first = await acme.post(path, body, Idempotency_Key=key)
    assert first["status"] == "COMPLETED"
    assert await acme.post(path, body, Idempotency_Key=key) == first
    assert len((await acme.get("/v1/executions"))["executions"]) == 1

    for other in ({"input": {"n": 2}, "wait": "60s"}, {"input": {"n": 1}}):
        with pytest.raises(Refused) as refused:
            await acme.post(path, other, Idempotency_Key=key)
        assert (refused.value.status, refused.value.code) == (422, "IDEMPOTENCY_KEY_REUSED")
        assert refused.value.fields == ["Idempotency-Key"]
        assert refused.value.actions
    assert (await acme.post(path, body, Idempotency_Key=str(uuid.uuid4())))["id"] != first["id"]


async def test_a_key_is_in_flight_until_its_request_is_answered(acme: Rest) -> None:
    agent, key = await acme.publish(slow()), str(uuid.uuid4())
    path, body = f"/v1/agents/{agent}/executions", {"wait": "60s"}
    first = asyncio.create_task(acme.post(path, body, Idempotency_Key=key))
    while not (found := (await acme.get("/v1/executions"))["executions"]):
        await asyncio.sleep(0.05)
    with pytest.raises(Refused) as refused:
        await acme.post(path, body, Idempotency_Key=key)
    assert (refused.value.status, refused.value.code) == (409, "IDEMPOTENCY_KEY_IN_USE")
    assert refused.value.actions
    await acme.post(f"/v1/executions/{found[0]['id']}/cancel")
    assert (await first)["status"] == "CANCELLED"
    assert (await acme.post(path, body, Idempotency_Key=key))["id"] == found[0]["id"]


async def test_many_at_once_under_one_key_make_one_execution(acme: Rest) -> None:
    agent, key = await acme.publish(scripted(say("Hi."))), str(uuid.uuid4())

    async def ask() -> str:
        try:
            return str((await acme.post(f"/v1/agents/{agent}/executions", {}, Idempotency_Key=key))["id"])
        except Refused as refused:
            assert refused.code == "IDEMPOTENCY_KEY_IN_USE"  # noqa: PT017 - both answers are right
            return ""

    answers = set(await asyncio.gather(*(ask() for _ in range(20))))
    assert len(answers - {""}) == 1
    assert len((await acme.get("/v1/executions"))["executions"]) == 1


async def test_a_caller_that_went_away_finds_its_execution_again(acme: Rest) -> None:
    agent, key = await acme.publish(slow(1_500)), str(uuid.uuid4())
    path, body = f"/v1/agents/{agent}/executions", {"wait": "60s"}
    gone = asyncio.create_task(acme.post(path, body, Idempotency_Key=key))
    while not (found := (await acme.get("/v1/executions"))["executions"]):
        await asyncio.sleep(0.05)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    await acme.until(found[0]["id"], "COMPLETED")
    again = await answered(acme, path, body, key)
    assert again["id"] == found[0]["id"]
    assert len((await acme.get("/v1/executions"))["executions"]) == 1


async def answered(acme: Rest, path: str, body: object, key: str) -> dict[str, object]:
    """Ask until the key is no longer in flight."""
    while True:
        try:
            return dict(await acme.post(path, body, Idempotency_Key=key))
        except Refused as refused:
            assert refused.code == "IDEMPOTENCY_KEY_IN_USE"  # noqa: PT017 - it is asked again
            await asyncio.sleep(0.05)


async def test_the_same_key_gives_the_same_agent(acme: Rest) -> None:
    key, definition = str(uuid.uuid4()), scripted(say("Hi."))
    first = await acme.post("/v1/agents", definition, Idempotency_Key=key)
    assert await acme.post("/v1/agents", definition, Idempotency_Key=key) == first
    with pytest.raises(Refused) as refused:
        await acme.post("/v1/agents", {**definition, "description": "Other."}, Idempotency_Key=key)
    assert refused.value.status == 422
    with pytest.raises(Refused) as refused:
        await acme.post("/v1/agents", definition)
    assert (refused.value.status, refused.value.code) == (409, "DUPLICATE_AGENT_NAME")


async def test_a_request_that_failed_may_be_tried_again_under_its_key(acme: Rest) -> None:
    key, agent = str(uuid.uuid4()), (await acme.post("/v1/agents", scripted(say("Hi."))))["id"]
    path = f"/v1/agents/{agent}/executions"
    with pytest.raises(Refused) as refused:
        await acme.post(path, {"wait": "60s"}, Idempotency_Key=key)
    assert refused.value.code == "AGENT_NOT_PUBLISHED"
    await acme.post(f"/v1/agents/{agent}/versions/draft/publish")
    assert (await acme.post(path, {"wait": "60s"}, Idempotency_Key=key))["status"] == "COMPLETED"


async def test_keys_of_different_people_are_different_keys(people: People) -> None:
    acme, other = await people.founder(), await people.founder()
    colleague = await people.join(acme.organization_id)
    key = str(uuid.uuid4())
    made = [await who.post("/v1/agents", scripted(say("Hi.")), Idempotency_Key=key) for who in (acme, other, colleague)]
    assert len({agent["id"] for agent in made}) == 3


@pytest.mark.parametrize("key", ["x" * 256, "with space", "ümlaut"])
async def test_what_cannot_be_a_key_is_refused(acme: Rest, key: str) -> None:
    response = await acme.http.post("/v1/agents", json={}, headers=[(b"Idempotency-Key", key.encode())])
    assert response.status_code == 400
    assert response.json()["error"]["details"]["validationErrors"][0]["field"] == "Idempotency-Key"


async def test_a_stream_that_is_asked_for_again_under_its_key_is_told_of_the_same_execution(acme: Rest) -> None:
    agent, key = await acme.publish(scripted(say("Hi."))), {"Idempotency-Key": str(uuid.uuid4())}
    told = []
    for _ in range(2):
        async with acme.events("POST", f"/v1/agents/{agent}/execute", {"input": 1}, key) as events:
            told.append([event async for event in events if event.id is not None])
    assert [[event.id for event in one] for one in told] == [[1, 2, 3, 4]] * 2
    assert len({event.data["executionId"] for one in told for event in one}) == 1
    for path, body in (("execute", {"input": 2}), ("executions", {"input": 1})):
        with pytest.raises(Refused) as refused:
            async with acme.events("POST", f"/v1/agents/{agent}/{path}", body, key):
                pass
        assert (refused.value.status, refused.value.code) == (422, "IDEMPOTENCY_KEY_REUSED")
