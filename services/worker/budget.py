"""What an execution may still spend on its reservation.

Owns the account of one assignment: what is held for it, what its model calls used, and when more has to be asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.worker.core.entries import Usage
from services.worker.models.contract import Bound

UNLIMITED = -1


@dataclass(frozen=True, slots=True)
class Missing:
    """What has to be asked for before a call: tokens and millionths of a US dollar."""

    tokens: int
    cost_micros: int

    def __bool__(self) -> bool:
        return self.tokens > 0 or self.cost_micros > 0


class Budget:
    """What is left. Amounts below zero at the start mean that no limit applies."""

    def __init__(self, tokens: int, cost_micros: int) -> None:
        self._tokens = tokens if tokens >= 0 else None
        self._cost_micros = cost_micros if cost_micros >= 0 else None

    @property
    def limited(self) -> bool:
        """Whether any limit applies."""
        return self._tokens is not None or self._cost_micros is not None

    def missing(self, bound: Bound) -> Missing:
        """What is missing for a call that may use that much."""
        tokens = 0 if self._tokens is None else max(0, bound.tokens - self._tokens)
        cost = 0 if self._cost_micros is None else max(0, bound.cost_micros - self._cost_micros)
        return Missing(tokens, cost)

    def grant(self, tokens: int, cost_micros: int) -> None:
        """More is held now; below zero there is no limit any more."""
        if self._tokens is not None:
            self._tokens = self._tokens + tokens if tokens >= 0 else None
        if self._cost_micros is not None:
            self._cost_micros = self._cost_micros + cost_micros if cost_micros >= 0 else None

    def spend(self, usage: Usage) -> None:
        """A call used this. What it used beyond its bound is missing from the next one."""
        if self._tokens is not None:
            self._tokens -= usage.tokens
        if self._cost_micros is not None:
            self._cost_micros -= usage.cost_micros
