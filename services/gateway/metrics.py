"""What the gateway counts, as Prometheus reads it."""

from __future__ import annotations

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from services.gateway.admission import Admission

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The figures of one gateway, in a registry of their own."""

    def __init__(self, admission: Admission) -> None:
        self._registry = CollectorRegistry()
        requests = Counter(
            "retinue_gateway_requests",
            "Requests that were answered.",
            ("route", "method", "status"),
            registry=self._registry,
        )
        seconds = Histogram(
            "retinue_gateway_request_seconds",
            "Time to answer a unary request.",
            ("route", "method"),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        inside = Gauge("retinue_gateway_inflight", "Requests that are under way.", ("kind",), registry=self._registry)
        inside.labels("unary").set_function(lambda: admission.inside[False])
        inside.labels("stream").set_function(lambda: admission.inside[True])
        # Looking a child up by its labels costs more than counting.
        self._count = cache(requests.labels)
        self._time = cache(seconds.labels)

    def answered(self, route: str, method: str, status: int, seconds: float | None) -> None:
        """Counts a request; `seconds` is None for a stream, whose length says nothing."""
        self._count(route, method, status).inc()
        if seconds is not None:
            self._time(route, method).observe(seconds)

    def text(self) -> bytes:
        """All figures in the exposition format."""
        return generate_latest(self._registry)
