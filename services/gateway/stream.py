"""Server-streaming RPCs as server-sent events.

Owns the frame of an event, the comments that keep a silent line open, and how a stream ends: by
the service, by an error, by the client going away (which cancels the call, so that an inline
execution dies with its connection), by a client that no longer reads, by a drain.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
import orjson
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from retinue.common.v1 import options_pb2
from retinue_core.errors import Kind
from retinue_core.rpc.errors import from_rpc_error
from services.gateway.reply import Reply
from services.gateway.requests import ClientGoneError, Receive, Request, raise_if_cancelled
from services.gateway.routes.binding import Binding
from services.gateway.routes.discover import field_with_role
from services.gateway.upstream import Metadata, Upstreams

COMMENT = b": keep-alive\n\n"
RETRY = b"retry: 1000\n"
_Call = grpc.aio.UnaryStreamCall[Any, Any]


@dataclass(frozen=True, slots=True)
class Pace:
    """Times of a stream, in seconds."""

    comment: float = 15.0
    """Longest silence on the line."""
    first: float = 2.0
    """How long the first event may take before the response begins without it."""
    stall: float = 60.0
    """How long a client may leave its events unread."""
    longest: float = 3600.0
    """Age at which a stream ends; the client comes back with Last-Event-ID."""


class OpenStreams:
    """The streams under way, for a drain: those that only read end at once, the others may finish."""

    def __init__(self) -> None:
        self._calls: dict[_Call, bool] = {}

    def add(self, call: _Call, *, only_reads: bool) -> None:
        """A stream has begun."""
        self._calls[call] = only_reads

    def discard(self, call: _Call) -> None:
        """A stream has ended."""
        self._calls.pop(call, None)

    def end(self, *, only_reads: bool) -> None:
        """Ends the streams that only read, or all."""
        for call, reads in list(self._calls.items()):
            if reads or not only_reads:
                call.cancel()

    def __len__(self) -> int:
        return len(self._calls)


class StreamEndpoint:
    """Calls one server-streaming RPC."""

    streaming = True

    def __init__(self, binding: Binding, upstreams: Upstreams, opened: OpenStreams, pace: Pace) -> None:
        route = binding.route
        self.binding = binding
        self._call = upstreams.stream(route.room, route.path, binding.serialize, binding.parse)
        self._opened = opened
        self._pace = pace
        self._frame = _framer(binding)

    async def answer(
        self, request: Request, message: Message, metadata: Metadata, receive: Receive, reply: Reply
    ) -> None:
        """Makes the call and sends what it yields; raises RetinueError before the response has begun."""
        seconds = request.timeout(self._pace.longest) or self._pace.longest
        call = self._call(message, timeout=seconds, metadata=metadata)
        self._opened.add(call, only_reads=self.binding.route.only_reads)
        attendant = asyncio.create_task(self._attend(call, receive, reply))
        try:
            await self._pump(call, reply)
        except grpc.aio.AioRpcError as error:
            await self._fail(error, reply, said=b"x-request-timeout" in request.headers)
        except asyncio.CancelledError:
            await self._cut(reply)
        except TimeoutError:
            raise ClientGoneError from None
        finally:
            call.cancel()
            attendant.cancel()
            self._opened.discard(call)

    async def _pump(self, call: _Call, reply: Reply) -> None:
        reading = asyncio.ensure_future(call.read())
        await asyncio.wait({reading}, timeout=self._pace.first)
        prefix = RETRY
        if not reading.done():
            await reply.start_events()
        event = await reading
        if not reply.status:
            await reply.start_events()
        while event is not grpc.aio.EOF:
            async with asyncio.timeout(self._pace.stall):
                await reply.chunk(prefix + self._frame(event))
            prefix = b""
            event = await call.read()
        await reply.end()

    async def _attend(self, call: _Call, receive: Receive, reply: Reply) -> None:
        """Keeps a silent line open, and ends the call when the client is gone."""
        loop, pause = asyncio.get_running_loop(), self._pace.comment
        while True:
            try:
                async with asyncio.timeout(pause):
                    event = await receive()
            except TimeoutError:
                silent = loop.time() - reply.last_write
                pause = self._pace.comment if silent >= self._pace.comment else self._pace.comment - silent
                if reply.status and silent >= self._pace.comment:
                    await reply.chunk(COMMENT)
            else:
                if event["type"] == "http.disconnect":
                    call.cancel()
                    return

    async def _fail(self, error: grpc.aio.AioRpcError, reply: Reply, *, said: bool) -> None:
        failure = self.binding.shown(from_rpc_error(error))
        if not reply.status:
            reply.add_limits(error.trailing_metadata())
            raise failure
        aged = failure.kind is Kind.DEADLINE_EXCEEDED and self.binding.route.only_reads and not said
        # `error` says that what is watched has ended. A service that went away says nothing of the kind: the line
        # ends, and whoever comes back with Last-Event-ID misses nothing.
        gone = failure.kind in (Kind.UNAVAILABLE, Kind.CANCELLED)
        if not aged and not gone:
            await reply.chunk(b"event: error\ndata: " + reply.error_body(failure) + b"\n\n")
        await reply.end()

    async def _cut(self, reply: Reply) -> None:
        """The call was cancelled: by a drain or for a client that is gone, or with this task."""
        raise_if_cancelled()
        if not reply.status:
            raise ClientGoneError
        await reply.end()


def _framer(binding: Binding) -> Callable[[Any], bytes]:
    """What writes a response message as an event: its id and event fields by their role, then its JSON."""
    shown = binding.route.answer
    body = binding.route.response_body
    id_field = field_with_role(shown, options_pb2.EVENT_STREAM_ROLE_ID)
    event_field = field_with_role(shown, options_pb2.EVENT_STREAM_ROLE_EVENT)

    def frame(response: Any) -> bytes:
        message = getattr(response, body) if body else response
        head = _line(b"id", id_field, message) + _line(b"event", event_field, message)
        return head + b"data: " + orjson.dumps(binding.print(response)) + b"\n\n"

    return frame


def _line(name: bytes, field: FieldDescriptor | None, message: Any) -> bytes:
    value = getattr(message, field.name) if field is not None else None
    if not value:
        return b""
    return b"%b: %b\n" % (name, str(value).replace("\r", " ").replace("\n", " ").encode("utf-8"))
