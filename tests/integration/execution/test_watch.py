"""Following without news: what nobody was told of is found in the journal, for all followers by one statement."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress

import pytest

from retinue_core import ids
from retinue_core.events import Events
from services.execution.feed import Feed
from services.execution.watch import Watcher
from tests.integration.execution.conftest import Stores, an_append, completed_entry, model_entry

BY_ITSELF = 25.0
"""Seconds before a follower would look by itself: whoever found something earlier was told to look."""


@pytest.fixture
def feed() -> Feed:
    """News whose event server is away."""
    return Feed(Events("nats://127.0.0.1:1", "test"))


@pytest.fixture
async def watcher(stores: Stores, feed: Feed) -> AsyncIterator[Watcher]:
    watcher = Watcher(feed, stores.executions, stores.journals, look=0.01)
    looking = asyncio.create_task(watcher.run())
    yield watcher
    looking.cancel()
    with suppress(asyncio.CancelledError):
        await looking


async def test_what_nobody_was_told_of_is_found(stores: Stores, watcher: Watcher) -> None:
    execution = await stores.running(await stores.attach())
    told = []
    async with asyncio.timeout(BY_ITSELF), aclosing(watcher.events(execution, 0)) as events:
        async for event in events:
            told.append((event.sequence, event.event))
            if event.sequence == 2:
                await stores.journals.append([an_append(execution, model_entry(3))], ids.new_id())
            if event.sequence == 3:
                await stores.journals.append([an_append(execution, completed_entry(4))], ids.new_id())
    assert told == [(1, "start"), (2, "log"), (3, "step"), (4, "done")]


async def test_a_caller_that_waits_learns_of_an_end_that_nobody_told(
    stores: Stores, feed: Feed, watcher: Watcher
) -> None:
    execution = await stores.running(await stores.attach())
    async with asyncio.timeout(BY_ITSELF), feed.follow(execution.id) as follower:
        waiting = asyncio.create_task(watcher.until_ended(execution, follower, 60))
        await stores.journals.append([an_append(execution, completed_entry(3))], ids.new_id())
        assert (await waiting).output_json == '"done"'


async def test_how_far_journals_have_got_is_asked_for_many_at_once(stores: Stores) -> None:
    session = await stores.attach()
    first, second = await stores.running(session), await stores.running(session)
    await stores.journals.append([an_append(second, model_entry(3))], ids.new_id())
    assert await stores.executions.ahead_of({first.id: 2, second.id: 2, ids.new_id(): 0}) == [second.id]
    assert await stores.executions.ahead_of({second.id: 3}) == []
    assert await stores.executions.ahead_of({}) == []
