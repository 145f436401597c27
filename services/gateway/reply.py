"""The response to one request, as it is written.

Owns the headers that every response has, and what has been sent so far.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from retinue_core.clock import Clock
from retinue_core.errors import RetinueError
from services.gateway.errors import Headers, body_of, headers_of, status_of
from services.gateway.requests import Send

JSON = b"application/json"
EVENTS = b"text/event-stream; charset=utf-8"

_LIMITS = {
    "x-retinue-ratelimit-limit": b"ratelimit-limit",
    "x-retinue-ratelimit-remaining": b"ratelimit-remaining",
    "x-retinue-ratelimit-reset": b"ratelimit-reset",
}


class Reply:
    """Writes one response; `status` is 0 until it has begun."""

    __slots__ = ("_clock", "_extra", "_send", "last_write", "request_id", "status")

    def __init__(self, send: Send, request_id: str, clock: Clock) -> None:
        self._send = send
        self._clock = clock
        self._extra: Headers = []
        self.request_id = request_id
        self.status = 0
        self.last_write = 0.0

    def add_limits(self, trailing: Iterable[tuple[str, str | bytes]] | None) -> None:
        """Takes the rate limits that a service sent along with its answer."""
        for key, value in trailing or ():
            name = _LIMITS.get(key)
            if name is not None:
                self._extra.append((name, value if isinstance(value, bytes) else value.encode("latin-1")))

    async def send(
        self, status: int, content_type: bytes, body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()
    ) -> None:
        """Sends a whole response."""
        own = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))] if status != 204 else []
        await self._start(status, [*own, *headers])
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def fail(self, error: RetinueError) -> None:
        """Sends an error as the whole response."""
        await self.send(status_of(error), JSON, self.error_body(error), headers_of(error))

    def error_body(self, error: RetinueError) -> bytes:
        """An error as JSON, with the id of this request."""
        return body_of(error, self.request_id, self._clock.now())

    async def start_events(self) -> None:
        """Begins a response of server-sent events."""
        # x-accel-buffering keeps nginx from holding events back.
        await self._start(
            200, [(b"content-type", EVENTS), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]
        )

    async def chunk(self, data: bytes) -> None:
        """Sends a part of the body; waits while the client does not read."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})
        self.last_write = asyncio.get_running_loop().time()

    async def end(self) -> None:
        """Ends a response that was sent in parts."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _start(self, status: int, headers: Headers) -> None:
        self.status = status
        headers += [(b"x-request-id", self.request_id.encode("ascii")), *self._extra]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
