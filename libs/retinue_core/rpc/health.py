"""Health of a service: whether it serves, and whether what it cannot do without answers.

Owns the answer to `grpc.health.v1.Health/Check`. What is needed is asked when somebody wants to know, and not
otherwise. `Watch` tells of the service itself only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from grpc_health.v1 import health, health_pb2

from retinue_core.errors import RetinueError

Needs = Callable[[], Awaitable[None]]
"""Asks what a service needs for a sign of life; raises RetinueError when there is none."""

_SECONDS = 1.5
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Health(health.aio.HealthServicer):  # type: ignore[misc, name-defined, unused-ignore] # it has no types
    """The health service of one server."""

    def __init__(self, needs: Needs | None = None) -> None:
        super().__init__()
        self._needs = needs

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802 - the proto names it
        """Say how a service is."""
        answer = await super().Check(request, context)
        if self._needs is None or answer.status != _SERVING:
            return answer
        try:
            async with asyncio.timeout(_SECONDS):
                await self._needs()
        except (RetinueError, TimeoutError):
            return health_pb2.HealthCheckResponse(status=_NOT_SERVING)
        return answer
