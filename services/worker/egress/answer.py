"""What goes between the guard and its transport: answers, failures, how far a request came, how names are resolved."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

Headers = Sequence[tuple[str, str]]
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]


class UnansweredError(Exception):
    """A request that got no answer. `sent` says whether any of it may have reached the other side."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `body` is decompressed and cut at the limit, which `truncated` says."""

    status: int
    headers: Headers
    body: bytes
    url: str
    truncated: bool

    def header(self, name: str) -> str:
        """The first header of that name in lower case, or the empty text."""
        return next((value for key, value in self.headers if key == name), "")


class Progress:
    """Learns from the transport whether anything was sent."""

    __slots__ = ("sent",)

    def __init__(self) -> None:
        self.sent = False

    async def trace(self, name: str, info: Any) -> None:
        """Called by the transport at every step."""
        if name.endswith("send_request_headers.started"):
            self.sent = True
