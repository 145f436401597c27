"""How long this worker may believe that it still holds what it was given.

Owns the worker's own view of its lease: on its monotonic clock, counted from when a heartbeat was sent, so that it
always ends before the database's. It is a courtesy; the fence is what is safe.
"""

from __future__ import annotations

import asyncio

from retinue_core.clock import Clock


class Lease:
    """The lease of all that is held. Each answer renews it from the oldest heartbeat that was not yet answered."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sent = clock.monotonic()
        self._unanswered = True
        self._ends = float("-inf")
        self._renewed = asyncio.Event()

    @property
    def held(self) -> bool:
        """Whether it certainly lives."""
        return self._clock.monotonic() < self._ends

    @property
    def silence(self) -> float:
        """Seconds since the oldest heartbeat without an answer; zero when all are answered."""
        return self._clock.monotonic() - self._sent if self._unanswered else 0.0

    def ask(self) -> None:
        """A new stream asks for it; what an earlier one asked is not answered any more."""
        self._unanswered = True
        self._sent = self._clock.monotonic()

    def end(self) -> None:
        """The stream is gone, and nobody knows for how long what was held by it is kept."""
        self._ends = float("-inf")

    def beat(self) -> None:
        """A heartbeat is being sent."""
        if not self._unanswered:
            self._unanswered = True
            self._sent = self._clock.monotonic()

    def renew(self, seconds: float) -> None:
        """An answer came: the lease lives for `seconds` from when it was asked for."""
        if self._unanswered:
            self._unanswered = False
            self._ends = self._sent + seconds
            if self.held:
                self._renewed.set()
                self._renewed = asyncio.Event()

    async def renewal(self) -> None:
        """Wait for the next answer that came in time."""
        await self._renewed.wait()
