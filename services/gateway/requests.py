"""An HTTP request as the gateway sees it: what its head says, checked, and its body, bounded.

Owns which client headers mean something. Refuses to pass any of them on as they are: metadata for
the services is built from scratch, so that no client can set what only the suite may.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from retinue_core import ids, telemetry
from retinue_core.errors import Kind, Problem, RetinueError, invalid
from services.gateway.transcode.body import too_large

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
Scope = MutableMapping[str, Any]

MOST_HEADER_BYTES = 32 * 1024
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
_IDEMPOTENCY_KEY = re.compile(rb"[\x21-\x7e]{1,255}")
_SECONDS = re.compile(rb"([0-9]{1,6}(?:\.[0-9]{1,3})?)s?")


class ClientGoneError(Exception):
    """The client closed its connection; there is nobody left to answer."""


def raise_if_cancelled() -> None:
    """Tells a cancelled call, which also raises CancelledError, from this task's own cancellation."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request. `raw_path` and `query` are as they were sent."""

    method: str
    raw_path: bytes
    query: bytes
    headers: dict[bytes, bytes]
    request_id: str

    @classmethod
    def of(cls, scope: Scope) -> Request:
        """Reads a request's head; of a header that is sent twice the last counts."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        sent = headers.get(b"x-request-id", b"")
        request_id = sent.decode("ascii") if _REQUEST_ID.fullmatch(sent) else ids.new_id()
        return cls(scope["method"], scope["raw_path"], scope["query_string"], headers, request_id)

    @property
    def traceparent(self) -> str:
        """The trace that the client is part of; empty where it names none."""
        sent = self.headers.get(b"traceparent", b"").decode("latin-1")
        return sent if telemetry.valid(sent) else ""

    @property
    def last_event_id(self) -> str | None:
        """The last event that a client saw before it came back."""
        sent = self.headers.get(b"last-event-id")
        return sent.decode("latin-1") if sent else None

    @property
    def idempotency_key(self) -> str:
        """The client's key for this call, or empty; raises RetinueError where it cannot be one."""
        sent = self.headers.get(b"idempotency-key", b"")
        if sent and not _IDEMPOTENCY_KEY.fullmatch(sent):
            raise _bad_header("Idempotency-Key", "must be 1 to 255 visible ASCII characters; a UUID will do")
        return sent.decode("ascii")

    def timeout(self, most: float) -> float | None:
        """Seconds that the client is willing to wait (at most `most`), None where it does not say."""
        sent = self.headers.get(b"x-request-timeout")
        if sent is None:
            return None
        match = _SECONDS.fullmatch(sent)
        seconds = float(match[1]) if match else 0.0
        if seconds <= 0:
            raise _bad_header("X-Request-Timeout", "must be a number of seconds above zero, such as 30 or 2.5")
        return min(seconds, most)

    def check_size(self) -> None:
        """Raises RetinueError where the head is larger than this API ever needs."""
        size = sum(len(name) + len(value) for name, value in self.headers.items())
        if size + len(self.raw_path) + len(self.query) > MOST_HEADER_BYTES:
            raise invalid(
                f"The head of the request is larger than {MOST_HEADER_BYTES} bytes.", code="HEADERS_TOO_LARGE"
            )


def _bad_header(name: str, message: str) -> RetinueError:
    return invalid(f"{name} {message}.", Problem(name, message))


async def read_body(request: Request, receive: Receive, *, most: int, seconds: float) -> bytes:
    """Reads the whole body: at most `most` bytes, within `seconds`. Raises ClientGoneError."""
    length = request.headers.get(b"content-length", b"0")
    if int(length) > most:
        raise too_large(most)
    event = await receive()
    if event["type"] != "http.request":
        raise ClientGoneError
    body: bytes = event["body"]
    if event["more_body"]:
        body = await _read_rest(body, receive, most, seconds)
    if len(body) > most:
        raise too_large(most)
    return body


async def _read_rest(first: bytes, receive: Receive, most: int, seconds: float) -> bytes:
    parts, size, more = [first], len(first), True
    try:
        async with asyncio.timeout(seconds):
            while more and size <= most:
                event = await receive()
                if event["type"] != "http.request":
                    raise ClientGoneError
                parts.append(event["body"])
                size += len(event["body"])
                more = event["more_body"]
    except TimeoutError:
        message = f"The body did not arrive within {seconds:g} seconds."
        raise RetinueError(Kind.INVALID_ARGUMENT, "REQUEST_TIMEOUT", message) from None
    return b"".join(parts)
