"""A trace context passes through whether spans go anywhere or not; without an endpoint the SDK stays out."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from retinue_core import telemetry
from retinue_core.telemetry import Telemetry

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
UNSAMPLED = PARENT[:-2] + "00"
NOWHERE = "http://127.0.0.1:9"
"""An endpoint where nobody listens."""


@pytest.fixture
def sending() -> Iterator[Telemetry]:
    """Spans that would go somewhere."""
    spans = Telemetry("test", endpoint=NOWHERE)
    yield spans
    assert spans._exporter is not None
    spans._exporter.shutdown()
    spans.close()


def run(program: str, **environment: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=inherited | environment, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize("text", [PARENT, UNSAMPLED])
def test_a_traceparent_is_known(text: str) -> None:
    assert telemetry.valid(text)
    assert telemetry.trace_id(text) == "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    "text",
    [
        "",
        PARENT + "\n",
        PARENT.upper(),
        PARENT + "-00",
        "01" + PARENT[2:],
        "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01",
    ],
)
def test_what_is_no_traceparent_is_refused(text: str) -> None:
    assert not telemetry.valid(text)


def test_new_traces_differ() -> None:
    first, second = telemetry.new_traceparent(), telemetry.new_traceparent()
    assert telemetry.valid(first)
    assert telemetry.trace_id(first) != telemetry.trace_id(second)


def test_without_an_endpoint_the_context_passes_through() -> None:
    spans = Telemetry("test")
    assert not spans.enabled
    assert telemetry.current() == ""
    with spans.span("outer", parent=PARENT) as outer:
        outer.set({"key": "value"})
        outer.fail("CODE", "message")
        assert outer.traceparent == telemetry.current() == PARENT
        with spans.span("inner") as inner:
            assert inner.traceparent == PARENT
    assert telemetry.current() == ""
    with spans.span("alone"):
        assert telemetry.valid(telemetry.current())
    spans.close()


def test_the_context_is_restored_after_a_failure(sending: Telemetry) -> None:
    for spans in (Telemetry("test"), sending):
        with pytest.raises(ValueError, match="broken"), spans.span("outer", parent=PARENT):
            raise ValueError("broken")
        assert telemetry.current() == ""


async def test_what_a_task_adopts_is_that_tasks_alone() -> None:
    async def adopting() -> str:
        telemetry.adopt(PARENT)
        await asyncio.sleep(0)
        return telemetry.current()

    assert await asyncio.create_task(adopting()) == PARENT
    assert telemetry.current() == ""


def test_a_span_continues_the_trace_and_its_sampling_decision(sending: Telemetry) -> None:
    assert sending.enabled
    with sending.span("sampled", parent=PARENT) as sampled, sending.span("inner") as inner:
        found = [sampled.traceparent, inner.traceparent]
    assert {telemetry.trace_id(traceparent) for traceparent in found} == {telemetry.trace_id(PARENT)}
    assert len({PARENT, *found}) == 3
    assert all(telemetry.valid(traceparent) and traceparent.endswith("-01") for traceparent in found)
    with sending.span("unsampled", parent=UNSAMPLED) as unsampled:
        assert telemetry.trace_id(unsampled.traceparent) == telemetry.trace_id(UNSAMPLED)
        assert unsampled.traceparent.endswith("-00")


def test_without_an_endpoint_the_sdk_is_not_imported() -> None:
    program = """
import sys
from retinue_core import process, telemetry
from retinue_core.rpc import client, door, server
spans = telemetry.Telemetry("test")
with spans.span("outer") as span:
    span.set({"a": 1})
    span.fail("CODE", "message")
spans.close()
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
    assert run(program).strip() == "[]"


def test_an_sdk_that_is_switched_off_lets_the_context_pass() -> None:
    program = f"""
from retinue_core import telemetry
spans = telemetry.Telemetry("test", endpoint={NOWHERE!r})
with spans.span("outer", parent={PARENT!r}) as span:
    print(span.traceparent == telemetry.current() == {PARENT!r})
spans.close()
"""
    assert run(program, OTEL_SDK_DISABLED="true").strip() == "True"


def test_a_process_ends_though_its_receiver_does_not_answer() -> None:
    program = """
import socket
from retinue_core.telemetry import Telemetry
silent = socket.create_server(("127.0.0.1", 0))
spans = Telemetry("test", endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}")
with spans.span("held back"):
    pass
spans.close()
print("ended")
"""
    assert run(program).strip() == "ended"
