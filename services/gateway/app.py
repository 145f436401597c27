"""The ASGI application: from a request to the endpoint that answers it.

Owns the order of things: head, route, admission, identity, body, message, call. It is raw ASGI
because a framework would cost more than the rest of a request, and add nothing to it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from google.protobuf.message import Message

from retinue_core.clock import Clock
from retinue_core.errors import RetinueError, internal, invalid
from retinue_core.telemetry import Span, Telemetry
from services.gateway.admission import Admission
from services.gateway.auth import Authenticator
from services.gateway.errors import no_route, not_allowed, status_of
from services.gateway.metrics import Metrics
from services.gateway.reply import Reply
from services.gateway.requests import ClientGoneError, Receive, Request, Scope, Send, read_body
from services.gateway.routes.binding import Binding
from services.gateway.routes.trie import Trie
from services.gateway.upstream import Metadata, metadata

log = logging.getLogger(__name__)
access_log = logging.getLogger("retinue.gateway.access")

Page = Callable[[Request, Reply], Awaitable[None]]
"""Answers a fixed path of the gateway's own."""

_GONE = 499
_NO_ROUTE = "none"


class Endpoint(Protocol):
    """What answers a route."""

    @property
    def streaming(self) -> bool:
        """Whether it answers with events."""

    @property
    def binding(self) -> Binding:
        """How requests become messages and messages responses."""

    async def answer(
        self, request: Request, message: Message, metadata: Metadata, receive: Receive, reply: Reply
    ) -> None:
        """Calls the service and writes the response."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one request: bytes of its body and seconds for it to arrive."""

    body_bytes: int = 1024 * 1024
    body_seconds: float = 30.0


@dataclass(slots=True)
class Gateway:
    """Answers HTTP requests."""

    endpoints: Trie[Endpoint]
    pages: Mapping[bytes, Page]
    authenticator: Authenticator
    admission: Admission
    metrics: Metrics
    spans: Telemetry
    clock: Clock
    limits: Limits = Limits()
    log_requests: bool = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request; whatever happens, the client gets one response or is gone."""
        request = Request.of(scope)
        reply = Reply(send, request.request_id, self.clock)
        page = self.pages.get(request.raw_path)
        if page is None:
            await self._guard(reply, self._routed(request, receive, reply))
        else:
            await self._guard(reply, _shown(page, request, reply))

    async def _guard(self, reply: Reply, answer: Awaitable[None]) -> None:
        try:
            await answer
        except RetinueError as error:
            if not reply.status:
                await reply.fail(error)
        except ClientGoneError:
            # Nobody is left to answer; the server closes what is still open of the connection.
            log.debug("the client of request %s is gone", reply.request_id)
        except Exception:
            log.exception("request %s failed", reply.request_id)
            if not reply.status:
                await reply.fail(internal())

    async def _routed(self, request: Request, receive: Receive, reply: Reply) -> None:
        request.check_size()
        try:
            match = self.endpoints.match(request.raw_path, request.method)
        except UnicodeDecodeError:
            raise invalid("The path is not percent-encoded UTF-8.") from None
        endpoint = match.found
        if endpoint is None or (endpoint.streaming and request.method == "HEAD"):
            await self._unrouted(request, match.allowed if endpoint is None else {"GET"}, reply)
            return
        await self._timed(endpoint, match.segments, request, receive, reply)

    async def _unrouted(self, request: Request, allowed: frozenset[str] | set[str], reply: Reply) -> None:
        error = not_allowed(request.method, allowed) if allowed else no_route(request.raw_path.decode("latin-1"))
        if not allowed or request.method != "OPTIONS":
            self.metrics.answered(_NO_ROUTE, request.method, status_of(error), None)
            raise error
        await reply.send(204, b"", b"", [(b"allow", error.details["allow"].encode())])

    async def _timed(
        self, endpoint: Endpoint, segments: tuple[str, ...], request: Request, receive: Receive, reply: Reply
    ) -> None:
        route = endpoint.binding.route
        begun = self.clock.monotonic()
        name = f"{route.http_method} {route.template.text}"
        attributes = {"http.request.method": request.method, "http.route": route.template.text}
        with self.spans.span(name, kind="SERVER", parent=request.traceparent, attributes=attributes) as span:
            await self._guard(reply, self._answered(endpoint, segments, request, receive, reply, span))
            span.set({"http.response.status_code": reply.status})
            if reply.status >= 500:
                span.fail(str(reply.status), "the request failed")
        seconds = self.clock.monotonic() - begun
        status, timed = reply.status or _GONE, None if endpoint.streaming else seconds
        self.metrics.answered(route.template.text, route.http_method, status, timed)
        if self.log_requests:
            access_log.info("%s %d %.1f ms %s", name, reply.status, seconds * 1000, request.request_id)

    async def _answered(
        self,
        endpoint: Endpoint,
        segments: tuple[str, ...],
        request: Request,
        receive: Receive,
        reply: Reply,
        span: Span,
    ) -> None:
        binding = endpoint.binding
        with self.admission.admit(streaming=endpoint.streaming):
            identity = "" if binding.route.anonymous else await self.authenticator.identity(request)
            body = await read_body(request, receive, most=self.limits.body_bytes, seconds=self.limits.body_seconds)
            message = binding.request(segments, request.query, body, request.last_event_id)
            sent = metadata(request, identity, span.traceparent)
            await endpoint.answer(request, message, sent, receive, reply)


async def _shown(page: Page, request: Request, reply: Reply) -> None:
    if request.method not in ("GET", "HEAD"):
        raise not_allowed(request.method, {"GET"})
    await page(request, reply)
