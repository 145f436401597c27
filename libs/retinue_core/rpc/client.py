"""The gRPC client that every service uses to call another one.

Owns channel options, deadlines, retries of what is declared idempotent, the identity a call carries, and turning a
failed call back into the error that was raised. It refuses to call without a deadline.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from retinue_core import telemetry
from retinue_core.identity import Signer
from retinue_core.rpc import call as calls
from retinue_core.rpc.errors import from_rpc_error

Response = TypeVar("Response")

MESSAGE_LIMIT = 16 * 1024 * 1024
DEADLINE = 10.0
_IDEMPOTENT = (MethodOptions.NO_SIDE_EFFECTS, MethodOptions.IDEMPOTENT)
_RETRY = {
    "maxAttempts": 4,
    "initialBackoff": "0.05s",
    "maxBackoff": "1s",
    "backoffMultiplier": 3,
    "retryableStatusCodes": ["UNAVAILABLE"],
}


def channel_options(services: Iterable[ServiceDescriptor] = ()) -> list[tuple[str, Any]]:
    """Options of a channel: limits, keepalive, reconnects within 2 s, and retries of idempotent methods."""
    names = [
        {"service": service.full_name, "method": method.name}
        for service in services
        for method in service.methods
        if method.GetOptions().idempotency_level in _IDEMPOTENT
    ]
    config = {"methodConfig": [{"name": names, "retryPolicy": _RETRY}]} if names else {}
    return [
        ("grpc.max_receive_message_length", MESSAGE_LIMIT),
        ("grpc.max_send_message_length", MESSAGE_LIMIT),
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        ("grpc.enable_retries", 1),
        ("grpc.service_config", json.dumps(config)),
    ]


class Peer:
    """Another service, as this one calls it.

    A call inside a handler goes on with the caller's identity, deadline, request id and trace. A call that names an
    `organization_id` goes out under the service's own identity for that organisation.
    """

    def __init__(self, address: str, signer: Signer | None, *services: ServiceDescriptor) -> None:
        self.channel = grpc.aio.insecure_channel(address, options=channel_options(services))
        self._signer = signer

    async def call(
        self,
        method: Callable[..., Awaitable[Response]],
        request: object,
        *,
        organization_id: str | None = None,
        timeout: float = DEADLINE,  # noqa: ASYNC109 - it becomes the deadline that travels
    ) -> Response:
        """Make a unary call. `timeout` is in seconds and never exceeds what is left of the call being answered.

        Raises the RetinueError that the other side raised.
        """
        left = calls.deadline_remaining()
        allowed = timeout if left is None else min(timeout, left)
        try:
            return await method(request, timeout=allowed, metadata=self.metadata(organization_id))
        except grpc.RpcError as error:
            raise from_rpc_error(error) from None

    def metadata(self, organization_id: str | None = None) -> tuple[tuple[str, str], ...]:
        """What goes with a call: identity, request id and trace."""
        call = calls.current_call()
        found = []
        if organization_id is None and call is not None and call.token:
            found.append((calls.IDENTITY, call.token))
        elif self._signer is not None:
            found.append((calls.IDENTITY, self._signer.own(organization_id or "")))
        if call is not None and call.request_id:
            found.append((calls.REQUEST_ID, call.request_id))
        if traceparent := telemetry.current():
            found.append((calls.TRACEPARENT, traceparent))
        return tuple(found)

    async def close(self) -> None:
        """Close the channel; calls under way are cancelled."""
        await self.channel.close()
