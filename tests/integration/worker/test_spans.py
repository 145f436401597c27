"""The spans of a run: one tree with GenAI conventions, under the trace that the assignment came with."""

from __future__ import annotations

from typing import Any

from retinue_core.clock import SystemClock
from retinue_core.telemetry import Telemetry
from tests.fakes.worker_service import agent_spec
from tests.integration.worker.conftest import Start

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
ADD = {"toolUse": {"name": "calculator", "input": {"expression": "2 + 3"}}}


def recording() -> tuple[Telemetry, Any]:
    """Telemetry whose spans are kept in memory."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    spans = Telemetry("worker")
    spans._provider = provider
    spans._tracer = provider.get_tracer("test")
    return spans, exporter._finished_spans


async def test_a_run_is_a_tree_of_spans(start: Start) -> None:
    spans, finished = recording()
    async with start(clock=SystemClock(), spans=spans) as bench:
        script = [[{"text": "a"}, ADD, ADD], {"content": [{"text": "b"}], "error": {"status": 400}}]
        execution_id = await bench.execution.assign(agent_spec(script), traceparent=f"00-{TRACE}-{PARENT}-01")
        await bench.execution.ended(execution_id)
        await bench.execution.until(lambda: len(finished) == 5)
    shown = {(span.name, span.parent.span_id) for span in finished}
    root = next(span for span in finished if span.name == "invoke_agent tester")
    inner = root.context.span_id
    assert shown == {
        ("invoke_agent tester", int(PARENT, 16)),
        ("chat scripted", inner),
        ("execute_tool calculator", inner),
    }
    assert {span.context.trace_id for span in finished} == {int(TRACE, 16)}
    chat = next(span for span in finished if span.name == "chat scripted")
    attributes = dict(chat.attributes)
    assert attributes["gen_ai.operation.name"] == "chat"
    assert attributes["gen_ai.provider.name"] == "scripted"
    assert attributes["gen_ai.usage.output_tokens"] > 0
    assert dict(root.attributes)["error.type"] == "MODEL_REQUEST_REJECTED"
