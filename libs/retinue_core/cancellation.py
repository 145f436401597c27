"""Cancellations that other people's code loses.

Owns one guard. Until Python 3.12 `asyncio.wait_for` drops a cancellation that arrives together with the result it waits
for, and the libraries that use it drop it with it: a task that was told to end goes on, and whoever waits for its end
waits for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def cancellation_kept() -> Iterator[None]:
    """Raise the cancellation of this task that arrived inside the block and did not come out of it.

    One that arrived before does not count: what cleans up after it may still wait for things.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    yield
    if task and task.cancelling() > before:
        raise asyncio.CancelledError
