"""What comes back from the outside: an answer, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Headers = Sequence[tuple[str, str]]


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
