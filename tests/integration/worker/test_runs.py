"""Executions from assignment to their last entry, over a real stream."""

from __future__ import annotations

import asyncio
from types import MappingProxyType
from typing import Any

import orjson
import pytest

from retinue.execution.v1 import journal_pb2, worker_pb2
from retinue_core.clock import SystemClock
from services.worker.core.entries import Effect
from services.worker.tools.contract import ToolContext, ToolError
from tests.fakes.anthropic import MessagesApi, Refuse, Say, messages_api, text, tool_use
from tests.fakes.web import Reply, Seen
from tests.fakes.worker_service import agent_spec
from tests.integration.worker.conftest import Bench, Start

ADD = {"toolUse": {"name": "calculator", "input": {"expression": "2 + 3"}}}
REACT3 = [[{"text": "adding"}, ADD], [{"text": "The sum is {{tool.output}}."}]]
Entry = journal_pb2.JournalEntry


async def output(bench: Bench, execution_id: str) -> Any:
    last = await bench.execution.ended(execution_id)
    assert last.HasField("execution_completed"), last
    return orjson.loads(last.execution_completed.output_json)


async def failure(bench: Bench, execution_id: str) -> str:
    last = await bench.execution.ended(execution_id)
    assert last.HasField("execution_failed"), last
    return last.execution_failed.error.code


def post(bench: Bench, path: str = "/pay") -> dict[str, Any]:
    return {"toolUse": {"name": "http", "input": {"method": "POST", "url": bench.web.url(path), "text": "x"}}}


def dispatched(bench: Bench, effect: Any, path: str = "/pay") -> list[Entry]:
    """The journal of a worker that was lost while it called the http tool."""
    value = orjson.dumps(post(bench, path)["toolUse"]["input"]).decode()
    use = journal_pb2.ContentBlock.ToolUse(id="call_1_0", name="http", input_json=value)
    said = journal_pb2.ModelCompleted(step=1, content=[journal_pb2.ContentBlock(tool_use=use)], stop_reason="tool_use")
    sent = journal_pb2.ToolDispatched(
        call_id="call_1_0", name="http", input_json=value, effect=effect, idempotency_key="old-key", step=1
    )
    started = journal_pb2.ExecutionStarted(attempt=1, worker="lost")
    return [Entry(execution_started=started), Entry(model_completed=said), Entry(tool_dispatched=sent)]


async def test_a_model_a_tool_and_a_model_again(bench: Bench) -> None:
    execution_id = await bench.execution.assign(agent_spec(REACT3))
    assert await output(bench, execution_id) == "The sum is 5."
    assert bench.execution.kinds(execution_id) == [
        "model_completed",
        "tool_dispatched",
        "tool_completed",
        "model_completed",
        "execution_completed",
    ]
    model, sent, answered, _, _ = bench.execution.journals[execution_id]
    assert (model.model_completed.provider, len(model.model_completed.request_hash)) == ("scripted", 32)
    assert sent.tool_dispatched.effect == journal_pb2.EFFECT_CLASS_PURE
    assert answered.tool_completed.output_json == "5"


async def test_what_leaves_in_one_turn_of_the_loop_leaves_together(bench: Bench) -> None:
    execution_id = await bench.execution.assign(agent_spec(REACT3))
    await bench.execution.ended(execution_id)
    assert bench.execution.stream.kinds() == ["hello", "delta", "append", "delta", "append"]
    texts = [frame.delta.text for frame in bench.execution.stream.frames if frame.HasField("delta")]
    assert texts == ["adding", "The sum is 5."]


async def test_the_worker_says_who_it_is(bench: Bench) -> None:
    await bench.execution.until(lambda: bench.execution.streams and bench.execution.stream.frames)
    hello = bench.execution.stream.frames[0].hello
    assert (hello.worker, hello.pool, hello.slots) == ("w1", "default", 100)
    assert set(hello.tools) == {"calculator", "http"}
    assert bench.execution.stream.identity.count(".") == 2


async def test_many_executions_run_side_by_side(bench: Bench) -> None:
    ids = [await bench.execution.assign(agent_spec(REACT3), {"n": n}) for n in range(50)]
    assert [await output(bench, one) for one in ids] == ["The sum is 5."] * 50


async def test_parallel_calls_run_at_the_same_time(bench: Bench) -> None:
    arrived = asyncio.Barrier(3)

    async def meet(_: Seen, writer: asyncio.StreamWriter) -> None:
        await arrived.wait()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    bench.web.raw["/meet"] = meet
    call = {"toolUse": {"name": "http", "input": {"url": bench.web.url("/meet")}}}
    execution_id = await bench.execution.assign(agent_spec([[call, call, call], [{"text": "met"}]]))
    assert await output(bench, execution_id) == "met"
    assert bench.execution.kinds(execution_id)[:4] == ["model_completed", *["tool_dispatched"] * 3]


