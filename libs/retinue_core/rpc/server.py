"""The gRPC server that every service runs.

Owns limits, health, reflection and the order of a drain: NOT_SERVING, no new calls, finish, exit.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

import grpc
from google.protobuf.descriptor import FileDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from retinue_core.rpc.channel import MESSAGE_LIMIT
from retinue_core.rpc.door import Door
from retinue_core.rpc.health import Health, Needs

log = logging.getLogger(__name__)

_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_receive_message_length", MESSAGE_LIMIT),
    ("grpc.max_send_message_length", MESSAGE_LIMIT),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.so_reuseport", 0),
    ("grpc.max_metadata_size", 16 * 1024),
]


class Server:
    """Serves the services of one room at one address (`host:port`; port 0 takes a free one).

    It counts as healthy only while what it `needs` answers.
    """

    def __init__(self, address: str, door: Door, *, needs: Needs | None = None) -> None:
        self._server = grpc.aio.server(interceptors=[door], options=_OPTIONS)
        self._address = address
        self._health = Health(needs)
        self._names = [reflection.SERVICE_NAME, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name]
        self.port = 0
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)

    def add(self, register: Callable[[Any, Any], None], servicer: object, file: FileDescriptor) -> None:
        """Add a servicer with the generated function that registers it and the proto file it is declared in."""
        register(servicer, self._server)
        self._names += [service.full_name for service in file.services_by_name.values()]

    async def start(self) -> None:
        """Bind and begin to serve. Raises OSError when the address is taken."""
        reflection.enable_server_reflection(self._names, self._server)
        try:
            self.port = self._server.add_insecure_port(self._address)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {self._address}: {error}") from None
        await self._server.start()
        for name in ("", *self._names):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        log.info("serving on %s", self._address)

    async def stop(self, grace: float = 10.0) -> None:
        """Drain: say NOT_SERVING, take no new calls, let those under way finish within `grace` seconds."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace)

    async def run(
        self,
        *,
        drain: Callable[[], Awaitable[None]] | None = None,
        loops: Iterable[Callable[[], Coroutine[Any, Any, None]]] = (),
        grace: float = 10.0,
    ) -> None:
        """Serve until SIGTERM or SIGINT, then drain.

        `loops` run meanwhile; one that fails ends the process, which is then started anew. `drain` runs while the
        last calls are waited for, for streams that would not end alone; `grace` bounds both, in seconds.
        """
        stop = stop_signal()
        await self.start()
        try:
            async with asyncio.TaskGroup() as group:
                running = [group.create_task(loop()) for loop in loops]
                await stop.wait()
                log.info("draining")
                await self._drain(drain, grace)
                for task in running:
                    task.cancel()
        finally:
            await self._server.stop(0)

    async def _drain(self, drain: Callable[[], Awaitable[None]] | None, grace: float) -> None:
        await self._health.enter_graceful_shutdown()
        stopping = asyncio.create_task(self._server.stop(grace))
        if drain is not None:
            try:
                async with asyncio.timeout(grace):
                    await drain()
            except TimeoutError:
                log.warning("the drain was cut off after %g seconds", grace)
        await stopping


def stop_signal() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set. A second signal changes nothing: the drain is bounded anyway."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
