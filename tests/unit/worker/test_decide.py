"""What the loop decides: steps, limits, tools, stop reasons and output."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
import pytest

from services.worker.core.decide import CallModel, Fail, Stop, decide, idempotency_key
from services.worker.core.entries import (
    Effect,
    Entry,
    ExecutionCompleted,
    ExecutionFailed,
    ModelCompleted,
    Noted,
    Text,
    Thinking,
    ToolCompleted,
    ToolDispatched,
    ToolFailed,
    ToolUnknown,
    ToolUse,
    Usage,
)
from services.worker.core.schema import SchemaError
from services.worker.core.spec import ModelRequest
from services.worker.core.state import JournalError, apply, begin
from services.worker.core.transcript import ToolResult, canonical_message
from tests.unit.worker.core_script import World, fold, run, say, spec, use

OBJECT = {"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]}


def failure_of(journal: list[Entry]) -> str:
    last = journal[-1]
    assert isinstance(last, ExecutionFailed), last
    return last.failure.code


def output_of(journal: list[Entry]) -> str:
    last = journal[-1]
    assert isinstance(last, ExecutionCompleted), last
    return last.output_json


def test_a_model_a_tool_and_a_model_again_make_the_journal_of_react3() -> None:
    world = World([(Text("adding"), use("c1", 2, 3)), say("five")])
    journal = run(spec(), world, '"add 2 and 3"')
    assert [type(entry) for entry in journal] == [
        ModelCompleted,
        ToolDispatched,
        ToolCompleted,
        ModelCompleted,
        ExecutionCompleted,
    ]
    assert output_of(journal) == '"five"'
    assert [message.role for message in world.requests[1].messages] == ["user", "assistant", "user"]
    assert world.requests[1].messages[2].content == (ToolResult("c1", "5"),)


@pytest.mark.parametrize(
    ("input_json", "text"),
    [('"hello"', "hello"), ('{"a": 1,  "b": [2]}', '{"a":1,"b":[2]}'), ("12", "12"), ("null", "(no input)")],
)
def test_input_becomes_the_first_message(input_json: str, text: str) -> None:
    world = World([say("ok")])
    run(spec(), world, input_json)
    assert world.requests[0].messages[0].content == (Text(text),)


def test_results_of_parallel_calls_go_back_in_the_order_they_were_asked_for() -> None:
    world = World([(use("c1", 1, 1), use("c2", 2, 2)), say("done")])
    state = fold(spec(), "1", [world.model(_request(spec()))])
    for call_id, output in (("c2", "4"), ("c1", "2")):
        state = apply(spec(), state, ToolCompleted(call_id, output))
    action = decide(spec(), state)
    assert isinstance(action, CallModel)
    assert action.request.messages[-1].content == (ToolResult("c1", "2"), ToolResult("c2", "4"))


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        (ToolUse("c1", "subtract", "{}"), "UNKNOWN_TOOL"),
        (ToolUse("c1", "add", '{"a": 1'), "INVALID_TOOL_ARGUMENTS"),
        (ToolUse("c1", "add", '{"a": "one", "b": 2}'), "INVALID_TOOL_ARGUMENTS"),
        (ToolUse("c1", "add", '{"a": 1}'), "INVALID_TOOL_ARGUMENTS"),
    ],
)
def test_a_call_that_cannot_be_made_goes_back_to_the_model(wish: ToolUse, code: str) -> None:
    world = World([(wish, use("c2", 1, 2)), say("mended")])
    journal = run(spec(), world, "1")
    failed = [entry for entry in journal if isinstance(entry, ToolFailed)]
    assert [(entry.call_id, entry.failure.code) for entry in failed] == [("c1", code)]
    assert world.effects == ["c2"]
    first = world.requests[1].messages[-1].content[0]
    assert isinstance(first, ToolResult)
    assert first.is_error
    assert code in first.content
    assert output_of(journal) == '"mended"'


def test_the_last_step_may_not_call_tools() -> None:
    world = World([(use(f"c{n}", n, n),) for n in range(3)])
    journal = run(spec(max_steps=3), world, "1")
    assert failure_of(journal) == "MAX_STEPS_EXCEEDED"
    assert world.effects == ["c0", "c1"]


def test_twenty_steps_are_the_default() -> None:
    world = World([(use(f"c{n}", n, 1),) for n in range(30)])
    assert failure_of(run(spec(), world, "1")) == "MAX_STEPS_EXCEEDED"
    assert len(world.requests) == 20


def test_more_than_a_hundred_tool_calls_are_refused_before_they_start() -> None:
    world = World([tuple(use(f"c{n}-{k}", n, k) for k in range(60)) for n in range(2)])
    assert failure_of(run(spec(), world, "1")) == "TOOL_CALL_LIMIT"
    assert len(world.effects) == 60


@pytest.mark.parametrize(
    ("stop", "code"),
    [
        ("max_tokens", "MODEL_OUTPUT_TRUNCATED"),
        ("refusal", "MODEL_REFUSED"),
        ("model_context_window_exceeded", "CONTEXT_WINDOW_EXCEEDED"),
    ],
)
@pytest.mark.parametrize("content", [say("half"), (use("c1", 1, 2),)])
def test_an_answer_that_is_not_whole_fails(stop: str, code: str, content: Any) -> None:
    world = World([content], stops={1: stop})
    assert failure_of(run(spec(), world, "1")) == code
    assert world.effects == []


def test_a_paused_turn_is_continued() -> None:
    world = World([(Thinking("hm", "sig"), Text("wait")), say("done")], stops={1: "pause_turn"})
    assert output_of(run(spec(), world, "1")) == '"done"'
    assert world.requests[1].messages[-1].content == (Thinking("hm", "sig"), Text("wait"))


def test_an_unknown_stop_reason_ends_the_turn() -> None:
    assert output_of(run(spec(), World([say("done")], stops={1: "tired"}), "1")) == '"done"'


@pytest.mark.parametrize(
    "text",
    ['{"sum": 5}', ' {"sum": 5}\n', '```json\n{"sum": 5}\n```', 'Here it is:\n```\n{"sum": 5}\n```\nDone.'],
)
def test_output_is_json_that_matches_the_schema(text: str) -> None:
    journal = run(spec(output_schema=OBJECT), World([say(text)]), "1")
    assert output_of(journal) == '{"sum": 5}'


def test_plain_text_will_do_where_the_schema_takes_a_string() -> None:
    assert output_of(run(spec(output_schema={"type": "string"}), World([say("five")]), "1")) == '"five"'


@pytest.mark.parametrize("bad", ["five", '{"sum": "five"}', '{"total": 5}', '{"sum": 5, "x": "\\u0000"}'])
def test_output_that_does_not_match_is_mended(bad: str) -> None:
    world = World([say(bad), say('{"sum": 5}')])
    assert output_of(run(spec(output_schema=OBJECT), world, "1")) == '{"sum": 5}'
    request = world.requests[1].messages[-1]
    assert request.role == "user"
    assert isinstance(request.content[0], Text)
    assert "JSON Schema" in request.content[0].text


def test_output_that_stays_wrong_fails_with_what_is_wrong() -> None:
    world = World([say("a"), say('{"sum": "b"}'), say('{"sum": "c"}'), say('{"sum": 5}')])
    journal = run(spec(output_schema=OBJECT), world, "1")
    assert failure_of(journal) == "INVALID_OUTPUT"
    assert len(world.requests) == 3
    last = journal[-1]
    assert isinstance(last, ExecutionFailed)
    assert "sum" in dict(last.failure.details)["problems"]


def test_the_last_step_is_not_followed_by_a_request_to_mend() -> None:
    world = World([say("a"), say('{"sum": 5}')])
    assert failure_of(run(spec(output_schema=OBJECT, max_steps=1), world, "1")) == "INVALID_OUTPUT"


def test_the_schema_is_told_to_the_model() -> None:
    world = World([say('{"sum": 1}')])
    run(spec(output_schema=OBJECT), world, "1")
    assert world.requests[0].system.startswith("Be brief.")
    assert '"required":["sum"]' in world.requests[0].system


@pytest.mark.parametrize("effect", [Effect.PURE, Effect.IDEMPOTENT])
def test_an_interrupted_call_runs_again_with_the_same_key(effect: Effect) -> None:
    world = World([(use("c1", 2, 3),), say("five")])
    journal: list[Entry] = [
        world.model(_request(spec())),
        ToolDispatched("c1", "add", '{"a":2,"b":3}', effect, "key", 1),
    ]
    whole = run(spec(), world, "1", journal)
    assert world.effects == ["c1"]
    assert sum(isinstance(entry, ToolDispatched) for entry in whole) == 1
    assert output_of(whole) == '"five"'


def test_an_interrupted_irreversible_call_is_unknown_and_never_repeated() -> None:
    world = World([(use("c1", 2, 3), use("c2", 1, 1)), say("five")])
    journal: list[Entry] = [
        world.model(_request(spec())),
        ToolDispatched("c1", "send", "{}", Effect.IRREVERSIBLE, "key", 1),
        ToolDispatched("c2", "add", "{}", Effect.PURE, "key", 1),
    ]
    whole = run(spec(), world, "1", journal)
    assert [entry.call_id for entry in whole if isinstance(entry, ToolUnknown)] == ["c1"]
    assert failure_of(whole) == "EFFECT_UNKNOWN"
    assert world.effects == []


def test_entries_that_change_nothing_change_nothing() -> None:
    state = begin("1")
    assert apply(spec(), state, Noted("execution.started")) is state


def test_an_execution_that_failed_can_be_taken_up_again() -> None:
    failed = run(spec(max_steps=1), World([(use("c1", 1, 1),), say("done")]), "1")
    assert failure_of(failed) == "MAX_STEPS_EXCEEDED"
    assert isinstance(decide(spec(), fold(spec(), "1", failed)), Stop)
    again = run(spec(), World([(use("c1", 1, 1),), say("done")]), "1", [*failed, Noted("execution.started")])
    assert output_of(again) == '"done"'


@pytest.mark.parametrize(
    "entry",
    [
        ModelCompleted(2, "p", "m", say("early"), "end_turn"),
        ToolCompleted("c9", "1"),
        ToolDispatched("c9", "add", "{}", Effect.PURE, "k", 1),
    ],
)
def test_a_journal_that_no_run_wrote_is_refused(entry: Entry) -> None:
    with pytest.raises(JournalError):
        apply(spec(), begin("1"), entry)


def test_the_request_hash_is_the_hash_of_the_canonical_request() -> None:
    world = World([(Thinking("t", "s"), use("c1", 2, 3)), (Text("so"), use("c2", 13, 3)), say("five")])
    what = spec(settings={"temperature": 0})
    run(what, world, '"x"')
    for request in world.requests:
        messages = b",".join(canonical_message(message) for message in request.messages)
        whole = b'{"messages":[' + messages + what.rest
        assert orjson.dumps(orjson.loads(whole), option=orjson.OPT_SORT_KEYS) == whole
        assert request.hash == hashlib.sha256(whole).digest()


def test_what_is_new_since_the_last_answer_is_what_is_not_measured() -> None:
    world = World([(use("c1", 2, 3),), say("five")])
    what = spec()
    run(what, world, '"x"')
    first, second = world.requests
    assert first.measured_tokens == 0
    assert first.unmeasured_bytes > what.fixed_bytes
    assert second.measured_tokens == Usage(input_tokens=10, output_tokens=5).tokens
    assert second.unmeasured_bytes == len(canonical_message(second.messages[-1]))


def test_a_key_depends_on_the_execution_and_on_the_call() -> None:
    keys = {idempotency_key(execution, call) for execution in ("e1", "e2") for call in ("c1", "c2")}
    assert len(keys) == 4
    assert idempotency_key("e1", "c1") == idempotency_key("e1", "c1")


@pytest.mark.parametrize(
    "schema",
    [{"type": "strin"}, {"$ref": "http://127.0.0.1:9/schema.json"}, {"pattern": "(?=a)b"}],
)
def test_a_schema_that_is_none_or_reaches_out_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(SchemaError):
        spec(output_schema=schema)


def _request(what: Any) -> ModelRequest:
    action = decide(what, begin("1"))
    assert not isinstance(action, Fail)
    assert isinstance(action, CallModel)
    return action.request
