"""Traces: W3C context everywhere, OpenTelemetry spans where an OTLP endpoint is set.

Owns the current trace context and the only way to open a span. Without an endpoint a span costs a comparison and the
context passes through unchanged, so that a trace id exists either way. The OpenTelemetry SDK is imported only when
there is somewhere to send to.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span as OtelSpan
    from opentelemetry.trace import Tracer

Attributes = Mapping[str, str | bool | int | float | list[str]]

_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}\Z")
_CLOSING = 2.0  # seconds that a receiver is given to take the last spans
_current: ContextVar[str] = ContextVar("traceparent", default="")


def new_traceparent() -> str:
    """Start a trace: a W3C `traceparent` with random ids, marked as sampled."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def valid(traceparent: str) -> bool:
    """Say whether a text is a `traceparent` of version 00."""
    return _TRACEPARENT.match(traceparent) is not None


def trace_id(traceparent: str) -> str:
    """The 32 hexadecimal digits that name the trace; empty when there is none."""
    return traceparent[3:35]


def current() -> str:
    """The `traceparent` of what is being done now; empty when nothing set one."""
    return _current.get()


def adopt(traceparent: str) -> None:
    """Make a `traceparent` the current one for the rest of this task."""
    _current.set(traceparent)


class Span:
    """Something that is being done. Without an endpoint it only carries the context."""

    __slots__ = ("_span", "traceparent")

    def __init__(self, traceparent: str, span: OtelSpan | None = None) -> None:
        self.traceparent = traceparent
        self._span = span

    def set(self, attributes: Attributes) -> None:
        """Add attributes."""
        if self._span is not None:
            self._span.set_attributes(attributes)

    def fail(self, code: str, message: str) -> None:
        """Mark it as failed, with the code of the failure as `error.type`."""
        if self._span is not None:
            from opentelemetry.trace import StatusCode

            self._span.set_attribute("error.type", code)
            self._span.set_status(StatusCode.ERROR, message)


class Telemetry:
    """The spans of one process. Without `endpoint` they are free of charge."""

    def __init__(self, service: str, *, endpoint: str = "") -> None:
        self._provider: TracerProvider | None = None
        self._exporter: OTLPSpanExporter | None = None
        self._tracer: Tracer | None = None
        if endpoint:
            self._exporter = _exporter(endpoint)
            self._provider = _provider(service, self._exporter)
            self._tracer = self._provider.get_tracer("retinue")

    @property
    def enabled(self) -> bool:
        """Whether spans go anywhere."""
        return self._tracer is not None

    @contextmanager
    def span(
        self, name: str, *, kind: str = "INTERNAL", parent: str = "", attributes: Attributes | None = None
    ) -> Iterator[Span]:
        """Open a span under `parent` (a `traceparent`), or under the current one.

        `kind` is the name of an OpenTelemetry SpanKind. Inside the block the span is the current one.
        """
        parent = parent or _current.get() or new_traceparent()
        if self._tracer is None:
            token = _current.set(parent)
            try:
                yield Span(parent)
            finally:
                _current.reset(token)
            return
        with self._real(self._tracer, name, kind, parent, attributes) as span:
            yield span

    @contextmanager
    def _real(self, tracer: Tracer, name: str, kind: str, parent: str, attributes: Attributes | None) -> Iterator[Span]:
        from opentelemetry.trace import SpanKind, format_span_id, format_trace_id

        with tracer.start_as_current_span(
            name, context=_context(parent), kind=SpanKind[kind], attributes=attributes
        ) as otel:
            own = otel.get_span_context()
            traceparent = parent
            if own.is_valid:
                ids = f"{format_trace_id(own.trace_id)}-{format_span_id(own.span_id)}"
                traceparent = f"00-{ids}-{own.trace_flags:02x}"
            token = _current.set(traceparent)
            try:
                yield Span(traceparent, otel)
            finally:
                _current.reset(token)

    def close(self) -> None:
        """Send what is still held back, if the receiver takes it within two seconds."""
        if self._provider is None or self._exporter is None:
            return
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(_CLOSING)
        if closing.is_alive():
            self._exporter.shutdown()
            closing.join(_CLOSING)


def _context(traceparent: str) -> Context:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": traceparent})


def _exporter(endpoint: str) -> OTLPSpanExporter:
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=endpoint, insecure=not endpoint.startswith("https"))


def _provider(service: str, exporter: OTLPSpanExporter) -> TracerProvider:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.name": f"retinue-{service}", "service.namespace": "retinue"})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider
