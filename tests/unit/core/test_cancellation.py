"""A cancellation that a library loses is found again."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from retinue_core.cancellation import cancellation_kept


async def deaf(begun: asyncio.Event) -> None:
    """Lose a cancellation, as `asyncio.wait_for` of Python 3.11 may."""
    begun.set()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()


async def test_a_lost_cancellation_ends_the_task_after_all() -> None:
    begun = asyncio.Event()

    async def work() -> None:
        with cancellation_kept():
            await deaf(begun)

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_who_cleans_up_after_a_cancellation_may_wait() -> None:
    cleaned = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            with cancellation_kept():
                await asyncio.sleep(0)
            cleaned.set()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned.is_set()


async def test_an_error_inside_stays_the_error() -> None:
    with pytest.raises(KeyError), cancellation_kept():
        raise KeyError("inside")
