"""One execution is one trace, across processes: what a real OTLP receiver gets from the whole suite."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2

from retinue_core.testing.suite import Suite
from tests.clients.agents import adder, say, scripted
from tests.clients.people import people_of
from tests.clients.rest import PATIENCE

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@dataclass
class Span:
    """A span as it arrived."""

    service: str
    name: str
    id: str
    parent: str
    trace: str
    kind: int
    failed: bool
    attributes: dict[str, Any] = field(default_factory=dict)


class Receiver(trace_service_pb2_grpc.TraceServiceServicer):
    """An OTLP receiver that keeps what it gets."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the proto names it
        for resource in request.resource_spans:
            service = attributes(resource.resource.attributes)["service.name"]
            for scope in resource.scope_spans:
                self.spans += [arrived(service, span) for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()

    async def trace(self, trace_id: str, names: set[str]) -> dict[str, Span]:
        """Wait until a trace has spans of these names; returns its spans by name, of equal ones the first."""
        deadline = time.monotonic() + PATIENCE
        while True:
            found = {span.name: span for span in reversed(self.spans) if span.trace == trace_id}
            if names <= found.keys():
                return found
            assert time.monotonic() < deadline, f"{names - found.keys()} are not among {sorted(found)}"
            await asyncio.sleep(0.05)


def arrived(service: str, span: Any) -> Span:
    return Span(
        service=service,
        name=span.name,
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        trace=span.trace_id.hex(),
        kind=span.kind,
        failed=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
        attributes=attributes(span.attributes),
    )


def attributes(pairs: Any) -> dict[str, Any]:
    found = {}
    for pair in pairs:
        kind = pair.value.WhichOneof("value")
        value = getattr(pair.value, kind)
        found[pair.key] = [item.string_value for item in value.values] if kind == "array_value" else value
    return found


@pytest.fixture
def receiver() -> Iterator[tuple[Receiver, str]]:
    """Give a running receiver and its endpoint."""
    server, servicer = grpc.server(ThreadPoolExecutor(2)), Receiver()
    register: Any = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
    register(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, f"http://127.0.0.1:{port}"
    server.stop(1).wait()


async def test_an_execution_is_one_trace_from_the_request_to_the_last_tool(
    receiver: tuple[Receiver, str],
    start_suite: Callable[..., Suite],
    empty_database_url: str,
    nats_url: str,
) -> None:
    spans, endpoint = receiver
    suite = start_suite(
        RETINUE_DATABASE_URL=empty_database_url,
        RETINUE_NATS_URL=nats_url,
        OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
        OTEL_BSP_SCHEDULE_DELAY="100",
    )
    async with people_of(suite.url, suite.token) as people:
        acme = await people.founder()
        agent = await acme.publish(adder(name="adder"))
        body = {"input": {"a": 19, "b": 23}, "wait": "60s"}
        path = f"/v1/agents/{agent}/executions"
        done = await acme.post(path, body, traceparent=f"00-{TRACE}-{CALLER}-01")
        assert (done["status"], done["traceId"]) == ("COMPLETED", TRACE)
        check_tree(await spans.trace(TRACE, set(NAMES)), done)

        broken = await acme.run(await acme.publish(scripted(say("", error={"code": "BROKEN", "message": "No."}))))
        found = await spans.trace(broken["traceId"], {"chat scripted"})
        assert found["chat scripted"].failed
        assert found["chat scripted"].attributes["error.type"] == "BROKEN"


GATEWAY = "POST /v1/agents/{agent_id}/executions"
CREATE = "retinue.execution.v1.ExecutionService/CreateExecution"
RESOLVE = "retinue.version.v1.VersionService/ResolveVersion"
NAMES = (GATEWAY, CREATE, RESOLVE, "invoke_agent adder", "chat scripted", "execute_tool calculator")


def check_tree(found: dict[str, Span], done: dict[str, Any]) -> None:
    """Every span hangs where it belongs, comes from the process that made it, and says what it is."""
    gateway, create, resolve, invoke, chat, tool = (found[name] for name in NAMES)
    assert gateway.parent == CALLER
    assert create.parent == gateway.id
    assert resolve.parent == create.id
    assert invoke.parent == create.id
    assert chat.parent == tool.parent == invoke.id
    assert [span.service for span in (gateway, create, resolve, invoke, chat, tool)] == [
        f"retinue-{room}" for room in ("gateway", "execution", "version", "worker", "worker", "worker")
    ]
    server, client = trace_pb2.Span.SPAN_KIND_SERVER, trace_pb2.Span.SPAN_KIND_CLIENT
    assert (gateway.kind, create.kind, chat.kind) == (server, server, client)
    assert gateway.attributes["http.response.status_code"] == 200
    assert gateway.attributes["http.request.method"] == "POST"

    assert invoke.attributes["gen_ai.operation.name"] == "invoke_agent"
    assert invoke.attributes["gen_ai.agent.id"] == done["agentId"]
    assert invoke.attributes["gen_ai.agent.name"] == "adder"
    assert invoke.attributes["retinue.execution.id"] == done["id"]
    assert chat.attributes["gen_ai.operation.name"] == "chat"
    assert chat.attributes["gen_ai.provider.name"] == "scripted"
    assert chat.attributes["gen_ai.request.model"] == "scripted"
    assert chat.attributes["gen_ai.response.finish_reasons"] == ["tool_use"]
    assert chat.attributes["gen_ai.usage.input_tokens"] > 0
    assert tool.attributes["gen_ai.operation.name"] == "execute_tool"
    assert tool.attributes["gen_ai.tool.name"] == "calculator"
    assert tool.attributes["gen_ai.tool.call.id"]
    assert not any(span.failed for span in found.values())
