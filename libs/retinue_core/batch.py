"""Group commit: what arrives while a batch is under way becomes the next batch.

Owns the collecting. What a batch does is the caller's `flush`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

from retinue_core.errors import internal

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

_Flush = Callable[[Sequence[Item]], Awaitable[Sequence["Result | Exception"]]]


class Batcher(Generic[Item, Result]):
    """Runs `flush` over whatever has arrived, with a few batches under way at most.

    An item that finds a free lane leaves at the next turn of the loop together with all that arrived in the same
    turn, and otherwise with the next batch. So a lone caller does not wait, and a crowd shares. Behind a batch that
    was shared, the next one gathers for `linger` seconds: where there was a crowd there will be one, and fewer and
    larger batches cost less.

    `flush` gets the items and answers with one result, or exception, for each, in their order. An exception that it
    raises is given to every caller of the batch. It runs in a context of its own: a batch belongs to many calls, so
    none of them lends it its deadline, identity or trace. `limit` bounds a batch, `lanes` the batches under way.
    """

    def __init__(self, flush: _Flush[Item, Result], *, limit: int = 500, lanes: int = 1, linger: float = 0.0) -> None:
        self._flush = flush
        self._limit = limit
        self._free = lanes
        self._linger = linger
        self._queue: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._scheduled = False

    async def submit(self, item: Item) -> Result:
        """Hand in an item and wait for its result.

        A caller that is cancelled stops waiting; its item is still flushed.
        """
        return await self.enqueue(item)

    def enqueue(self, item: Item) -> asyncio.Future[Result]:
        """Hand in an item and get the future of its result. Items are flushed in the order they were handed in."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._queue.append((item, future))
        if self._free and not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._start)
        return future

    def __len__(self) -> int:
        """How many items wait for a batch."""
        return len(self._queue)

    async def drain(self) -> None:
        """Wait until nothing is queued or under way. Whoever stops waiting stops no batch."""
        while self._queue or self._tasks:
            self._start()
            await asyncio.wait(self._tasks)

    def _start(self) -> None:
        self._scheduled = False
        while self._free and self._queue:
            self._free -= 1
            size = min(self._limit, len(self._queue))
            batch = [self._queue.popleft() for _ in range(size)]
            task = asyncio.create_task(self._run(batch), context=Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            _deliver(batch, await self._results([item for item, _ in batch]))
            if self._linger and len(batch) > 1:
                await asyncio.sleep(self._linger)
        except asyncio.CancelledError:
            # The loop ends: nobody will flush what is queued either.
            for _, future in (*batch, *self._queue):
                future.cancel()
            self._queue.clear()
            raise
        finally:
            self._free += 1
        self._start()

    async def _results(self, items: list[Item]) -> Sequence[Result | Exception]:
        try:
            results = await self._flush(items)
        except Exception as error:  # noqa: BLE001 - it belongs to the callers, who get it
            return [error] * len(items)
        if len(results) != len(items):
            log.error("a batch of %d items was answered with %d results", len(items), len(results))
            return [internal()] * len(items)
        return results


def _deliver(batch: list[tuple[Item, asyncio.Future[Result]]], results: Sequence[Result | Exception]) -> None:
    for (_, future), result in zip(batch, results, strict=True):
        if future.done():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
