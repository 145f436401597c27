"""How the journal's writer puts what streams hand in into groups, and the feed into news."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from retinue.execution.v1 import journal_pb2
from services.execution.feed import Committed, Follower
from services.execution.journal import Entries, _grouped

JournalEntry = journal_pb2.JournalEntry


def handed(execution_id: str, fence: int, *sequences: int) -> Entries:
    log = journal_pb2.LogRecorded(message="m")
    return Entries(
        "o", execution_id, fence, tuple(JournalEntry(sequence=number, log_recorded=log) for number in sequences)
    )


def test_what_follows_on_is_joined_and_other_executions_stand_beside_it() -> None:
    items = [handed("a", 1, 3), handed("b", 1, 3), handed("a", 1, 4, 5)]
    groups, left = _grouped(list(enumerate(items)))
    assert left == []
    assert [(indices, [entry.sequence for entry in group.entries]) for indices, group in groups] == [
        ([0, 2], [3, 4, 5]),
        ([1], [3]),
    ]


def test_another_fence_or_a_gap_waits_for_the_next_round_with_all_behind_it() -> None:
    items = [handed("a", 1, 3), handed("a", 2, 4), handed("a", 1, 4)]
    groups, left = _grouped(list(enumerate(items)))
    assert len(groups) == 1
    assert [index for index, _ in left] == [1, 2]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 2), st.integers(1, 5)), max_size=12))
def test_rounds_keep_the_order_within_an_execution_and_lose_nothing(found: list[tuple[str, int, int]]) -> None:
    waiting = list(enumerate(handed(*item) for item in found))
    order: list[int] = []
    while waiting:
        groups, waiting = _grouped(waiting)
        order += itertools.chain.from_iterable(indices for indices, _ in groups)
    assert sorted(order) == list(range(len(found)))
    for name in "abc":
        mine = [index for index in order if found[index][0] == name]
        assert mine == sorted(mine)


async def test_a_reader_gets_all_news_at_once_and_nothing_when_the_time_is_over() -> None:
    follower = Follower()
    assert await follower.next(0.0) == []
    news = [Committed("o", "e", ()), Committed("o", "f", ())]
    for one in news:
        follower.push(one)
    assert await follower.next(1.0) == news


async def test_a_reader_that_is_too_slow_loses_the_oldest_news() -> None:
    follower = Follower()
    for number in range(1_500):
        follower.push(Committed("o", str(number), ()))
    news = await follower.next(1.0)
    assert len(news) == 1_000
    assert news[-1] == Committed("o", "1499", ())
