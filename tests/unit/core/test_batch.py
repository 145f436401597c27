"""A batch holds what arrived meanwhile, in order, and answers each caller with its own result."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence
from contextvars import ContextVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retinue_core.batch import Batcher
from retinue_core.errors import Kind, RetinueError, unavailable

GUARD = 30.0
whose: ContextVar[str] = ContextVar("whose", default="")


class Lane:
    """A flush that a test lets through batch by batch. `batches` are those that have begun."""

    def __init__(self, *, opened: bool = False) -> None:
        self.batches: list[list[int]] = []
        self.under_way = 0
        self.most = 0
        self._begun = asyncio.Condition()
        self._opened = opened
        self._gates: list[asyncio.Event] = []

    async def flush(self, items: Sequence[int]) -> Sequence[int | Exception]:
        gate = asyncio.Event()
        self._gates.append(gate)
        self.batches.append(list(items))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        async with self._begun:
            self._begun.notify_all()
        try:
            if not self._opened:
                await gate.wait()
        finally:
            self.under_way -= 1
        return [-item for item in items]

    async def begun(self, count: int) -> None:
        """Wait until so many batches have begun."""
        async with asyncio.timeout(GUARD), self._begun:
            await self._begun.wait_for(lambda: len(self.batches) >= count)

    def release(self, index: int) -> None:
        self._gates[index].set()

    def open(self) -> None:
        self._opened = True
        for gate in self._gates:
            gate.set()


async def test_what_arrives_in_one_turn_leaves_together_and_the_rest_with_the_next_batch() -> None:
    lane = Lane()
    batcher = Batcher(lane.flush)
    first = [batcher.enqueue(number) for number in (1, 2)]
    await lane.begun(1)
    second = [batcher.enqueue(number) for number in (3, 4, 5)]
    lane.release(0)
    assert await asyncio.gather(*first) == [-1, -2]
    await lane.begun(2)
    lane.release(1)
    assert await asyncio.gather(*second) == [-3, -4, -5]
    assert lane.batches == [[1, 2], [3, 4, 5]]


async def test_a_lone_caller_is_flushed_at_once() -> None:
    lane = Lane(opened=True)
    assert await Batcher(lane.flush).submit(7) == -7
    assert lane.batches == [[7]]


async def test_a_batch_is_no_larger_than_its_limit() -> None:
    lane = Lane(opened=True)
    batcher = Batcher(lane.flush, limit=2)
    assert await asyncio.gather(*(batcher.submit(number) for number in range(5))) == [0, -1, -2, -3, -4]
    assert lane.batches == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize("lanes", [1, 2, 3])
async def test_no_more_batches_are_under_way_than_there_are_lanes(lanes: int) -> None:
    lane = Lane()
    batcher = Batcher(lane.flush, limit=1, lanes=lanes)
    results = [batcher.enqueue(number) for number in range(5)]
    await lane.begun(lanes)
    # A lane that is free takes the next batch, whichever lane it is.
    lane.release(lanes - 1)
    await lane.begun(lanes + 1)
    assert lane.under_way == lanes
    lane.open()
    assert await asyncio.gather(*results) == [0, -1, -2, -3, -4]
    assert lane.most == lanes
    assert lane.batches == [[number] for number in range(5)]


async def test_an_exception_for_one_item_is_that_items_alone() -> None:
    async def flush(items: Sequence[int]) -> Sequence[int | Exception]:
        return [unavailable(str(item)) if item % 2 else item for item in items]

    batcher: Batcher[int, int] = Batcher(flush)
    results = await asyncio.gather(*(batcher.submit(number) for number in range(4)), return_exceptions=True)
    assert [str(found) for found in results] == ["0", "1", "2", "3"]
    assert [isinstance(found, RetinueError) for found in results] == [False, True, False, True]


async def test_a_flush_that_fails_fails_its_batch_and_no_other() -> None:
    async def flush(items: Sequence[int]) -> Sequence[int]:
        if 1 in items:
            raise unavailable("down")
        return items

    batcher: Batcher[int, int] = Batcher(flush, limit=2)
    results = await asyncio.gather(*(batcher.submit(number) for number in range(4)), return_exceptions=True)
    assert [isinstance(found, RetinueError) for found in results] == [True, True, False, False]


@pytest.mark.parametrize("answered", [0, 1, 3])
async def test_a_flush_that_answers_too_little_or_too_much_leaves_nobody_waiting(answered: int) -> None:
    async def flush(items: Sequence[int]) -> Sequence[int]:
        return [0] * (answered if 1 in items else len(items))

    batcher: Batcher[int, int] = Batcher(flush, limit=2)
    async with asyncio.timeout(GUARD):
        results = await asyncio.gather(*(batcher.submit(number) for number in range(4)), return_exceptions=True)
    assert [found.kind for found in results if isinstance(found, RetinueError)] == [Kind.INTERNAL] * 2
    assert results[2:] == [0, 0]


async def test_a_caller_that_goes_away_takes_nothing_with_it() -> None:
    lane = Lane()
    batcher = Batcher(lane.flush)
    gone, stays = (asyncio.create_task(batcher.submit(number)) for number in (1, 2))
    await lane.begun(1)
    queued = asyncio.create_task(batcher.submit(3))
    await asyncio.sleep(0)
    for task in (gone, queued):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    lane.open()
    assert await stays == -2
    await batcher.drain()
    assert lane.batches == [[1, 2], [3]]


async def test_a_drain_waits_for_what_is_queued_and_what_comes_meanwhile() -> None:
    lane = Lane()
    batcher = Batcher(lane.flush, limit=1)
    results = [batcher.enqueue(number) for number in (1, 2)]
    draining = asyncio.create_task(batcher.drain())
    await lane.begun(1)
    results.append(batcher.enqueue(3))
    lane.open()
    await draining
    assert [result.result() for result in results] == [-1, -2, -3]
    await batcher.drain()


async def test_a_drain_that_is_given_up_stops_no_batch() -> None:
    lane = Lane()
    batcher = Batcher(lane.flush)
    result = batcher.enqueue(1)
    draining = asyncio.create_task(batcher.drain())
    await lane.begun(1)
    draining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await draining
    lane.open()
    assert await result == -1


async def test_a_loop_that_ends_leaves_nobody_waiting() -> None:
    lane = Lane()
    batcher = Batcher(lane.flush)
    under_way = batcher.enqueue(1)
    await lane.begun(1)
    queued = batcher.enqueue(2)
    (task,) = batcher._tasks
    task.cancel()
    await asyncio.wait({task})
    assert under_way.cancelled()
    assert queued.cancelled()
    lane.open()
    assert await batcher.submit(3) == -3


async def test_no_batch_runs_in_the_context_of_a_caller() -> None:
    seen: list[str] = []

    async def flush(items: Sequence[int]) -> Sequence[int]:
        seen.append(whose.get())
        return items

    batcher: Batcher[int, int] = Batcher(flush, limit=1)
    whose.set("the first caller's")
    # The second batch is started by the end of the first one.
    await asyncio.gather(batcher.submit(1), batcher.submit(2))
    assert seen == ["", ""]


async def test_a_result_that_nobody_wants_is_no_noise() -> None:
    noise: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: noise.append(context))

    async def flush(items: Sequence[int]) -> Sequence[int]:
        raise unavailable("down")

    batcher: Batcher[int, int] = Batcher(flush)
    caller = asyncio.create_task(batcher.submit(1))
    await asyncio.sleep(0)
    caller.cancel()
    await batcher.drain()
    await asyncio.wait({caller})
    gc.collect()
    assert noise == []


@settings(deadline=None, max_examples=60)
@given(
    limit=st.integers(1, 5),
    lanes=st.integers(1, 3),
    script=st.lists(st.one_of(st.integers(1, 4), st.just(0)), min_size=1, max_size=40),
)
def test_items_are_flushed_once_each_in_the_order_they_were_handed_in(
    limit: int, lanes: int, script: list[int]
) -> None:
    """`script` hands in so many items in one turn; zero lets the loop take a turn."""

    async def play() -> None:
        lane = Lane(opened=True)
        batcher = Batcher(lane.flush, limit=limit, lanes=lanes)
        results: list[asyncio.Future[int]] = []
        for count in script:
            results += [batcher.enqueue(len(results) + offset) for offset in range(count)]
            if not count:
                await asyncio.sleep(0)
        await batcher.drain()
        assert [result.result() for result in results] == [-number for number in range(len(results))]
        assert [item for batch in lane.batches for item in batch] == list(range(len(results)))
        assert all(len(batch) <= limit for batch in lane.batches)
        assert lane.most <= lanes

    asyncio.run(play())
