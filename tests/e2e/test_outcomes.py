"""How executions end: with an output of the declared shape, or with an error that says what to do."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients.agents import say, scripted, slow, use
from tests.clients.rest import Refused, Rest

ANSWER = {"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]}


async def failure(acme: Rest, definition: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Run an agent that must fail and return why."""
    ended = await acme.run(await acme.publish(definition), **more)
    assert ended["status"] == "FAILED", ended
    assert "output" not in ended
    events = await acme.followed(ended["id"])
    assert events[-1].event == "error"
    assert events[-1].data["error"]["error"] == ended["error"]
    return dict(ended["error"])


async def test_an_output_of_the_declared_shape_is_json(acme: Rest) -> None:
    for text in ('{"sum": 42}', '```json\n{"sum": 42}\n```'):
        done = await acme.run(await acme.publish(scripted(say(text), outputSchema=ANSWER)))
        assert (done["status"], done["output"]) == ("COMPLETED", {"sum": 42})


async def test_an_output_of_another_shape_is_mended_by_the_model(acme: Rest) -> None:
    agent = await acme.publish(
        scripted(say("It is 42."), say('{"sum": "42"}'), say('{"sum": 42}'), outputSchema=ANSWER)
    )
    done = await acme.run(agent)
    assert (done["status"], done["output"], done["usage"]["steps"]) == ("COMPLETED", {"sum": 42}, 3)


async def test_an_output_that_stays_wrong_fails_clearly(acme: Rest) -> None:
    error = await failure(acme, scripted(*[say('{"sum": "42"}')] * 5, outputSchema=ANSWER))
    assert error["code"] == "INVALID_OUTPUT"
    assert "sum" in error["details"]["problems"]


async def test_input_that_does_not_match_is_refused_before_anything_is_kept(acme: Rest) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer", "minimum": 0}, "tags": {"type": "array", "items": {"type": "string"}}},
        "required": ["n"],
        "additionalProperties": False,
    }
    agent = await acme.publish(scripted(say("Hi."), inputSchema=schema))
    for given, field in (
        ({"n": -1}, "input.n"),
        ({"n": 1, "tags": ["a", 2]}, "input.tags[1]"),
        ({}, "input"),
        ({"n": 1, "m": 2}, "input"),
        (None, "input"),
        ("n", "input"),
    ):
        for path in ("executions", "execute"):
            with pytest.raises(Refused) as refused:
                await acme.post(f"/v1/agents/{agent}/{path}", {"input": given})
            assert (refused.value.status, refused.value.code) == (400, "INVALID_INPUT")
            assert refused.value.fields == [field]
            assert refused.value.actions
    assert (await acme.get("/v1/executions"))["executions"] == []
    assert (await acme.run(agent, {"n": 1, "tags": []}))["status"] == "COMPLETED"


async def test_an_execution_beyond_its_time_fails_and_says_so(acme: Rest) -> None:
    error = await failure(acme, slow(timeout="0.5s"))
    assert error["code"] == "EXECUTION_TIMEOUT"
    ended = await acme.run(await acme.publish(slow()), timeout="0.5s")
    assert ended["error"]["code"] == "EXECUTION_TIMEOUT"


async def test_a_model_that_nobody_answers_for_fails_clearly(acme: Rest) -> None:
    error = await failure(acme, scripted(model="vllm/nobody"))
    assert error["code"] == "MODEL_NOT_AVAILABLE"
    assert "scripted" in error["message"]


@pytest.mark.parametrize("model", ["balanced", "claude-sonnet-4-5", "anthropic/claude-sonnet-4-5"])
async def test_claude_without_a_key_says_which_variable_is_missing(acme: Rest, model: str) -> None:
    error = await failure(acme, scripted(model=model))
    assert error["code"] == "MODEL_NOT_AVAILABLE"
    assert "ANTHROPIC_API_KEY" in error["message"]


async def test_an_agent_that_never_ends_is_stopped_at_its_most_steps(acme: Rest) -> None:
    again = use("calculator", {"expression": "1 + 1"})
    error = await failure(acme, scripted(*[again] * 9, tools=["calculator"], maxSteps=3))
    assert error["code"] == "MAX_STEPS_EXCEEDED"
    assert "maxSteps" in error["message"]


async def test_a_script_that_is_too_short_fails_clearly(acme: Rest) -> None:
    error = await failure(acme, scripted(use("calculator", {"expression": "1"}), tools=["calculator"]))
    assert error["code"] == "SCRIPT_EXHAUSTED"


async def test_transient_failures_of_a_model_are_tried_again(acme: Rest) -> None:
    shaky = say("There.", error={"status": 529, "times": 2, "retryAfter": 0})
    done = await acme.run(await acme.publish(scripted(shaky)))
    assert (done["status"], done["output"]) == ("COMPLETED", "There.")
    warned = (await acme.get(f"/v1/executions/{done['id']}/logs", level="WARN"))["logs"]
    assert [line["metadata"]["code"] for line in warned] == ["MODEL_OVERLOADED"] * 2
    error = await failure(acme, scripted(shaky, maxRetries=0))
    assert (error["code"], error["retryable"]) == ("MODEL_OVERLOADED", True)


async def test_the_inside_of_the_platform_cannot_be_reached_by_tools(acme: Rest) -> None:
    peek = use("http", {"url": f"{acme.url}/readyz"})
    done = await acme.run(await acme.publish(scripted(peek, say("{{tool.output}}"), tools=["http"])))
    assert done["status"] == "COMPLETED"
    step = (await acme.get(f"/v1/executions/{done['id']}/steps"))["steps"][1]
    assert (step["status"], step["error"]["code"]) == ("FAILED", "EGRESS_REFUSED")
