"""Stopping an execution and letting it go on, as a person does it."""

from __future__ import annotations

import pytest

from tests.clients.agents import say, scripted, slow, use
from tests.clients.rest import Refused, Rest

ADDING = use("calculator", {"expression": "1 + 1"}, "I add.", delayMs=1_500)


async def kinds(acme: Rest, execution_id: str) -> list[str]:
    events = await acme.followed(execution_id)
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    return [event.data["kind"] for event in events]


async def test_a_pause_takes_hold_at_the_next_step_and_nothing_runs_again_after_it(acme: Rest) -> None:
    agent = await acme.publish(scripted(ADDING, say("{{tool.output}}", delayMs=500), tools=["calculator"]))
    started = await acme.start(agent)
    path = f"/v1/executions/{started['id']}"
    await acme.until(started["id"], "RUNNING")
    for _ in range(2):
        asked = await acme.post(f"{path}/pause", {"reason": "lunch"})
        assert asked["status"] in ("RUNNING", "PAUSED")
    paused = await acme.until(started["id"], "PAUSED")
    assert paused["usage"]["steps"] == 1, "the step under way was finished"
    assert (await acme.post(f"{path}/pause"))["status"] == "PAUSED"
    resumed = await acme.post(f"{path}/resume", {"reason": "back"})
    assert resumed["status"] == "PENDING"
    done = await acme.until(started["id"])
    assert (done["status"], done["output"], done["usage"]["steps"], done["usage"]["toolCalls"]) == (
        "COMPLETED",
        "2",
        2,
        1,
    )
    told = await kinds(acme, started["id"])
    assert told.count("model.completed") == 2
    assert told.count("tool.completed") == 1
    assert told.index("execution.paused") < told.index("execution.resumed")
    logs = (await acme.get(f"{path}/logs"))["logs"]
    assert [line["metadata"]["reason"] for line in logs if line["message"] in ("Paused.", "Resumed.")] == [
        "lunch",
        "back",
    ]


async def test_a_paused_one_can_be_cancelled_and_then_nothing_more(acme: Rest) -> None:
    agent = await acme.publish(scripted(ADDING, say("done"), tools=["calculator"]))
    started = await acme.start(agent)
    path = f"/v1/executions/{started['id']}"
    await acme.post(f"{path}/pause")
    await acme.until(started["id"], "PAUSED")
    assert (await acme.post(f"{path}/cancel", {"reason": "no"}))["status"] == "CANCELLED"
    for wish in ("pause", "resume", "retry"):
        with pytest.raises(Refused) as refused:
            await acme.post(f"{path}/{wish}")
        assert (refused.value.status, refused.value.code) == (400, "EXECUTION_ENDED")
        assert refused.value.actions


async def test_a_failed_one_is_retried_from_the_step_that_failed(acme: Rest) -> None:
    tight = scripted(use("calculator", {"expression": "1 + 1"}), slow()["modelSettings"]["script"][0])
    agent = await acme.publish(tight | {"tools": ["calculator"], "timeout": "2s"})
    failed = await acme.run(agent)
    assert (failed["status"], failed["error"]["code"]) == ("FAILED", "EXECUTION_TIMEOUT")
    path = f"/v1/executions/{failed['id']}"
    assert (await acme.post(f"{path}/retry", {"reason": "again"}))["status"] == "PENDING"
    again = await acme.until(failed["id"])
    assert (again["status"], again["attempt"]) == ("FAILED", 2)
    told = await kinds(acme, failed["id"])
    assert told.count("model.completed") == told.count("tool.completed") == 1, "a recorded step ran again"
    assert told.count("execution.failed") == 2
    events = await acme.followed(failed["id"])
    assert [event.event for event in events if event.event in ("done", "error")] == ["error"]


async def test_resuming_or_retrying_what_runs_changes_nothing(acme: Rest) -> None:
    started = await acme.start(await acme.publish(slow()))
    path = f"/v1/executions/{started['id']}"
    await acme.until(started["id"], "RUNNING")
    for wish in ("resume", "retry"):
        assert (await acme.post(f"{path}/{wish}"))["status"] == "RUNNING"
    await acme.post(f"{path}/cancel")
    assert (await acme.until(started["id"]))["status"] == "CANCELLED"


@pytest.mark.parametrize("wish", ["cancel", "pause", "resume", "retry"])
async def test_what_one_cannot_see_one_cannot_stop(acme: Rest, wish: str) -> None:
    for execution_id in ("01a1f8c1-8a6c-764a-8913-af7269b49e47", "nonsense"):
        with pytest.raises(Refused) as refused:
            await acme.post(f"/v1/executions/{execution_id}/{wish}")
        assert (refused.value.status, refused.value.code) == (404, "EXECUTION_NOT_FOUND")
