"""API tokens at the door: exchanged at access for a signed identity.

Owns the cache of exchanges. A cached identity is used for a second without asking again, so that a revoked token
stops working within about a second everywhere; when access does not answer, it is used until it ends.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from typing import Protocol

from retinue_core.errors import Kind, RetinueError, unauthenticated, unavailable

PREFIX = "rtn_"
_FRESH = 1.0
_CACHED = 10_000
# What access says about a token. Anything else says something about access.
_VERDICTS = frozenset({Kind.UNAUTHENTICATED, Kind.PERMISSION_DENIED, Kind.NOT_FOUND, Kind.INVALID_ARGUMENT})


class Exchange(Protocol):
    """Turns an API token into (signed identity, its end as seconds since the epoch), or raises."""

    async def __call__(self, token: str) -> tuple[str, float]:
        """Exchange one token."""


@dataclass(slots=True)
class _Known:
    identity: str
    ends: float
    asked: float


class TokenCache:
    """Exchanges tokens, each at most once a second and never twice at the same time."""

    def __init__(
        self,
        exchange: Exchange,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._exchange = exchange
        self._now = now
        self._monotonic = monotonic
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._asking: dict[str, asyncio.Task[str]] = {}

    async def identity(self, token: str) -> str:
        """Return the signed identity behind a token. Raises UNAUTHENTICATED, or UNAVAILABLE without access."""
        if not token.startswith(PREFIX) or len(token) > 200:
            raise unauthenticated("The token is not one of this installation.")
        known = self._known.get(token)
        if known is not None and self._monotonic() - known.asked < _FRESH and self._now() < known.ends:
            return known.identity
        task = self._asking.get(token)
        if task is None:
            # Not in the caller's context: others wait for the same exchange.
            task = asyncio.create_task(self._ask(token, known), context=Context())
            self._asking[token] = task
            task.add_done_callback(lambda done: self._asked(token, done))
        # Shielded: the caller that started the exchange may go away while others wait for the same one.
        return await asyncio.shield(task)

    async def _ask(self, token: str, known: _Known | None) -> str:
        try:
            identity, ends = await self._exchange(token)
        except RetinueError as error:
            if error.kind in _VERDICTS:
                self._known.pop(token, None)
                raise
            if known is None or self._now() >= known.ends:
                raise unavailable("The service that knows tokens does not answer.") from error
            known.asked = self._monotonic()
            return known.identity
        self._known[token] = _Known(identity, ends, self._monotonic())
        self._known.move_to_end(token)
        if len(self._known) > _CACHED:
            self._known.popitem(last=False)
        return identity

    def _asked(self, token: str, task: asyncio.Task[str]) -> None:
        self._asking.pop(token, None)
        if not task.cancelled():
            task.exception()  # looked at, for when every caller has gone away