async def test_data_flows_from_tool_to_tool_into_a_declared_output(bench: Bench) -> None:
    csv = b"region,amount\nnorth,12.5\nsouth,7.25\n"
    bench.web.routes["/sales.csv"] = lambda _: Reply(body=csv, headers={"content-type": "text/csv"})
    rows = {"rows": "{{tool.output.data}}"}
    script = [
        [{"toolUse": {"name": "http", "input": {"url": "{{input.url}}"}}}],
        [{"toolUse": {"name": "calculator", "input": {"expression": "sum(rows.amount)", "variables": rows}}}],
        [{"text": '{"total": {{tool.output}}}'}],
    ]
    schema = {"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}
    spec = agent_spec(script, output_schema=schema)
    execution_id = await bench.execution.assign(spec, {"url": bench.web.url("/sales.csv")})
    assert await output(bench, execution_id) == {"total": 19.75}


async def test_a_change_outside_waits_for_the_commit_of_its_intent(bench: Bench) -> None:
    bench.web.routes["/pay"] = lambda _: Reply(body=b"paid")
    bench.execution.acks = False
    execution_id = await bench.execution.assign(agent_spec([[post(bench)], [{"text": "done"}]]))
    await bench.execution.until(lambda: bench.execution.last(execution_id, "tool_dispatched"))
    other = await bench.execution.assign(agent_spec(REACT3))
    await bench.execution.ended(other)
    assert bench.web.seen == []
    bench.execution.acknowledge(execution_id)
    assert await output(bench, execution_id) == "done"
    key = bench.execution.journals[execution_id][1].tool_dispatched.idempotency_key
    assert [seen.headers["idempotency-key"] for seen in bench.web.seen] == [key]


async def test_an_interrupted_change_with_a_key_is_made_again_with_that_key(start: Start) -> None:
    async with start(honours=True, clock=SystemClock()) as bench:
        bench.web.routes["/pay"] = lambda _: Reply(body=b"paid")
        journal = dispatched(bench, journal_pb2.EFFECT_CLASS_IDEMPOTENT)
        execution_id = await bench.execution.assign(agent_spec([[], [{"text": "done"}]]), journal=journal)
        assert await output(bench, execution_id) == "done"
        assert [seen.headers["idempotency-key"] for seen in bench.web.seen] == ["old-key"]
        assert bench.execution.kinds(execution_id).count("tool_dispatched") == 1


@pytest.mark.parametrize("effect", [journal_pb2.EFFECT_CLASS_IRREVERSIBLE, journal_pb2.EFFECT_CLASS_UNSPECIFIED])
async def test_an_interrupted_change_without_a_key_is_never_made_again(bench: Bench, effect: Any) -> None:
    journal = dispatched(bench, effect)
    execution_id = await bench.execution.assign(agent_spec([[], [{"text": "done"}]]), journal=journal)
    assert await failure(bench, execution_id) == "EFFECT_UNKNOWN"
    assert bench.execution.kinds(execution_id)[-2:] == ["tool_unknown", "execution_failed"]
    assert bench.web.seen == []


async def test_a_change_that_breaks_off_is_unknown(bench: Bench) -> None:
    async def cut(_: Seen, writer: asyncio.StreamWriter) -> None:
        writer.close()

    bench.web.raw["/pay"] = cut
    execution_id = await bench.execution.assign(agent_spec([[post(bench)], [{"text": "done"}]], max_retries=3))
    assert await failure(bench, execution_id) == "EFFECT_UNKNOWN"
    assert len(bench.web.seen) == 1


async def test_a_change_with_a_key_that_breaks_off_is_repeated_until_it_is_answered(start: Start) -> None:
    async with start(honours=True, clock=SystemClock()) as bench:
        tries: list[str] = []

        async def third_time(seen: Seen, writer: asyncio.StreamWriter) -> None:
            tries.append(seen.headers["idempotency-key"])
            if len(tries) == 3:
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

        bench.web.raw["/pay"] = third_time
        execution_id = await bench.execution.assign(agent_spec([[post(bench)], [{"text": "done"}]], max_retries=3))
        assert await output(bench, execution_id) == "done"
        assert len(set(tries)) == 1


async def test_a_failing_tool_is_told_to_the_model(bench: Bench) -> None:
    call = {"toolUse": {"name": "calculator", "input": {"expression": "1 / 0"}}}
    execution_id = await bench.execution.assign(agent_spec([[call], [{"text": "{{tool.output}}"}]]))
    assert "division by zero" in await output(bench, execution_id)


async def test_the_time_of_an_execution_ends_it(bench: Bench) -> None:
    spec = agent_spec([{"content": [{"text": "slow"}], "delayMs": 60_000}])
    execution_id = await bench.execution.assign(spec, remaining_ms=200)
    assert await failure(bench, execution_id) == "EXECUTION_TIMEOUT"
    expired = await bench.execution.assign(agent_spec(REACT3), remaining_ms=0)
    assert await failure(bench, expired) == "EXECUTION_TIMEOUT"


async def test_a_change_under_way_when_time_ends_is_unknown(bench: Bench) -> None:
    bench.web.hang("/pay")
    execution_id = await bench.execution.assign(agent_spec([[post(bench)], []]), remaining_ms=500)
    assert await failure(bench, execution_id) == "EXECUTION_TIMEOUT"
    assert bench.execution.kinds(execution_id)[-2:] == ["tool_unknown", "execution_failed"]


async def test_poison_fails_alone(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    slow = await bench.execution.assign(agent_spec([{"content": [{"text": "ok"}], "delayMs": 200}]))
    orphan = Entry(tool_completed=journal_pb2.ToolCompleted(call_id="nobody", output_json="1"))
    poisoned = await bench.execution.assign(agent_spec(REACT3), journal=[orphan])
    assert await failure(bench, poisoned) == "INTERNAL"
    assert await output(bench, slow) == "ok"
    assert "met a fault of the worker" in caplog.text


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        (agent_spec(tools=["teleport"]), "TOOL_NOT_AVAILABLE"),
        (agent_spec(output_schema={"type": "strin"}), "INVALID_AGENT_CONFIG"),
        (agent_spec(output_schema={"$ref": "http://127.0.0.1:9/x"}), "INVALID_AGENT_CONFIG"),
        (agent_spec(model="gpt-9"), "MODEL_NOT_AVAILABLE"),
        (agent_spec(model="balanced"), "MODEL_NOT_AVAILABLE"),
        (agent_spec([]), "SCRIPT_EXHAUSTED"),
        (agent_spec([[ADD]] * 3, max_steps=2), "MAX_STEPS_EXCEEDED"),
    ],
)
async def test_what_cannot_run_says_why(bench: Bench, spec: Any, code: str) -> None:
    assert await failure(bench, await bench.execution.assign(spec)) == code


