"""Asking a model until it answers.

Owns retries: transient failures only, with exponential backoff and full jitter, or the pause that the provider asks
for. It never waits longer than the execution has time left.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

from services.worker.core.entries import Usage
from services.worker.core.spec import ModelRequest
from services.worker.models.contract import Delta, ModelError, Provider, Result
from services.worker.models.failures import CUT_OFF, model_error

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 20.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How retries wait. `pause` sleeps for seconds, `chance` draws from 0 to 1."""

    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random


async def ask(
    provider: Provider,
    request: ModelRequest,
    *,
    retries: int,
    seconds_left: Callable[[], float],
    watch: Callable[[Delta], None],
    retrying: Callable[[ModelError, int, float], None],
    patience: Patience,
) -> Result:
    """Ask a model, and again after a transient failure, `retries` times at most.

    The result's usage includes what failed tries cost.
    `watch` gets the deltas, `retrying` every failure that is tried again: the error, the try that failed and the
    seconds until the next. Raises the ModelError that was the last.
    """
    attempt = 1
    lost = Usage()
    while True:
        try:
            result = await _once(provider, request, attempt, watch)
            return replace(result, usage=result.usage + lost) if attempt > 1 else result
        except ModelError as error:
            lost += error.usage
            seconds = pause_after(attempt, error.retry_after, patience.chance())
            if not error.failure.retryable or attempt > retries or seconds >= seconds_left():
                raise
            retrying(error, attempt, seconds)
        await patience.pause(seconds)
        attempt += 1


def pause_after(attempt: int, retry_after: float | None, chance: float) -> float:
    """Seconds to wait after a failed try: what was asked for, and otherwise full jitter below a doubling bound."""
    bound = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (attempt - 1))
    # A provider's pause is the least that helps; a little more keeps those who wait for it from coming all at once.
    return chance * bound if retry_after is None else retry_after + chance * min(1.0, retry_after / 10)


async def _once(provider: Provider, request: ModelRequest, attempt: int, watch: Callable[[Delta], None]) -> Result:
    async with aclosing(provider.stream(request, attempt)) as stream:
        async for item in stream:
            if isinstance(item, Result):
                return item
            watch(item)
    raise model_error(kind=CUT_OFF)
