"""The main job over REST: create an agent, publish it, run it, read what it did."""

from __future__ import annotations

import pytest

from retinue_core.testing.suite import Suite
from tests.clients.agents import adder, both, say, scripted, slow, use
from tests.clients.people import People
from tests.clients.rest import Refused, Rest

KINDS = [
    "execution.created",
    "execution.started",
    "model.completed",
    "tool.dispatched",
    "tool.completed",
    "model.completed",
    "execution.completed",
]


async def test_an_agent_is_created_published_and_run(acme: Rest) -> None:
    agent = await acme.post("/v1/agents", adder(description="Adds.", metadata={"team": ["a", 1, None]}))
    assert (agent["currentVersion"], agent["draftVersion"]) == ("", "1.0.0")
    published = await acme.post(f"/v1/agents/{agent['id']}/versions/1.0.0/publish", {"changelog": "First."})
    assert (published["version"], published["status"], published["current"]) == ("1.0.0", "PUBLISHED", True)

    done = await acme.run(agent["id"], {"a": 19, "b": 23}, conversationId="c", projectId="p", metadata={"k": "v"})
    assert (done["status"], done["output"]) == ("COMPLETED", "The sum is 42.")
    assert (done["agentId"], done["agentVersion"], done["input"]) == (agent["id"], "1.0.0", {"a": 19, "b": 23})
    assert (done["conversationId"], done["projectId"], done["metadata"]) == ("c", "p", {"k": "v"})
    assert (done["createdBy"], done["attempt"], done["priority"]) == (acme.user_id, 1, "MEDIUM")
    assert (done["usage"]["steps"], done["usage"]["toolCalls"]) == (2, 1)
    assert done["usage"]["inputTokens"] > 0
    assert done["createdAt"] <= done["startedAt"] <= done["completedAt"] < done["deadline"]
    assert len(done["traceId"]) == 32
    assert await acme.execution(done["id"]) == done


async def test_without_wait_it_is_accepted_and_polled_to_its_end(acme: Rest) -> None:
    agent = await acme.publish(scripted(say("Hello.", delayMs=300)))
    accepted = await acme.start(agent)
    assert accepted["status"] in ("PENDING", "RUNNING")
    assert "output" not in accepted
    assert (await acme.until(accepted["id"]))["output"] == "Hello."


async def test_a_wait_that_is_over_answers_with_what_is_there(acme: Rest) -> None:
    agent = await acme.publish(slow())
    running = await acme.start(agent, wait="0.1s")
    assert running["status"] == "RUNNING"
    await acme.post(f"/v1/executions/{running['id']}/cancel")


async def test_steps_and_logs_tell_what_it_did(acme: Rest) -> None:
    done = await acme.run(await acme.publish(adder()), {"a": 2, "b": 3})
    steps = (await acme.get(f"/v1/executions/{done['id']}/steps"))["steps"]
    assert [(step["number"], step["kind"], step["status"], step["action"]) for step in steps] == [
        (1, "MODEL", "COMPLETED", "scripted"),
        (2, "TOOL", "COMPLETED", "calculator"),
        (3, "MODEL", "COMPLETED", "scripted"),
    ]
    assert (steps[1]["input"], steps[1]["output"], steps[1]["reasoning"]) == (
        {"expression": "2 + 3"},
        5,
        "I need a sum.",
    )
    first = await acme.get(f"/v1/executions/{done['id']}/steps", pageSize=2)
    rest = await acme.get(f"/v1/executions/{done['id']}/steps", pageSize=2, pageToken=first["nextPageToken"])
    assert (first["steps"] + rest["steps"], rest["nextPageToken"]) == (steps, "")

    logs = (await acme.get(f"/v1/executions/{done['id']}/logs"))["logs"]
    assert [line["sequence"] for line in logs] == list(range(1, 8))
    assert (await acme.get(f"/v1/executions/{done['id']}/logs", level="ERROR"))["logs"] == []


async def test_tools_that_are_asked_for_together_run_together_and_answer_in_order(acme: Rest) -> None:
    sums = both(("calculator", {"expression": "1 + 1"}), ("calculator", {"expression": "20 + 22"}))
    done = await acme.run(await acme.publish(scripted(sums, say("{{tool.output}}"), tools=["calculator"])))
    assert done["output"] == "42"
    steps = (await acme.get(f"/v1/executions/{done['id']}/steps"))["steps"]
    assert sorted(step["output"] for step in steps if step["kind"] == "TOOL") == [2, 42]


async def test_a_tool_that_fails_is_told_to_the_model_which_goes_on(acme: Rest) -> None:
    wrong = use("calculator", {"expression": "1 / 0"})
    done = await acme.run(await acme.publish(scripted(wrong, say("It failed."), tools=["calculator"])))
    assert (done["status"], done["output"]) == ("COMPLETED", "It failed.")
    failed = (await acme.get(f"/v1/executions/{done['id']}/steps"))["steps"][1]
    assert failed["status"] == "FAILED"
    assert failed["error"]["message"]
    warned = (await acme.get(f"/v1/executions/{done['id']}/logs", level="WARN"))["logs"]
    assert [line["level"] for line in warned] == ["WARN"]


