"""The wire to the suite: one channel for each address, and what every call carries.

Owns channels, the token, deadlines, retries, and turning a failed call into a typed exception. It repeats a call only
where that is safe: what the protos declare idempotent (gRPC does it), and what carries an idempotency key (done here).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import grpc
from google.protobuf.descriptor import ServiceDescriptor

from retinue.access.v1 import access_service_pb2, access_service_pb2_grpc
from retinue.agent.v1 import agent_service_pb2, agent_service_pb2_grpc
from retinue.execution.v1 import execution_service_pb2, execution_service_pb2_grpc
from retinue.quota.v1 import quota_service_pb2, quota_service_pb2_grpc
from retinue.version.v1 import version_service_pb2, version_service_pb2_grpc
from retinue_client import errors
from retinue_client.settings import Connection, not_configured
from retinue_core.errors import Kind, RetinueError
from retinue_core.ids import new_id
from retinue_core.rpc.channel import channel_options
from retinue_core.rpc.errors import from_rpc_error

Response = TypeVar("Response")
Sleep = Callable[[float], Awaitable[None]]

DEADLINE: Final = 10.0
LONGEST_PAUSE: Final = 2.0
"""Seconds between two attempts at most."""
_FIRST_PAUSE = 0.1
_ATTEMPTS = 5
_TLS = "https://"
_CONNECT = ("grpc.min_reconnect_backoff_ms", 5_000)
"""How long an attempt to connect may take: callers may be far away."""
_SERVICES: dict[str, tuple[type[Any], ServiceDescriptor]] = {
    "access": (
        access_service_pb2_grpc.AccessServiceStub,
        access_service_pb2.DESCRIPTOR.services_by_name["AccessService"],
    ),
    "agent": (agent_service_pb2_grpc.AgentServiceStub, agent_service_pb2.DESCRIPTOR.services_by_name["AgentService"]),
    "version": (
        version_service_pb2_grpc.VersionServiceStub,
        version_service_pb2.DESCRIPTOR.services_by_name["VersionService"],
    ),
    "execution": (
        execution_service_pb2_grpc.ExecutionServiceStub,
        execution_service_pb2.DESCRIPTOR.services_by_name["ExecutionService"],
    ),
    "quota": (quota_service_pb2_grpc.QuotaServiceStub, quota_service_pb2.DESCRIPTOR.services_by_name["QuotaService"]),
}


def pause(attempt: int) -> float:
    """Seconds to wait after a failed attempt (1, 2, …): exponential, with full jitter."""
    return random.uniform(0, min(LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(attempt, 8)))  # noqa: S311 - no secret


class Wire:
    """Calls the services of one suite. Channels are opened when they are first needed, in the running event loop."""

    def __init__(self, connection: Connection, sleep: Sleep = asyncio.sleep) -> None:
        """Take a connection; `sleep` waits for some seconds."""
        self.connection = connection
        self.sleep = sleep
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._stubs: dict[str, Any] = {}

    async def call(
        self,
        room: str,
        method: str,
        request: Any,
        *,
        timeout: float = DEADLINE,  # noqa: ASYNC109 - it becomes the deadline that travels
        keyed: bool = False,
    ) -> Any:
        """Make a unary call; `timeout` is in seconds. A `keyed` one is made again when its answer does not arrive.

        Raises one of `retinue_client.errors`.
        """
        loop = asyncio.get_running_loop()
        ends, attempt, metadata = loop.time() + timeout, 0, self._metadata(keyed=keyed)
        while True:
            attempt += 1
            try:
                stub = self._stub(room)
                return await getattr(stub, method)(request, timeout=ends - loop.time(), metadata=metadata)
            except grpc.RpcError as raised:
                error = self._error(room, from_rpc_error(raised))
            wait = pause(attempt)
            if not keyed or not _again(error, attempt) or loop.time() + wait >= ends:
                raise error
            await self.sleep(wait)

    async def stream(self, room: str, method: str, request: Any) -> AsyncGenerator[Any, None]:
        """Make a call that is answered by a stream; it has no deadline. Raises one of `retinue_client.errors`."""
        call = getattr(self._stub(room), method)(request, metadata=self._metadata())
        try:
            async for response in call:
                yield response
        except grpc.RpcError as raised:
            raise self._error(room, from_rpc_error(raised)) from None
        finally:
            call.cancel()

    async def close(self) -> None:
        """Close all channels; calls under way are cancelled."""
        channels, self._channels = list(self._channels.values()), {}
        self._stubs.clear()
        for channel in channels:
            await channel.close()

    def _stub(self, room: str) -> Any:
        known = self._stubs.get(room)
        if known is None:
            stub, _ = _SERVICES[room]
            known = self._stubs[room] = stub(self._channel(self.connection.address(room)))
        return known

    def _channel(self, address: str) -> grpc.aio.Channel:
        known = self._channels.get(address)
        if known is None:
            options = [*channel_options(service for _, service in _SERVICES.values()), _CONNECT]
            if address.startswith(_TLS):
                known = grpc.aio.secure_channel(address.removeprefix(_TLS), self._credentials(), options=options)
            else:
                known = grpc.aio.insecure_channel(address, options=options)
            self._channels[address] = known
        return known

    def _credentials(self) -> grpc.ChannelCredentials:
        path = self.connection.ca
        try:
            return grpc.ssl_channel_credentials(Path(path).read_bytes() if path else None)
        except OSError as error:
            raise not_configured(f"The authorities in {path} cannot be read: {error.strerror}.") from None

    def _metadata(self, *, keyed: bool = False) -> tuple[tuple[str, str], ...]:
        token = self.connection.token
        found = (("authorization", f"Bearer {token}"),) if token else ()
        return (*found, ("idempotency-key", new_id())) if keyed else found

    def _error(self, room: str, error: RetinueError) -> RetinueError:
        # An answer of gRPC itself: the service was not reached, or went away.
        if error.kind is Kind.UNAVAILABLE and error.code == Kind.UNAVAILABLE.name and not error.actions:
            return errors.UnavailableError(
                Kind.UNAVAILABLE,
                "UNREACHABLE",
                f"The {room} service at {self.connection.address(room)} does not answer.",
                details={"address": self.connection.address(room), "source": self.connection.source},
                actions=(f"See that the suite runs there; the address is from {self.connection.source}.",),
                retry_after=1.0,
            )
        return errors.typed(error)


def _again(error: RetinueError, attempt: int) -> bool:
    if error.code == "IDEMPOTENCY_KEY_IN_USE":
        return True  # the first attempt is still under way; its answer is the one that is wanted
    return error.kind is Kind.UNAVAILABLE and attempt < _ATTEMPTS
