"""Unary RPCs: one request, one response.

Owns the deadline of such a call and the turning of its failure into the client's terms.
"""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import orjson
from google.protobuf.message import Message

from retinue_core.rpc.errors import from_rpc_error
from services.gateway.reply import JSON, Reply
from services.gateway.requests import ClientGoneError, Receive, Request, raise_if_cancelled
from services.gateway.routes.binding import Binding
from services.gateway.upstream import Metadata, Upstreams

DEFAULT_SECONDS = 30.0
LONGEST_SECONDS = 600.0
_WAIT = "wait"


class UnaryEndpoint:
    """Calls one unary RPC."""

    streaming = False

    def __init__(self, binding: Binding, upstreams: Upstreams) -> None:
        route = binding.route
        self.binding = binding
        self._call = upstreams.unary(route.room, route.path, binding.serialize, binding.parse)
        field = route.rpc.input_type.fields_by_name.get(_WAIT)
        kind = field.message_type if field is not None else None
        self._waits = kind is not None and kind.full_name == "google.protobuf.Duration"

    async def answer(
        self, request: Request, message: Message, metadata: Metadata, receive: Receive, reply: Reply
    ) -> None:
        """Makes the call and sends its response; raises RetinueError."""
        call = self._call(message, timeout=self._seconds(request, message), metadata=metadata)
        # Watching the client costs a task; only a call that is meant to last is worth one.
        lasting = self._waits and message.HasField(_WAIT)
        attendant = asyncio.create_task(_cancel_when_gone(receive, call)) if lasting else None
        try:
            response = await call
            reply.add_limits(await call.trailing_metadata())
        except grpc.aio.AioRpcError as error:
            reply.add_limits(error.trailing_metadata())
            raise self.binding.shown(from_rpc_error(error)) from None
        except asyncio.CancelledError:
            raise_if_cancelled()
            raise ClientGoneError from None
        finally:
            if attendant is not None:
                attendant.cancel()
        await reply.send(200, JSON, orjson.dumps(self.binding.print(response)))

    def _seconds(self, request: Request, message: Any) -> float:
        """How long the call may take; a request that asks the service to wait gets that on top."""
        sent = request.timeout(LONGEST_SECONDS)
        if sent is not None:
            return sent
        wait = message.wait.seconds if self._waits else 0
        return min(DEFAULT_SECONDS + max(0, wait), LONGEST_SECONDS)


async def _cancel_when_gone(receive: Receive, call: grpc.aio.UnaryUnaryCall[Any, Any]) -> None:
    event = await receive()
    if event["type"] == "http.disconnect":
        call.cancel()
