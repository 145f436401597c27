"""Following a stream that breaks, repeats itself and has holes: what is told is 1, 2, 3 … to the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import pytest

from retinue_client.errors import InternalError, NotFoundError, UnavailableError
from retinue_client.models import Event
from retinue_client.watching import follow
from retinue_client.wire import LONGEST_PAUSE, pause
from retinue_core.errors import Kind, RetinueError

UNREACHABLE = UnavailableError(Kind.UNAVAILABLE, "UNREACHABLE", "Gone.")
RESET = InternalError(Kind.INTERNAL, "INTERNAL", "The call failed.")
END = 6


def event(sequence: int, name: str = "") -> Event:
    name = name or ("done" if sequence == END else "chunk" if sequence == 0 else "log")
    return Event(sequence=sequence, event=name, kind="", execution_id="e", time=None)


class Streams:
    """A server whose every stream goes as it is told: numbers are events, an exception breaks it, an end ends it."""

    def __init__(self, *streams: Iterable[int | RetinueError]) -> None:
        self._streams = list(streams)
        self.opened_after: list[int] = []
        self.waits: list[float] = []
        self.now = 0.0

    async def open(self, after: int) -> AsyncIterator[Event]:
        self.opened_after.append(after)
        for item in self._streams.pop(0) if len(self._streams) > 1 else self._streams[0]:
            if isinstance(item, RetinueError):
                raise item
            yield event(item)

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    async def told(self, after: int = 0, patience: float = 60.0) -> list[int]:
        following = follow(self.open, after, sleep=self.sleep, monotonic=lambda: self.now, patience=patience)
        return [found.sequence async for found in following]


WHOLE = [1, 2, 3, 4, 5, END]
STREAMS: dict[str, Sequence[Sequence[Any]]] = {
    "whole": [WHOLE],
    "broken": [[1, 2, UNREACHABLE], [3, 4, RESET], [5, END]],
    "ended early": [[1, 2], [], [3, 4, 5, END]],
    "repeated": [[1, 2, UNREACHABLE], [1, 2, 3, 3, 2, 4, 5, END]],
    "with a hole": [[1, 3, 4], [2, 3, 4, 5, END]],
    "broken at once": [[UNREACHABLE], [UNREACHABLE], WHOLE],
}


@pytest.mark.parametrize("name", STREAMS)
async def test_every_event_is_told_once_and_in_order(name: str) -> None:
    assert await Streams(*STREAMS[name]).told() == WHOLE


async def test_a_stream_is_opened_again_behind_what_was_told() -> None:
    streams = Streams([3, 4, UNREACHABLE], [UNREACHABLE], [5, END])
    assert await streams.told(after=2) == [3, 4, 5, END]
    assert streams.opened_after == [2, 4, 4]


async def test_chunks_pass_and_count_for_nothing() -> None:
    streams = Streams([1, 0, 0, 2, UNREACHABLE], [0, 3, 4, 5, END])
    assert await streams.told() == [1, 0, 0, 2, 0, 3, 4, 5, END]


@pytest.mark.parametrize(
    "error",
    [
        NotFoundError(Kind.NOT_FOUND, "EXECUTION_NOT_FOUND", "No."),
        InternalError(Kind.INTERNAL, "INTERNAL", "Ours.", actions=("Report it.",)),
    ],
)
async def test_a_refusal_is_raised_at_once(error: RetinueError) -> None:
    streams = Streams([1, error], WHOLE)
    with pytest.raises(type(error)):
        await streams.told()
    assert streams.opened_after == [0]


async def test_patience_ends_and_the_last_error_is_raised() -> None:
    streams = Streams([1], [UNREACHABLE])
    with pytest.raises(UnavailableError, match="Gone"):
        await streams.told(patience=30)
    assert 25 < streams.now < 35


async def test_a_stream_that_only_ever_ends_exhausts_patience_too() -> None:
    with pytest.raises(UnavailableError, match="ends again and again"):
        await Streams([]).told(patience=5)


async def test_patience_is_for_one_outage_and_not_for_all_of_them() -> None:
    outages: list[list[int | RetinueError]] = [[sequence, UNREACHABLE] for sequence in range(1, END)]
    streams = Streams(*outages, [END])

    async def long(seconds: float) -> None:
        await Streams.sleep(streams, 20.0)

    streams.sleep = long  # type: ignore[method-assign]
    assert await streams.told(patience=30) == WHOLE


async def test_a_stream_that_was_silent_for_long_has_all_patience_when_it_breaks() -> None:
    streams = Streams()

    async def silent(after: int) -> AsyncIterator[Event]:
        streams.opened_after.append(after)
        if len(streams.opened_after) < 4:
            streams.now += 3600
            raise UNREACHABLE
        for sequence in WHOLE:
            yield event(sequence)

    following = follow(silent, 0, sleep=streams.sleep, monotonic=lambda: streams.now, patience=10)
    assert [found.sequence async for found in following] == WHOLE


def test_pauses_grow_with_jitter_and_end_at_two_seconds() -> None:
    for attempt in (1, 5, 10_000):
        many = [pause(attempt) for _ in range(200)]
        assert max(many) <= LONGEST_PAUSE
        assert len(set(many)) > 100
    assert max(pause(1) for _ in range(200)) <= 0.2
