"""The scripted model says what its script says, turn by turn."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from services.worker.core.decide import CallModel, decide
from services.worker.core.entries import Block, Entry, Failure, ModelCompleted, Text, ToolCompleted, ToolFailed, ToolUse
from services.worker.core.spec import ModelRequest
from services.worker.core.state import apply, begin
from services.worker.models.contract import Bound, Delta, ModelError, Result
from services.worker.models.scripted import Scripted
from tests.unit.worker.core_script import spec, use


def request(script: Any, *journal: Entry, input_json: str = '"go"') -> ModelRequest:
    what = spec(settings={"script": script})
    state = begin(input_json)
    for entry in journal:
        state = apply(what, state, entry)
    action = decide(what, state)
    assert isinstance(action, CallModel)
    return action.request


def after(output_json: str) -> tuple[Entry, ...]:
    """The journal of a first turn whose tool answered this."""
    return ModelCompleted(1, "scripted", "scripted", (use("c1", 1, 2),), "tool_use"), ToolCompleted("c1", output_json)


class Spoken:
    """What the model said, and how long it paused."""

    def __init__(self) -> None:
        self.pauses: list[float] = []
        self.deltas: list[Delta] = []

    async def result(self, asked: ModelRequest, attempt: int = 1) -> Result:
        async for item in Scripted(self._sleep).stream(asked, attempt):
            if isinstance(item, Result):
                return item
            self.deltas.append(item)
        raise AssertionError("no result")

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)


async def content(script: Any, *journal: Entry, input_json: str = '"go"') -> tuple[Block, ...]:
    return (await Spoken().result(request(script, *journal, input_json=input_json))).content


@pytest.mark.parametrize(
    "turn",
    [
        [{"text": "hi"}],
        {"content": [{"text": "hi"}]},
        {"text": "hi"},
        [{"text": "hi", "delayMs": 0}],
        [{"text": "hi"}, {"delayMs": 0}],
        {"content": [{"text": "hi"}], "usage": {"inputTokens": 3}},
    ],
)
async def test_a_turn_is_a_list_of_blocks_or_an_object(turn: Any) -> None:
    assert await content([turn]) == (Text("hi"),)


async def test_the_nth_turn_answers_the_nth_call() -> None:
    script = [[{"text": "adding"}, {"toolUse": {"name": "add", "input": {"a": 1, "b": 2}}}], [{"text": "done"}]]
    first = await Spoken().result(request(script))
    assert first.content == (Text("adding"), ToolUse("call_1_1", "add", '{"a":1,"b":2}'))
    assert (first.stop_reason, first.model) == ("tool_use", "scripted")
    second = await Spoken().result(request(script, *after("3")))
    assert (second.content, second.stop_reason) == ((Text("done"),), "end_turn")


@pytest.mark.parametrize(
    ("text", "output", "said"),
    [
        ("it is {{tool.output}}.", "5", "it is 5."),
        ("it is {{ tool.output }}.", '"five"', "it is five."),
        ("{{tool.output}}", '{"a":[1,2]}', '{"a":[1,2]}'),
        ("{{tool.output.data.0.x}}/{{tool.output.data.1.x}}", '{"data":[{"x":1},{"x":"y"}]}', "1/y"),
        ("{{input.who}} said {{tool.output}}", "5", "ann said 5"),
        ("{{input}}", "5", '{"who":"ann","list":[1]}'),
        ("{{unknown}} {{tool.input}}", "5", "{{unknown}} {{tool.input}}"),
    ],
)
async def test_placeholders_are_filled_in_text(text: str, output: str, said: str) -> None:
    script = [[], [{"text": text}]]
    spoken = await content(script, *after(output), input_json='{"who":"ann","list":[1]}')
    assert spoken == (Text(said),)


async def test_placeholders_keep_their_type_in_tool_inputs() -> None:
    value = {"a": "{{tool.output.n}}", "b": ["{{input.list}}"], "c": "n={{tool.output.n}}", "d": 1}
    script = [[], [{"toolUse": {"name": "add", "input": value}}]]
    spoken = await content(script, *after('{"n":2.5}'), input_json='{"list":[1,2]}')
    assert isinstance(spoken[0], ToolUse)
    assert orjson.loads(spoken[0].input_json) == {"a": 2.5, "b": [[1, 2]], "c": "n=2.5", "d": 1}


async def test_the_output_of_a_failed_tool_is_its_error() -> None:
    journal = after("0")[0], ToolFailed("c1", Failure("NOPE", "It broke."))
    assert await content([[], [{"text": "{{tool.output}}"}]], *journal) == (Text("NOPE: It broke."),)


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ([], "SCRIPT_EXHAUSTED"),
        (None, "SCRIPT_EXHAUSTED"),
        ("hello", "SCRIPT_INVALID"),
        (["hello"], "SCRIPT_INVALID"),
        ([["hello"]], "SCRIPT_INVALID"),
        ([[{"toolUse": {"input": {}}}]], "SCRIPT_INVALID"),
        ([[{"text": "{{tool.output}}"}]], "SCRIPT_INVALID"),
        ([[{"text": "{{input.who}}"}]], "SCRIPT_INVALID"),
    ],
)
async def test_a_script_that_cannot_answer_says_why(script: Any, code: str) -> None:
    with pytest.raises(ModelError) as failed:
        await content(script)
    assert failed.value.failure.code == code
    assert not failed.value.failure.retryable


async def test_a_delay_passes_while_the_text_is_said() -> None:
    spoken = Spoken()
    await spoken.result(request([{"content": [{"text": "0123456789"}], "delayMs": 100}]))
    assert [delta.text for delta in spoken.deltas] == ["01", "23", "45", "67", "89"]
    assert sum(spoken.pauses) == pytest.approx(0.1)


async def test_a_turn_without_text_is_delayed_as_a_whole() -> None:
    spoken = Spoken()
    await spoken.result(request([[{"toolUse": {"name": "add", "input": {}}, "delayMs": 50}]]))
    assert (spoken.pauses, spoken.deltas) == ([0.05], [])


async def test_without_a_delay_nothing_pauses_and_the_text_comes_at_once() -> None:
    spoken = Spoken()
    await spoken.result(request([[{"text": "a"}, {"text": "b"}]]))
    assert (spoken.pauses, spoken.deltas) == ([], [Delta("ab")])


async def test_usage_is_what_the_script_says_or_goes_by_length() -> None:
    given = {"inputTokens": 7, "outputTokens": 3, "costMicros": 11}
    said = (await Spoken().result(request([{"content": [{"text": "x"}], "usage": given}]))).usage
    assert (said.input_tokens, said.output_tokens, said.cost_micros) == (7, 3, 11)
    estimated = (await Spoken().result(request([[{"text": "x" * 400}]]))).usage
    assert estimated.output_tokens == 100
    assert estimated.input_tokens > 10
    assert estimated.cost_micros == 0


async def test_the_bound_is_what_will_be_used() -> None:
    asked = request([{"content": [{"text": "x"}], "usage": {"inputTokens": 7, "outputTokens": 3, "costMicros": 11}}])
    assert Scripted().bound(asked) == Bound(10, 11)
    assert Scripted().bound(request([])) == Bound(0, 0)


@pytest.mark.parametrize(
    ("error", "code", "transient", "retry_after"),
    [
        ({"status": 429, "retryAfter": 3, "message": "slow down"}, "MODEL_RATE_LIMITED", True, 3.0),
        ({"status": 529}, "MODEL_OVERLOADED", True, None),
        ({"type": "overloaded_error"}, "MODEL_OVERLOADED", True, None),
        ({"status": 400}, "MODEL_REQUEST_REJECTED", False, None),
        ({"code": "MINE", "message": "m"}, "MINE", False, None),
        ({"code": "MINE", "retryable": True}, "MINE", True, None),
        ("boom", "MODEL_UNAVAILABLE", True, None),
    ],
)
async def test_a_turn_can_fail(error: Any, code: str, transient: bool, retry_after: float | None) -> None:
    with pytest.raises(ModelError) as failed:
        await Spoken().result(request([{"content": [{"text": "x"}], "error": error}]), attempt=9)
    assert (failed.value.failure.code, failed.value.failure.retryable) == (code, transient)
    assert failed.value.retry_after == retry_after


async def test_a_turn_can_fail_some_times_and_then_answer() -> None:
    asked = request([{"content": [{"text": "x"}], "error": {"status": 500, "times": 2}}])
    for attempt in (1, 2):
        with pytest.raises(ModelError):
            await Spoken().result(asked, attempt)
    assert (await Spoken().result(asked, 3)).content == (Text("x"),)
