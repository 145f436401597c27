"""KEDA's external scaler: how much work there is for workers.

Owns the demand of a pool: executions that run or could run. Each replica answers alike, from one counted index.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from externalscaler import externalscaler_pb2, externalscaler_pb2_grpc
from retinue_core.errors import Problem, invalid
from services.execution.store import Holding

pb = externalscaler_pb2
_METRIC = "retinue-executions"
_TARGET = 100
_FRESH = 1.0
_POLL = 2.0


class Scaler(externalscaler_pb2_grpc.ExternalScalerServicer):
    """Answers KEDA."""

    def __init__(self, holding: Holding, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._holding = holding
        self._monotonic = monotonic
        self._known: dict[str, tuple[int, float]] = {}

    async def IsActive(self, request: pb.ScaledObjectRef, _: Any) -> pb.IsActiveResponse:  # noqa: N802
        """Say whether there is any work."""
        return pb.IsActiveResponse(result=await self._demand(request) > 0)

    async def StreamIsActive(  # noqa: N802
        self, request: pb.ScaledObjectRef, _: Any
    ) -> AsyncIterator[pb.IsActiveResponse]:
        """Say so whenever it changes."""
        last: bool | None = None
        while True:
            active = await self._demand(request) > 0
            if active != last:
                yield pb.IsActiveResponse(result=active)
                last = active
            await asyncio.sleep(_POLL)

    async def GetMetricSpec(  # noqa: N802
        self, request: pb.ScaledObjectRef, _: Any
    ) -> pb.GetMetricSpecResponse:
        """Name the metric and how much of it one worker takes."""
        target = _target(request)
        spec = pb.MetricSpec(metricName=_METRIC, targetSize=target, targetSizeFloat=float(target))
        return pb.GetMetricSpecResponse(metricSpecs=[spec])

    async def GetMetrics(self, request: pb.GetMetricsRequest, _: Any) -> pb.GetMetricsResponse:  # noqa: N802
        """Say how much work there is."""
        demand = await self._demand(request.scaledObjectRef)
        value = pb.MetricValue(metricName=_METRIC, metricValue=demand, metricValueFloat=float(demand))
        return pb.GetMetricsResponse(metricValues=[value])

    async def _demand(self, scaled: pb.ScaledObjectRef) -> int:
        pool = scaled.scalerMetadata.get("pool", "default")
        known = self._known.get(pool)
        if known is None or self._monotonic() - known[1] >= _FRESH:
            known = (await self._holding.demand(pool), self._monotonic())
            self._known[pool] = known
        return known[0]


def _target(scaled: pb.ScaledObjectRef) -> int:
    text = scaled.scalerMetadata.get("target", str(_TARGET))
    if not text.isdigit() or int(text) == 0:
        raise invalid("The target is not usable.", Problem("scalerMetadata.target", "must be a number above zero"))
    return int(text)