async def test_transient_model_errors_are_retried_and_logged(bench: Bench) -> None:
    turn = {"content": [{"text": "ok"}], "error": {"status": 529, "times": 2}}
    execution_id = await bench.execution.assign(agent_spec([turn], max_retries=2))
    assert await output(bench, execution_id) == "ok"
    assert bench.execution.kinds(execution_id)[:2] == ["log_recorded", "log_recorded"]
    again = await bench.execution.assign(agent_spec([turn], max_retries=1))
    assert await failure(bench, again) == "MODEL_OVERLOADED"


async def test_budget_is_asked_for_before_a_call_that_may_exceed_it(bench: Bench) -> None:
    asked: list[worker_pb2.BudgetRequest] = []

    def answer(request: worker_pb2.BudgetRequest) -> worker_pb2.BudgetGrant:
        asked.append(request)
        grant = worker_pb2.BudgetGrant(execution_id=request.execution_id, request_id=request.request_id)
        grant.tokens = request.tokens if len(asked) == 1 else 0
        grant.refusal = "" if len(asked) == 1 else "The month's budget is used up."
        return grant

    bench.execution.on_budget = answer
    usage = {"inputTokens": 100, "outputTokens": 50}
    script = [{"content": [ADD], "usage": usage}, {"content": [ADD], "usage": usage}, [{"text": "never"}]]
    execution_id = await bench.execution.assign(agent_spec(script), budget_tokens=40)
    assert await failure(bench, execution_id) == "RESOURCE_EXHAUSTED"
    assert [request.tokens for request in asked] == [110, 150]
    assert bench.execution.kinds(execution_id).count("model_completed") == 1


async def test_within_its_budget_nothing_is_asked_for(bench: Bench) -> None:
    usage = {"inputTokens": 100, "outputTokens": 50, "costMicros": 7}
    script = [{"content": [ADD], "usage": usage}, {"content": [{"text": "done"}], "usage": usage}]
    execution_id = await bench.execution.assign(agent_spec(script), budget_tokens=300, budget_cost_micros=14)
    assert await output(bench, execution_id) == "done"
    assert "budget_request" not in bench.execution.stream.kinds()


