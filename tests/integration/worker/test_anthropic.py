"""The Anthropic provider over real HTTP, against a server that speaks the Messages API's wire format."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.worker.core.decide import CallModel, decide
from services.worker.core.entries import Block, Entry, ModelCompleted, Text, Thinking, ToolCompleted, ToolUse, Usage
from services.worker.core.spec import ModelRequest
from services.worker.core.state import apply, begin
from services.worker.models.anthropic import Anthropic
from services.worker.models.asking import Patience, ask
from services.worker.models.contract import Delta, ModelError, Result
from services.worker.models.router import Router
from tests.fakes.anthropic import MessagesApi, Refuse, Say, messages_api, text, thinking, tool_use
from tests.unit.worker.core_script import spec

MODEL = "claude-sonnet-5-5"
HELLO = Say([text("Hello, world.")])


@pytest.fixture
async def api() -> AsyncIterator[MessagesApi]:
    async with messages_api() as server:
        yield server


@pytest.fixture
async def account(api: MessagesApi) -> AsyncIterator[Anthropic]:
    account = Anthropic("key", base_url=api.url, silence=5)
    yield account
    await account.close()


def request(*journal: Entry, what: Any = None, **changes: Any) -> ModelRequest:
    what = what or spec(model=MODEL, **changes)
    state = begin('"go"')
    for entry in journal:
        state = apply(what, state, entry)
    action = decide(what, state)
    assert isinstance(action, CallModel)
    return action.request


class Asked:
    """One call with its retries: what was watched, what was waited for, and how it ended."""

    def __init__(self, account: Anthropic, *, retries: int = 2, seconds_left: float = 1000) -> None:
        self.account = account
        self.retries = retries
        self.seconds_left = seconds_left
        self.deltas: list[Delta] = []
        self.pauses: list[float] = []
        self.failed: list[str] = []

    async def result(self, asked: ModelRequest) -> Result:
        return await ask(
            Router(self.account).find(asked.model),
            asked,
            retries=self.retries,
            seconds_left=lambda: self.seconds_left,
            watch=self.deltas.append,
            retrying=lambda error, attempt, seconds: self.failed.append(error.failure.code),
            patience=Patience(self._pause, lambda: 0.5),
        )

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


@pytest.mark.parametrize(
    ("blocks", "content", "stop"),
    [
        ([text("Hello, world.")], (Text("Hello, world."),), "end_turn"),
        ([text("")], (Text(""),), "end_turn"),
        ([], (), "end_turn"),
        ([text("äöü 🙂 日本")], (Text("äöü 🙂 日本"),), "end_turn"),
        (
            [text("So:"), tool_use("t1", "add", {"a": 1, "b": 2})],
            (Text("So:"), ToolUse("t1", "add", '{"a": 1, "b": 2}')),
            "tool_use",
        ),
        (
            [tool_use("t1", "add", {"a": 1, "b": 2}), tool_use("t2", "add", {"a": 3, "b": 4})],
            (ToolUse("t1", "add", '{"a": 1, "b": 2}'), ToolUse("t2", "add", '{"a": 3, "b": 4}')),
            "tool_use",
        ),
        ([tool_use("t1", "send", {})], (ToolUse("t1", "send", "{}"),), "tool_use"),
        ([thinking("hm, well", "sig"), text("x")], (Thinking("hm, well", "sig"), Text("x")), "end_turn"),
        ([thinking("", "sig"), text("x")], (Thinking("", "sig"), Text("x")), "end_turn"),
        (
            [{"type": "redacted_thinking", "data": "opaque"}, text("x")],
            (Thinking(redacted="opaque"), Text("x")),
            "end_turn",
        ),
        ([text("No.")], (Text("No."),), "refusal"),
        ([text("half")], (Text("half"),), "max_tokens"),
        ([text("wait")], (Text("wait"),), "pause_turn"),
    ],
)
@pytest.mark.parametrize("piece", [1, 1000])
async def test_an_answer_is_put_together_from_its_events(
    api: MessagesApi, account: Anthropic, blocks: Any, content: tuple[Block, ...], stop: str, piece: int
) -> None:
    api.behaviours = [Say(blocks, stop, piece=piece)]
    asked = Asked(account)
    result = await asked.result(request())
    assert (result.model, result.content, result.stop_reason) == (MODEL, content, stop)
    assert "".join(delta.text for delta in asked.deltas) == "".join(b.text for b in content if isinstance(b, Text))
    assert asked.failed == []


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        (Refuse(429, "rate_limit_error"), "MODEL_RATE_LIMITED"),
        (Refuse(529, "overloaded_error"), "MODEL_OVERLOADED"),
        (Refuse(500), "MODEL_UNAVAILABLE"),
        (Refuse(502, "weird"), "MODEL_UNAVAILABLE"),
        (Refuse(503), "MODEL_UNAVAILABLE"),
        (Refuse(504, "timeout_error"), "MODEL_TIMEOUT"),
        (Refuse(408, "weird"), "MODEL_TIMEOUT"),
        (Say([text("Hello, world.")], cut_after=0), "MODEL_UNAVAILABLE"),
        (Say([text("Hello, world.")], cut_after=4), "MODEL_UNAVAILABLE"),
        (Say([text("Hello, world.")], cut_after=6), "MODEL_UNAVAILABLE"),
        (Say([text("Hello, world.")], garble_after=3), "MODEL_UNAVAILABLE"),
        (Say([text("x")], garble_after=3, garble='{"type": "content_block_delta", "index": 9}'), "MODEL_UNAVAILABLE"),
        (Say([text("x")], garble_after=3, garble='["no event"]'), "MODEL_UNAVAILABLE"),
        (Say([text("Hello, world.")], error_after=3), "MODEL_OVERLOADED"),
        (Say([text("Hello, world.")], error_after=3, error="rate_limit_error"), "MODEL_RATE_LIMITED"),
        (Say([text("Hello, world.")], error_after=1, error="api_error"), "MODEL_UNAVAILABLE"),
    ],
)
async def test_a_transient_failure_is_tried_again(
    api: MessagesApi, account: Anthropic, behaviour: Say | Refuse, code: str
) -> None:
    api.behaviours = [behaviour, behaviour, HELLO]
    asked = Asked(account)
    assert (await asked.result(request())).content == (Text("Hello, world."),)
    assert asked.failed == [code, code]
    assert asked.pauses == [0.25, 0.5]


async def test_a_stream_that_falls_silent_is_tried_again(api: MessagesApi) -> None:
    account = Anthropic("key", base_url=api.url, silence=0.3)
    api.behaviours = [Say([text("Hello")], hang_after=3), HELLO]
    asked = Asked(account)
    assert (await asked.result(request())).content == (Text("Hello, world."),)
    assert asked.failed == ["MODEL_TIMEOUT"]
    await account.close()


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        (Refuse(400, "invalid_request_error", "temperature: not supported"), "MODEL_REQUEST_REJECTED"),
        (Refuse(401, "authentication_error"), "MODEL_AUTHENTICATION_FAILED"),
        (Refuse(402, "billing_error"), "MODEL_BILLING_FAILED"),
        (Refuse(403, "permission_error"), "MODEL_PERMISSION_DENIED"),
        (Refuse(404, "not_found_error"), "MODEL_NOT_AVAILABLE"),
        (Refuse(413, "request_too_large"), "MODEL_REQUEST_TOO_LARGE"),
        (Refuse(422, "weird"), "MODEL_REQUEST_REJECTED"),
        (Say([text("x")], error_after=2, error="invalid_request_error"), "MODEL_REQUEST_REJECTED"),
    ],
)
async def test_a_lasting_failure_is_not_tried_again(
    api: MessagesApi, account: Anthropic, behaviour: Say | Refuse, code: str
) -> None:
    api.behaviours = [behaviour]
    with pytest.raises(ModelError) as failed:
        await Asked(account).result(request())
    assert failed.value.failure.code == code
    assert not failed.value.failure.retryable
    assert len(api.requests) == 1


async def test_the_last_of_many_failures_is_the_one_that_is_told(api: MessagesApi, account: Anthropic) -> None:
    api.behaviours = [Refuse(429, "rate_limit_error"), Refuse(500), Refuse(529, "overloaded_error", "try later")]
    with pytest.raises(ModelError, match="try later") as failed:
        await Asked(account, retries=2).result(request())
    assert failed.value.failure.retryable
    assert len(api.requests) == 3


async def test_the_pause_that_the_provider_asks_for_is_kept(api: MessagesApi, account: Anthropic) -> None:
    api.behaviours = [Refuse(429, "rate_limit_error", retry_after="7"), HELLO]
    asked = Asked(account)
    await asked.result(request())
    assert asked.pauses == [pytest.approx(7.35)]


async def test_a_pause_beyond_the_time_left_is_not_waited_for(api: MessagesApi, account: Anthropic) -> None:
    api.behaviours = [Refuse(429, "rate_limit_error", retry_after="7"), HELLO]
    asked = Asked(account, seconds_left=5)
    with pytest.raises(ModelError):
        await asked.result(request())
    assert asked.pauses == []


async def test_nothing_listening_is_a_transient_failure() -> None:
    account = Anthropic("key", base_url="http://127.0.0.1:9", silence=5)
    with pytest.raises(ModelError) as failed:
        await Asked(account, retries=1).result(request())
    assert failed.value.failure.code == "MODEL_UNAVAILABLE"
    assert failed.value.failure.retryable
    await account.close()


async def test_the_request_is_what_the_api_expects(api: MessagesApi, account: Anthropic) -> None:
    api.behaviours = [HELLO]
    settings = {
        "temperature": 0.5,
        "maxTokens": 100,
        "topP": 0.9,
        "stopSequences": ["END"],
        "thinking": {"type": "enabled", "budgetTokens": 2048},
        "toolChoice": {"type": "auto", "disableParallelToolUse": True},
        "effort": "low",
        "script": [],
    }
    await Asked(account).result(request(settings=settings))
    sent = api.requests[0]
    mark = {"type": "ephemeral"}
    assert sent.pop("tools")[0]["input_schema"]["required"] == ["a", "b"]
    assert sent == {
        "model": MODEL,
        "max_tokens": 100,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "go", "cache_control": mark}]}],
        "system": [{"type": "text", "text": "Be brief.", "cache_control": mark}],
        "temperature": 0.5,
        "top_p": 0.9,
        "stop_sequences": ["END"],
        "thinking": {"type": "enabled", "budget_tokens": 2048},
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        "output_config": {"effort": "low"},
        "stream": True,
    }
    assert api.web.seen[0].headers["authorization"] == "Bearer key"


async def test_history_goes_back_with_thinking_and_results(api: MessagesApi, account: Anthropic) -> None:
    api.behaviours = [HELLO]
    said: tuple[Block, ...] = (
        Thinking("hm", "sig"),
        Thinking(redacted="opaque"),
        Thinking("unsigned"),
        Text(""),
        ToolUse("t1", "add", '{"a": 1, "b": 2}'),
        ToolUse("t2", "send", '{"cut'),
    )
    journal: list[Entry] = [
        ModelCompleted(1, "anthropic", MODEL, said, "tool_use"),
        ToolCompleted("t1", '"three"'),
        ToolCompleted("t2", '{"x":1}'),
    ]
    await Asked(account).result(request(*journal))
    _, assistant, user = api.requests[0]["messages"]
    assert assistant["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "opaque"},
        {"type": "tool_use", "id": "t1", "name": "add", "input": {"a": 1, "b": 2}},
        {"type": "tool_use", "id": "t2", "name": "send", "input": {"unreadable": '{"cut'}},
    ]
    mark = {"type": "ephemeral"}
    assert user["content"] == [
        {"type": "tool_result", "tool_use_id": "t1", "content": "three"},
        {"type": "tool_result", "tool_use_id": "t2", "content": '{"x":1}', "cache_control": mark},
    ]


async def test_usage_counts_cached_tokens_and_prices_them(api: MessagesApi, account: Anthropic) -> None:
    usage = {"input_tokens": 1000, "cache_read_input_tokens": 10_000, "cache_creation_input_tokens": 2000}
    api.behaviours = [Say([text("x")], usage=usage, output_tokens=500)]
    result = await Asked(account).result(request())
    # 1000 at $2 + 10,000 at $0.10 + 2000 at $2.50 + 500 at $10, each for a million tokens
    assert result.usage == Usage(13_000, 500, 10_000, 2000, cost_micros=2000 + 1000 + 5000 + 5000)
    assert result.price_version == account.prices.version


async def test_what_a_broken_off_try_cost_is_counted_too(api: MessagesApi, account: Anthropic) -> None:
    usage = {"input_tokens": 1000}
    whole = Say([text("Hello, world.")], usage=usage, output_tokens=10)
    api.behaviours = [Say([text("Hello, world.")], usage=usage, cut_after=4), whole]
    result = await Asked(account).result(request())
    assert result.usage.input_tokens == 2000
    assert result.usage.cost_micros == 2 * 2000 + 10 * 10 + 10


async def test_a_call_stays_within_its_bound(api: MessagesApi, account: Anthropic) -> None:
    usage = {"input_tokens": 0, "cache_creation_input_tokens": 40}
    api.behaviours = [Say([text("x")], usage=usage, output_tokens=64)]
    asked = request(settings={"maxTokens": 64})
    bound = Router(account).find(MODEL).bound(asked)
    result = await Asked(account).result(asked)
    assert result.usage.tokens <= bound.tokens
    assert result.usage.cost_micros <= bound.cost_micros
