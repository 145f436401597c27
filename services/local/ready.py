"""Waits until a local suite is ready, then seeds its demo: `python -m services.local.ready`.

Owns the question "is everything up?". It is a process of its own, so that gRPC, which must not be forked, and the
memory it takes never enter the supervisor.
"""

from __future__ import annotations

import asyncio
import os
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from retinue_core.config import load, setting
from services.local.demo import seed
from services.local.rooms import GRPC_ROOMS

_PAUSE = 0.05
_OPTIONS = [(f"grpc.{which}_reconnect_backoff_ms", 50) for which in ("initial", "min", "max")]


@dataclass(frozen=True, slots=True)
class ReadySettings:
    """What is probed, beside the address of every room."""

    url: str = setting("RETINUE_URL", "Base URL of the REST API.")
    token: str = setting("RETINUE_TOKEN", "Token of an organisation admin.")
    model_key: str = setting("ANTHROPIC_API_KEY", "With a key the demo agent runs on Claude.", default="")


async def healthy(address: str) -> None:
    """Return when a gRPC server says that it serves."""
    async with grpc.aio.insecure_channel(address, options=_OPTIONS) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        while True:
            try:
                answer = await stub.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True)
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
            await asyncio.sleep(_PAUSE)


async def ready(url: str) -> None:
    """Return when the gateway finds everything it depends on."""
    while not await asyncio.to_thread(_answers, f"{url}/readyz"):  # noqa: ASYNC110 - nothing there tells us
        await asyncio.sleep(_PAUSE)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own gateway
            return bool(answer.status == 200)
    except OSError:  # refused, or an HTTP error, which is one too
        return False


async def everything(settings: ReadySettings) -> None:
    """Wait for every room and for the gateway."""
    addresses = [os.environ[f"RETINUE_{room.upper()}_ADDR"] for room in GRPC_ROOMS]
    await asyncio.gather(*(healthy(address) for address in addresses))
    await ready(settings.url)


def main() -> None:
    """Wait, seed, and end with status 0; a demo that cannot be seeded is said, and does not stop the suite."""
    settings = load(ReadySettings, os.environ)
    asyncio.run(everything(settings))
    try:
        seed(settings.url, settings.token, on_claude=bool(settings.model_key))
    except urllib.error.HTTPError as error:
        print(f"the demo agent was not seeded: {error.read().decode('utf-8', 'replace')}", file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    main()
