"""The gRPC client that every service uses to call another one.

Owns deadlines, the identity a call carries, and turning a failed call back into the error that was raised. It refuses
to call without a deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc
from google.protobuf.descriptor import ServiceDescriptor

from retinue_core import telemetry
from retinue_core.errors import unavailable
from retinue_core.identity import Signer
from retinue_core.rpc import call as calls
from retinue_core.rpc.channel import channel_options
from retinue_core.rpc.errors import from_rpc_error

Response = TypeVar("Response")

DEADLINE = 10.0


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
        except (grpc.aio.UsageError, asyncio.CancelledError):
            # A channel that is closed cancels its calls, without the waiting task having been cancelled.
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            raise unavailable("The connection to a service that is needed was closed.") from None

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