async def test_executions_are_listed_newest_first_by_filter_and_page(people: People) -> None:
    acme = await people.founder()
    adding, failing = await acme.publish(adder()), await acme.publish(scripted(say("", error="broken")))
    ids = [(await acme.run(adding, {"a": 1, "b": n}, conversationId=f"c{n % 2}"))["id"] for n in range(5)]
    failed = (await acme.run(failing, priority="HIGH"))["id"]

    listed = [one["id"] for one in (await acme.get("/v1/executions"))["executions"]]
    assert listed == [failed, *reversed(ids)]
    oldest = await acme.get("/v1/executions", orderBy="created_at", pageSize=1)
    assert oldest["executions"][0]["id"] == ids[0]
    for wanted, found in {
        "status=FAILED": [failed],
        "priority=HIGH": [failed],
        f"agent_id={adding} AND conversation_id=c1": [ids[3], ids[1]],
        f"created_by={acme.user_id} AND status=COMPLETED": ids[::-1],
        "status=CANCELLED": [],
    }.items():
        page = await acme.get("/v1/executions", filter=wanted)
        assert [one["id"] for one in page["executions"]] == found, wanted

    paged: list[str] = []
    token = ""
    while True:
        page = await acme.get("/v1/executions", filter=f"agent_id={adding}", pageSize=2, pageToken=token)
        paged += [one["id"] for one in page["executions"]]
        token = page["nextPageToken"]
        if not token:
            break
    assert paged == ids[::-1]
    with pytest.raises(Refused) as refused:
        await acme.get("/v1/executions", filter="colour=red")
    assert (refused.value.code, refused.value.fields) == ("INVALID_FILTER", ["filter"])


async def test_members_see_their_own_executions_and_administrators_all(people: People) -> None:
    acme = await people.founder()
    ada, bob = await people.join(acme.organization_id), await people.join(acme.organization_id)
    agent = await acme.publish(scripted(say("Hi.")))
    hers, his = (await ada.run(agent))["id"], (await bob.run(agent))["id"]
    assert [one["id"] for one in (await ada.get("/v1/executions"))["executions"]] == [hers]
    assert [one["id"] for one in (await acme.get("/v1/executions"))["executions"]] == [his, hers]
    with pytest.raises(Refused) as refused:
        await ada.execution(his)
    assert (refused.value.status, refused.value.code) == (404, "EXECUTION_NOT_FOUND")


async def test_cancelling_stops_a_running_execution_once(acme: Rest) -> None:
    running = await acme.start(await acme.publish(slow()))
    await acme.until(running["id"], "RUNNING")
    cancelled = await acme.post(f"/v1/executions/{running['id']}/cancel", {"reason": "Enough."})
    assert (cancelled["status"], cancelled["error"]["code"]) == ("CANCELLED", "EXECUTION_CANCELLED")
    again = await acme.post(f"/v1/executions/{running['id']}/cancel")
    assert again == cancelled
    kinds = [event.data["kind"] for event in await acme.followed(running["id"])]
    assert kinds == ["execution.created", "execution.started", "execution.cancelled"]

    done = await acme.run(await acme.publish(scripted(say("Hi."))))
    with pytest.raises(Refused) as refused:
        await acme.post(f"/v1/executions/{done['id']}/cancel")
    assert (refused.value.status, refused.value.code) == (400, "EXECUTION_ENDED")


async def test_the_journal_is_told_as_events_one_for_each_entry(acme: Rest) -> None:
    done = await acme.run(await acme.publish(adder()), {"a": 1, "b": 2})
    events = await acme.followed(done["id"])
    assert [event.id for event in events] == list(range(1, 8)) == list(range(1, done["lastSequence"] + 1))
    assert [event.data["kind"] for event in events] == KINDS
    assert events[-1].data["done"]["execution"] == done


async def test_every_answer_carries_the_request_id(acme: Rest) -> None:
    agent = await acme.publish(scripted(say("Hi.")))
    for path in (f"/v1/agents/{agent}", "/v1/agents/nobody", "/healthz", "/nothing"):
        response = await acme.raw("GET", path, X_Request_Id="my-request.1")
        assert response.headers["x-request-id"] == "my-request.1"
        if response.status_code == 404:
            assert response.json()["error"]["requestId"] == "my-request.1"
    response = await acme.raw("GET", "/healthz", X_Request_Id="not one")
    assert len(response.headers["x-request-id"]) == 36


async def test_the_trace_of_the_caller_is_the_trace_of_the_execution(acme: Rest) -> None:
    agent = await acme.publish(scripted(say("Hi.")))
    trace = "0af7651916cd43dd8448eb211c80319c"
    started = await acme.post(
        f"/v1/agents/{agent}/executions", {"wait": "60s"}, traceparent=f"00-{trace}-b7ad6b7169203331-01"
    )
    assert started["traceId"] == trace
    others = {(await acme.run(agent))["traceId"] for _ in range(2)}
    assert len(others | {trace}) == 3


async def test_the_caller_is_told_who_they_are(acme: Rest, suite: Suite) -> None:
    found = await acme.get("/v1/caller")
    assert (found["user"]["id"], found["organization"]["id"]) == (acme.user_id, acme.organization_id)
    assert "quotas:write" in found["scopes"]
    assert "platform:admin" not in found["scopes"]
    async with Rest(suite.url, suite.token) as operator:
        assert "platform:admin" in (await operator.get("/v1/caller"))["scopes"]
