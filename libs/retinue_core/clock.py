"""Time, as something that is passed in.

Owns the clocks. Leases never use them: lease time is the database's.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the time of day and the time that passes."""

    def now(self) -> datetime:
        """The time of day, in UTC."""

    def monotonic(self) -> float:
        """Seconds that only ever grow."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The time of day, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that only ever grow."""
        return time.monotonic()


class FixedClock:
    """A clock that a test moves by hand."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._seconds = 0.0

    def now(self) -> datetime:
        """The time that was set."""
        return self._now

    def monotonic(self) -> float:
        """Seconds that were added so far."""
        return self._seconds

    def advance(self, seconds: float) -> None:
        """Move on by some seconds."""
        self._now += timedelta(seconds=seconds)
        self._seconds += seconds
