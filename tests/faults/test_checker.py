"""The checker of the fault tests notices: for every promise, books in which it was broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.faults.books import Books, Entry, Left, Row, Sample, Stream
from tests.faults.checker import check
from tests.faults.oracle import Attempt

JOURNAL = (
    Entry(1, "execution.created"),
    Entry(2, "execution.started"),
    Entry(3, "model.completed", "1"),
    Entry(4, "tool.dispatched", "call", "key", "idempotent"),
    Entry(5, "execution.recovered"),
    Entry(6, "execution.started"),
    Entry(7, "tool.completed", "call"),
    Entry(8, "model.completed", "2"),
    Entry(9, "execution.completed"),
)


def sound() -> Books:
    """Books of a run in which a worker was lost in the middle of a keyed call, and everything was kept."""
    return Books(
        told={"x": "COMPLETED"},
        streams=[Stream("x", ((0, (1, 2, 3)), (3, ()), (3, (4, 5, 6, 7, 8, 9))), ended=True)],
        attempts=[Attempt("key", "/", True, 1.0), Attempt("key", "/", False, 2.0)],
        rows=[Row("x", "COMPLETED", 3, 9, 10, 10, JOURNAL)],
        samples=[Sample({"x": 1}, (("TOKENS of USER", 10, 10),)), Sample({"x": 3})],
        afterwards=[("agent", False), *[("agent", True)] * 5],
    )


def journal(books: Books, change: Callable[[list[Entry]], object]) -> None:
    entries = list(books.rows[0].journal)
    change(entries)
    books.rows[0] = replace(books.rows[0], journal=tuple(entries))


def row(books: Books, **changes: object) -> None:
    books.rows[0] = replace(books.rows[0], **changes)  # type: ignore[arg-type]


def lengthened(books: Books, entry: Entry) -> None:
    journal(books, lambda entries: entries.append(entry))
    row(books, last_sequence=entry.sequence)


def renumbered(entries: list[Entry], *kinds: Entry) -> None:
    entries[:] = [replace(entry, sequence=n) for n, entry in enumerate(kinds, 1)]


def test_books_of_a_run_that_kept_every_promise_have_no_violation() -> None:
    assert check(sound()) == []


DOCTORED: dict[str, tuple[str, Callable[[Books], object]]] = {
    "an acknowledged execution is not there": ("I1", lambda b: b.told.update(y="PENDING")),
    "an acknowledged execution never ended": ("I1", lambda b: row(b, status="RUNNING")),
    "a client was told another end": ("I1", lambda b: b.told.update(x="FAILED")),
    "an entry is missing": ("I2", lambda b: journal(b, lambda e: e.pop(6))),
    "an entry is there twice": ("I2", lambda b: journal(b, lambda e: e.insert(3, e[2]))),
    "a model call is recorded twice": (
        "I2",
        lambda b: journal(b, lambda e: e.__setitem__(7, replace(e[7], about="1"))),
    ),
    "a call has two results": (
        "I2",
        lambda b: journal(b, lambda e: e.__setitem__(7, Entry(8, "tool.failed", "call"))),
    ),
    "something follows the end": ("I2", lambda b: lengthened(b, Entry(10, "log.recorded"))),
    "it has no end": ("I2", lambda b: setattr(b, "rows", [Row("x", "COMPLETED", 2, 2, 0, 0, JOURNAL[:2])])),
    "a stream has a gap": (
        "I2",
        lambda b: b.streams.append(Stream("x", ((0, (1, 2, 4, 5, 6, 7, 8, 9)),), ended=True)),
    ),
    "a stream repeats an event": (
        "I2",
        lambda b: b.streams.append(Stream("x", ((0, (1, 2)), (2, (2, 3))), ended=False)),
    ),
    "a stream skips over a break": ("I2", lambda b: b.streams.append(Stream("x", ((0, (1,)), (1, (3,))), ended=False))),
    "a stream ends too early": ("I2", lambda b: b.streams.append(Stream("x", ((0, (1, 2)),), ended=True))),
    "an effect happened twice": ("I3", lambda b: b.attempts.append(Attempt("key", "/", True, 3.0))),
    "a recorded call was made again": ("I3", lambda b: b.attempts.append(Attempt("key", "/", False, 3.0))),
    "an effect has no intent": ("I3", lambda b: b.attempts.append(Attempt("other", "/", True, 3.0))),
    "an effect is recorded that never was": ("I3", lambda b: b.attempts.clear()),
    "a call without a key was repeated": (
        "I3",
        lambda b: journal(b, lambda e: e.__setitem__(3, replace(e[3], effect="irreversible"))),
    ),
    "a budget was overshot": ("I4", lambda b: b.samples.append(Sample({}, (("TOKENS of USER", 11, 10),)))),
    "a reservation is left": ("I4", lambda b: setattr(b, "left", Left(reservations=1))),
    "an amount is held": ("I4", lambda b: setattr(b, "left", Left(held=5))),
    "a settlement is owed": ("I4", lambda b: setattr(b, "left", Left(unsettled=1))),
    "usage was not booked": ("I4", lambda b: row(b, booked=0)),
    "usage was booked twice": ("I4", lambda b: row(b, booked=20)),
    "a fence went down": ("I5", lambda b: b.samples.append(Sample({"x": 2}))),
    "a fence ended below where it was": ("I5", lambda b: b.samples.append(Sample({"x": 4}))),
    "a worker wrote after it was lost": (
        "I5",
        lambda b: journal(b, lambda e: renumbered(e, *e[:5], e[6], e[5], *e[7:])),
    ),
    "a worker wrote before it held it": ("I5", lambda b: journal(b, lambda e: renumbered(e, e[0], e[2], e[1], *e[3:]))),
    "a change of hands left the fence": ("I5", lambda b: row(b, fence=2)),
    "a service never recovered": ("I6", lambda b: b.afterwards.append(("agent", False))),
    "a service was hardly asked": ("I6", lambda b: b.afterwards.append(("quota", True))),
}


@pytest.mark.parametrize(("invariant", "doctor"), DOCTORED.values(), ids=list(DOCTORED))
def test_the_checker_notices_when(invariant: str, doctor: Callable[[Books], object]) -> None:
    books = sound()
    doctor(books)
    assert invariant in {violation.split()[0] for violation in check(books)}
