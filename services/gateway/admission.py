"""How many requests are under way at once, and no more.

Owns the two bounds, one for unary requests and one for streams. What is over them is refused at
once with a Retry-After: nothing waits here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from retinue_core.errors import unavailable


class Admission:
    """Counts requests in and out."""

    def __init__(self, *, unary: int, streams: int) -> None:
        self._most = {False: unary, True: streams}
        self.inside = {False: 0, True: 0}

    @contextmanager
    def admit(self, *, streaming: bool) -> Iterator[None]:
        """Lets one request in; raises RetinueError (OVERLOADED) where there are too many."""
        if self.inside[streaming] >= self._most[streaming]:
            raise unavailable("There are more requests than can be taken now.", code="OVERLOADED")
        self.inside[streaming] += 1
        try:
            yield
        finally:
            self.inside[streaming] -= 1
