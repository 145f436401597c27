"""What every RPC passes before and after its handler.

Owns, in one place and in this order: admission, identity, access rule, required fields, trace, error map. A handler
raises RetinueError and knows nothing of all this.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, NoReturn

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message

from retinue_core import ids, telemetry
from retinue_core.errors import RetinueError, exhausted, internal, invalid
from retinue_core.identity import Verifier
from retinue_core.rpc import call as calls
from retinue_core.rpc import idempotency, rules
from retinue_core.rpc.errors import CODES, DETAILS_KEY, to_status
from retinue_core.rpc.tokens import TokenCache

log = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]
Handler = Callable[[Any, Context], Awaitable[Any]]
_OPEN = ("/grpc.health.v1.Health/", "/grpc.reflection.")
_LONGEST_ID = 128
_SHAPES: dict[tuple[bool, bool], tuple[str, Callable[..., grpc.RpcMethodHandler[Any, Any]]]] = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}
# Who raised these has waited already. Tried again by each caller on the way, they would use up every deadline.
_WAITED_FOR = frozenset({"DATABASE_UNAVAILABLE"})
_NO_RETRY = ("grpc-retry-pushback-ms", "-1")


class Door(grpc.aio.ServerInterceptor):
    """Lets calls in. `limit` bounds the unary calls, `streams` the streams that are under way at once."""

    def __init__(
        self,
        verifier: Verifier,
        spans: telemetry.Telemetry,
        *,
        tokens: TokenCache | None = None,
        answers: idempotency.Answers | None = None,
        limit: int = 2_000,
        streams: int = 10_000,
    ) -> None:
        self._verifier = verifier
        self._spans = spans
        self._tokens = tokens
        self._answers = answers
        self._limits = {False: limit, True: streams}
        self._inside = {False: 0, True: 0}
        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Give gRPC the handler of a method with the door before it."""
        path = handler_call_details.method
        known = self._handlers.get(path)
        if known is not None:
            return known
        handler = await continuation(handler_call_details)
        if handler is None or path.startswith(_OPEN):
            return handler
        wrapped = self._wrap(path, handler)
        self._handlers[path] = wrapped
        return wrapped

    def _wrap(self, path: str, handler: Any) -> grpc.RpcMethodHandler[Any, Any]:
        check = rules.access_check(path)
        codec = (handler.request_deserializer, handler.response_serializer)
        shape, made = _SHAPES[handler.request_streaming, handler.response_streaming]
        inner: Handler = getattr(handler, shape)
        if handler.response_streaming:
            inner = _Writing(getattr(handler, shape))
        elif not handler.request_streaming:
            inner = self._keyed(path, inner)

        async def guarded(request: Any, context: Context) -> Any:
            return await self._guard(path, check, request, context, inner)

        return made(guarded, *codec)

    def _keyed(self, path: str, handler: Handler) -> Handler:
        """The handler of a method that changes something, answering once for each idempotency key."""
        answers, method = self._answers, rules.method_descriptor(path)
        if answers is None or method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS:
            return handler
        response = message_factory.GetMessageClass(method.output_type)

        async def keyed(request: Message, context: Context) -> Any:
            call = calls.current_call()
            if call is None or not call.idempotency_key or call.identity is None or call.identity.is_service:
                return await handler(request, context)
            return await idempotency.once(answers, path, call, request, response, lambda: handler(request, context))

        return keyed

    async def _guard(
        self,
        path: str,
        check: rules.Check,
        request: Any,
        context: Context,
        handler: Handler,
    ) -> Any:
        try:
            return await self._answer(path, check, request, context, handler)
        except RetinueError as error:
            failure = error
        except (asyncio.CancelledError, grpc.aio.AbortError):
            raise
        except Exception:
            log.exception("%s failed; request %s", path, calls.request_id())
            failure = internal()
        return await refuse(context, failure)

    async def _answer(
        self,
        path: str,
        check: rules.Check,
        request: Any,
        context: Context,
        handler: Handler,
    ) -> Any:
        streaming = isinstance(handler, _Writing)
        if self._inside[streaming] >= self._limits[streaming]:
            raise exhausted("OVERLOADED", "The service has as many calls as it takes.", retry_after=1.0)
        self._inside[streaming] += 1
        try:
            traceparent = await self._enter(check, request, context)
            with self._spans.span(path[1:], kind="SERVER", parent=traceparent) as span:
                try:
                    return await handler(request, context)
                except RetinueError as error:
                    span.fail(error.code, error.message)
                    raise
        finally:
            self._inside[streaming] -= 1

    async def _enter(self, check: rules.Check, request: Any, context: Context) -> str:
        metadata: dict[str, Any] = dict(context.invocation_metadata() or ())
        token = await self._identity(metadata)
        identity = self._verifier.verify(token) if token else None
        if refusal := check(identity):
            raise refusal
        if isinstance(request, Message) and (problems := rules.missing_fields(request)):
            raise invalid("The request lacks fields that are required.", *problems)
        left = context.time_remaining()
        calls.enter(
            calls.Call(
                identity=identity,
                token=token,
                request_id=_request_id(metadata),
                ends=None if left is None or left > 1e6 else time.monotonic() + left,
                idempotency_key=metadata.get(calls.IDEMPOTENCY_KEY, ""),
            )
        )
        traceparent = metadata.get(calls.TRACEPARENT, "")
        return traceparent if telemetry.valid(traceparent) else telemetry.new_traceparent()

    async def _identity(self, metadata: dict[str, Any]) -> str:
        if token := metadata.get(calls.IDENTITY, ""):
            return str(token)
        scheme, _, secret = str(metadata.get(calls.AUTHORIZATION, "")).partition(" ")
        if scheme.lower() == "bearer" and self._tokens is not None:
            return await self._tokens.identity(secret.strip())
        return ""


def _request_id(metadata: dict[str, Any]) -> str:
    sent = str(metadata.get(calls.REQUEST_ID, ""))
    return sent if 0 < len(sent) <= _LONGEST_ID else ids.new_id()


class _Writing:
    """A handler of a stream, as a coroutine that writes what the handler yields."""

    __slots__ = ("_inner",)

    def __init__(self, inner: Callable[[Any, Context], AsyncGenerator[Any, None]]) -> None:
        self._inner = inner

    async def __call__(self, request: Any, context: Context) -> None:
        # Closed at once when the caller goes away, so that the handler learns of it.
        async with aclosing(self._inner(request, context)) as responses:
            async for response in responses:
                await context.write(response)


async def refuse(context: Context, error: RetinueError) -> NoReturn:
    """End a call with an error. What the handler set as trailing metadata goes with it."""
    status = to_status(error)
    said: Any = context.trailing_metadata() or ()
    said = (*said, (DETAILS_KEY, status.SerializeToString()))
    if error.code in _WAITED_FOR:
        said = (*said, _NO_RETRY)
    await context.abort(CODES[error.kind], status.message, trailing_metadata=said)
