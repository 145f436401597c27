"""Idempotency keys in the database: who holds one, and what a lost answer does not change."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from retinue_core.db import Answers, Database
from retinue_core.rpc.idempotency import Key, State


@pytest.fixture
async def answers(postgres_url: str) -> AsyncIterator[Answers]:
    database = Database(postgres_url, "agent")
    await database.open()
    yield Answers(database)
    await database.close()


def key() -> Key:
    return Key(str(uuid.uuid4()), "ada", str(uuid.uuid4()), b"request", str(uuid.uuid4()))


def another(of: Key) -> Key:
    """The same key, in another request."""
    return replace(of, holder=str(uuid.uuid4()))


async def test_who_holds_a_key_takes_it_again_and_nobody_else_does(answers: Answers) -> None:
    mine = key()
    for _ in range(3):
        assert await answers.begin(mine, 60) == (State.NEW, b"")
    assert await answers.begin(another(mine), 60) == (State.BUSY, b"")
    assert await answers.begin(replace(another(mine), fingerprint=b"other"), 60) == (State.OTHER, b"")


async def test_an_answer_is_given_to_everybody_who_asks_for_it(answers: Answers) -> None:
    mine = key()
    await answers.begin(mine, 60)
    await answers.finish(mine, b"answer")
    for asking in (mine, another(mine)):
        assert await answers.begin(asking, 60) == (State.ANSWERED, b"answer")


async def test_only_who_holds_a_key_frees_it_or_answers_it(answers: Answers) -> None:
    mine = key()
    await answers.begin(mine, 60)
    await answers.forget(another(mine))
    await answers.finish(another(mine), b"wrong")
    assert await answers.begin(another(mine), 60) == (State.BUSY, b"")
    await answers.forget(mine)
    assert await answers.begin(another(mine), 60) == (State.NEW, b"")


async def test_who_comes_late_does_not_disturb_who_took_over(answers: Answers) -> None:
    late = key()
    await answers.begin(late, 0)
    over = another(late)
    assert await answers.begin(over, 60) == (State.NEW, b"")
    await answers.finish(late, b"late")
    await answers.forget(late)
    assert await answers.begin(another(late), 60) == (State.BUSY, b"")
    await answers.finish(over, b"in time")
    assert await answers.begin(late, 60) == (State.ANSWERED, b"in time")