async def test_a_claude_model_runs_the_same_loop(start: Start) -> None:
    from services.worker.models.anthropic import Anthropic

    async with messages_api() as api:
        account = Anthropic("key", base_url=api.url)
        async with start(account=account, clock=SystemClock()) as bench:
            _behave(api)
            spec = agent_spec(model="balanced", max_retries=2, instructions="Add.")
            execution_id = await bench.execution.assign(spec, {"a": 2, "b": 3})
            assert await output(bench, execution_id) == "It is 5."
            model = bench.execution.journals[execution_id][1].model_completed
            assert (model.provider, model.model) == ("anthropic", "claude-sonnet-5-5")
            assert model.usage.cost_micros > 0
            assert api.requests[-1]["messages"][-1]["content"][0]["content"] == "5"
        await account.close()


def _behave(api: MessagesApi) -> None:
    call = tool_use("toolu_1", "calculator", {"expression": "2 + 3"})
    api.behaviours = [
        Refuse(429, "rate_limit_error", retry_after="1"),
        Say([text("Adding."), call], "tool_use"),
        Say([text("It is "), text("5.")]),
    ]


class Lamp:
    """A tool that can be asked whether it took effect."""

    name = "lamp"
    description = "Switches a lamp on."
    input_schema: Any = MappingProxyType({"type": "object"})
    timeout = 5.0
    output_limit = 1000

    def __init__(self, lit: Any) -> None:
        self.lit = lit
        self.calls = 0

    def effect(self, value: Any) -> Effect:
        return Effect.PROBEABLE

    async def call(self, context: ToolContext, value: Any) -> Any:
        self.calls += 1
        return "switched on"

    async def probe(self, context: ToolContext, value: Any) -> Any | None:
        if isinstance(self.lit, Exception):
            raise self.lit
        return self.lit


@pytest.mark.parametrize(
    ("lit", "calls", "ends"),
    [
        ("it was on", 0, "it was on"),
        (None, 1, "switched on"),
        (ToolError("DARK", "Nobody knows.", unknown=True), 0, "EFFECT_UNKNOWN"),
    ],
)
async def test_an_interrupted_call_is_asked_about(start: Start, lit: Any, calls: int, ends: str) -> None:
    lamp = Lamp(lit)
    async with start(tools={"lamp": lamp}, clock=SystemClock()) as bench:
        journal = dispatched(bench, journal_pb2.EFFECT_CLASS_PROBEABLE)
        for entry in journal[1:]:
            said = entry.model_completed.content[0].tool_use if entry.HasField("model_completed") else None
            (said or entry.tool_dispatched).name = "lamp"
        spec = agent_spec([[], [{"text": "{{tool.output}}"}]], tools=["lamp"], max_retries=1)
        last = await bench.execution.ended(await bench.execution.assign(spec, journal=journal))
        told = last.execution_completed.output_json.strip('"') or last.execution_failed.error.code
        assert (told, lamp.calls) == (ends, calls)


@pytest.mark.parametrize(
    ("effect", "ends"),
    [(journal_pb2.EFFECT_CLASS_PURE, "done"), (journal_pb2.EFFECT_CLASS_IDEMPOTENT, "EFFECT_UNKNOWN")],
)
async def test_an_interrupted_call_of_a_tool_that_is_gone(bench: Bench, effect: Any, ends: str) -> None:
    journal = dispatched(bench, effect)
    journal[2].tool_dispatched.name = "gone"
    last = await bench.execution.ended(
        await bench.execution.assign(agent_spec([[], [{"text": "done"}]]), journal=journal)
    )
    assert ends == last.execution_completed.output_json.strip('"') or last.execution_failed.error.code == ends


class Broken(Lamp):
    """A tool with a fault."""

    def effect(self, value: Any) -> Effect:
        return Effect.PURE

    async def call(self, context: ToolContext, value: Any) -> Any:
        answers = {"odd": "a\x00b\ud800", "deep": _deep(60)}
        if value["wants"] not in answers:
            raise ZeroDivisionError
        return answers[value["wants"]]


def _deep(levels: int) -> Any:
    return [_deep(levels - 1)] if levels else 0


@pytest.mark.parametrize(
    ("wants", "says"),
    [("crash", "TOOL_CRASHED"), ("odd", "a\ufffdb"), ("deep", "larger or deeper")],
)
async def test_whatever_a_tool_does_the_loop_goes_on(start: Start, wants: str, says: str) -> None:
    async with start(tools={"lamp": Broken(None)}, clock=SystemClock()) as bench:
        call = {"toolUse": {"name": "lamp", "input": {"wants": wants}}}
        spec = agent_spec([[call], [{"text": "{{tool.output}}"}]], tools=["lamp"])
        assert says in await output(bench, await bench.execution.assign(spec))
