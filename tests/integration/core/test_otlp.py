"""Spans as a real OTLP receiver gets them: one tree over all hops of a call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from retinue_core import errors, telemetry
from retinue_core.errors import RetinueError
from retinue_core.telemetry import Telemetry
from tests.fakes.core.probe import message, path
from tests.fakes.core.serving import Caller, ask, peer, serving

TRACE, ROOT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{ROOT}-01"


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """An OTLP receiver that keeps what it gets, as (service, span)."""

    def __init__(self) -> None:
        self.endpoint = ""
        self.got: list[tuple[str, Span]] = []

    async def Export(self, request: Any, _: Any) -> Any:  # noqa: N802
        for resource in request.resource_spans:
            attributes = {found.key: found.value.string_value for found in resource.resource.attributes}
            assert attributes["service.namespace"] == "retinue"
            spans = [span for scope in resource.scope_spans for span in scope.spans]
            self.got += [(attributes["service.name"], span) for span in spans]
        return trace_service_pb2.ExportTraceServiceResponse()


@dataclass
class Traced:
    """Two services, of which the first one asks the second; and the receiver of their spans."""

    front: Caller
    collector: Collector
    spans: list[Telemetry] = field(default_factory=list)

    async def received(self) -> dict[str, Span]:
        """All spans, by the service that they come from; no more come afterwards."""
        for spans in self.spans:
            # In a thread: closing waits for the receiver, which runs in this loop.
            await asyncio.to_thread(spans.close)
        found = dict(self.collector.got)
        assert len(found) == len(self.collector.got)
        return found


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    collector = Collector()
    server = grpc.aio.server()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    yield collector
    await server.stop(0)


@asynccontextmanager
async def traced(collector: Collector, **behind: Any) -> AsyncIterator[Traced]:
    spans = [Telemetry(name, endpoint=collector.endpoint) for name in ("front", "behind")]
    async with AsyncExitStack() as stack:
        second = await stack.enter_async_context(serving(spans=spans[1], **behind))
        other = await stack.enter_async_context(peer(second, "execution"))

        async def handler(_: Any, __: Any) -> Any:
            return message("Response", text=await ask(other, "Write"))

        first = await stack.enter_async_context(serving(spans=spans[0], Read=handler))
        yield Traced(first, collector, spans)


def attributes(span: Span) -> dict[str, str]:
    return {found.key: found.value.string_value for found in span.attributes}


async def test_the_spans_of_two_hops_are_one_tree(collector: Collector) -> None:
    seen: list[str] = []

    async def handler(_: Any, __: Any) -> Any:
        seen.append(telemetry.current())
        return message("Response")

    async with traced(collector, Write=handler) as services:
        await services.front.call("Read", ("traceparent", PARENT))
        got = await services.received()
    front, behind = got["retinue-front"], got["retinue-behind"]
    assert (front.name, behind.name) == (path("Read")[1:], path("Write")[1:])
    assert {front.kind, behind.kind} == {Span.SPAN_KIND_SERVER}
    assert {front.trace_id.hex(), behind.trace_id.hex()} == {TRACE}
    assert (front.parent_span_id.hex(), behind.parent_span_id) == (ROOT, front.span_id)
    # What a handler sees, stores or sends on is its own span.
    assert seen == [f"00-{TRACE}-{behind.span_id.hex()}-01"]


async def test_a_call_without_a_trace_begins_one(collector: Collector) -> None:
    async with traced(collector) as services:
        await services.front.call("Read")
        got = await services.received()
    front, behind = got["retinue-front"], got["retinue-behind"]
    assert front.trace_id == behind.trace_id
    assert behind.parent_span_id == front.span_id


async def test_a_failure_is_marked_in_every_hop_with_its_code(collector: Collector) -> None:
    async def handler(_: Any, __: Any) -> Any:
        raise errors.exhausted("BUDGET", "Spent.")

    async with traced(collector, Write=handler) as services:
        with pytest.raises(RetinueError, match="Spent"):
            await services.front.call("Read")
        got = await services.received()
    assert len(got) == 2
    for span in got.values():
        assert span.status.code == Status.STATUS_CODE_ERROR
        assert attributes(span)["error.type"] == "BUDGET"


async def test_what_an_unsampled_caller_asks_for_is_not_recorded(collector: Collector) -> None:
    seen: list[str] = []

    async def handler(_: Any, __: Any) -> Any:
        seen.append(telemetry.current())
        return message("Response")

    async with traced(collector, Write=handler) as services:
        await services.front.call("Read", ("traceparent", PARENT[:-2] + "00"))
        assert await services.received() == {}
    assert telemetry.trace_id(seen[0]) == TRACE
    assert seen[0].endswith("-00")


async def test_spans_inside_a_call_hang_below_it_with_what_they_say(collector: Collector) -> None:
    inner = Telemetry("inner", endpoint=collector.endpoint)

    async def handler(_: Any, __: Any) -> Any:
        with inner.span("chat", kind="CLIENT", attributes={"gen_ai.system": "scripted"}) as span:
            span.set({"gen_ai.response.model": "scripted"})
        return message("Response")

    async with traced(collector, Write=handler) as services:
        services.spans.append(inner)
        await services.front.call("Read")
        got = await services.received()
    chat = got["retinue-inner"]
    assert (chat.name, chat.kind) == ("chat", Span.SPAN_KIND_CLIENT)
    assert chat.parent_span_id == got["retinue-behind"].span_id
    assert attributes(chat) == {"gen_ai.system": "scripted", "gen_ai.response.model": "scripted"}
