"""Following an execution through everything that may happen to the connection.

Owns the promise that a watcher sees 1, 2, 3 … without gap and without repeat until the end: what came twice is
dropped, and after a gap, an end that was none, or a broken connection the stream is opened again behind the last event.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from retinue_client.errors import UnavailableError
from retinue_client.models import Event
from retinue_client.wire import pause
from retinue_core.errors import Kind, RetinueError

Open = Callable[[int], Any]
"""Opens the stream behind a sequence: an async generator of events."""

_BROKEN = frozenset({Kind.UNAVAILABLE, Kind.CANCELLED, Kind.RESOURCE_EXHAUSTED})
_CONNECTED = 10.0
"""Seconds after which an open stream was surely connected, though nothing may have happened in it."""
_OF_GRPC = frozenset({Kind.INTERNAL, Kind.UNKNOWN})


async def follow(
    connect: Open,
    after: int,
    *,
    sleep: Callable[[float], Awaitable[None]],
    monotonic: Callable[[], float],
    patience: float,
) -> AsyncGenerator[Event, None]:
    """Yield the events behind a sequence until the last one.

    `patience` is for how many seconds it tries again when nothing answers; then the last error is raised.
    """
    told, outage = after, _Outage(monotonic, patience)
    while True:
        outage.opened()
        failure = None
        try:
            async with aclosing(connect(told)) as events:
                async for event in events:
                    if event.sequence > told + 1:
                        break
                    if 0 < event.sequence <= told:
                        continue
                    outage.over()
                    told = max(told, event.sequence)
                    yield event
                    if event.ends:
                        return
        except RetinueError as error:
            if not _passes(error):
                raise
            failure = error
        await sleep(outage.wait(failure))


class _Outage:
    """For how long nothing has been heard, and how long to wait before the next attempt."""

    def __init__(self, monotonic: Callable[[], float], patience: float) -> None:
        self._monotonic = monotonic
        self._patience = patience
        self._attempts = 0
        self._since: float | None = None
        self._opened = 0.0

    def opened(self) -> None:
        """The stream is opened again."""
        self._opened = self._monotonic()

    def over(self) -> None:
        """Something was heard."""
        self._attempts, self._since = 0, None

    def wait(self, failure: RetinueError | None) -> float:
        """Seconds to wait. Raises the failure, or UNAVAILABLE where there was none, when patience is at its end."""
        now = self._monotonic()
        if now - self._opened > _CONNECTED:
            self.over()
        self._attempts += 1
        self._since = now if self._since is None else self._since
        if now - self._since > self._patience:
            raise failure or UnavailableError(
                Kind.UNAVAILABLE,
                "STREAM_BROKEN",
                "The stream of events ends again and again before the execution does.",
            )
        return pause(self._attempts)


def _passes(error: RetinueError) -> bool:
    """Whether the connection is at fault, and not the request. Errors of gRPC itself carry their kind as their code."""
    return error.kind in _BROKEN or (error.kind in _OF_GRPC and error.code == error.kind.name and not error.actions)
