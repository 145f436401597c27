"""Joins the three books and names every promise that was broken: the invariants I1 to I6 of docs/reliability.md.

Pure: books in, violations out. Each violation begins with the name of the invariant.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tests.faults.books import Books, Entry, Left, Row, Stream

_ENDS = {"execution.completed": "COMPLETED", "execution.failed": "FAILED", "execution.cancelled": "CANCELLED"}
_RESULTS = ("tool.completed", "tool.failed", "tool.unknown")
_OF_A_WORKER = ("model.completed", "tool.dispatched", *_RESULTS, "log.recorded", "execution.completed")
_LAST = 5


def check(books: Books) -> list[str]:
    """All violations; nothing when every promise was kept."""
    return [
        *_ended(books),
        *(problem for row in books.rows for problem in _journal(row)),
        *_streams(books),
        *_effects(books),
        *_budgets(books),
        *_fences(books),
        *_afterwards(books),
    ]


def _ended(books: Books) -> Iterator[str]:
    rows = {row.id: row for row in books.rows}
    for execution_id, told in books.told.items():
        row = rows.get(execution_id)
        if row is None:
            yield f"I1 {execution_id} was acknowledged and is not in the database"
        elif row.status not in _ENDS.values():
            yield f"I1 {execution_id} was acknowledged and is {row.status}"
        elif told in _ENDS.values() and told != row.status:
            yield f"I1 {execution_id} ended {row.status}, and its client was told {told}"


def _journal(row: Row) -> Iterator[str]:
    sequences = [entry.sequence for entry in row.journal]
    if sequences != list(range(1, row.last_sequence + 1)):
        yield f"I2 {row.id} has the sequences {sequences}, and its last one is {row.last_sequence}"
    for what, kinds in (("model call", ("model.completed",)), ("start of", ("tool.dispatched",)), ("result", _RESULTS)):
        counts = Counter(entry.about for entry in row.journal if entry.kind in kinds)
        for about, count in counts.items():
            if count > 1:
                yield f"I2 {row.id} has {count} times the {what} {about}"
    ends = [entry for entry in row.journal if entry.kind in _ENDS]
    wanted = [row.status] if row.status in _ENDS.values() else []
    if [_ENDS[entry.kind] for entry in ends] != wanted or (ends and ends[-1] != row.journal[-1]):
        yield f"I2 {row.id} is {row.status}, and its journal ends with {[entry.kind for entry in ends]}"


def _streams(books: Books) -> Iterator[str]:
    rows = {row.id: row for row in books.rows}
    for stream in books.streams:
        seen = 0
        for after, ids in stream.connections:
            if after != seen or list(ids) != list(range(seen + 1, seen + 1 + len(ids))):
                yield f"I2 a client of {stream.execution_id} had seen {seen}, asked after {after} and got {list(ids)}"
            seen = ids[-1] if ids else seen
        yield from _whole(stream, seen, rows.get(stream.execution_id))


def _whole(stream: Stream, seen: int, row: Row | None) -> Iterator[str]:
    if stream.ended and row is not None and seen != row.last_sequence:
        yield f"I2 a stream of {stream.execution_id} ended with {seen}, and the journal with {row.last_sequence}"


def _effects(books: Books) -> Iterator[str]:
    intents = {entry.key: (row, entry) for row in books.rows for entry in row.journal if entry.key}
    attempts = Counter(attempt.key for attempt in books.attempts)
    applied = Counter(attempt.key for attempt in books.attempts if attempt.applied)
    for key in attempts.keys() - intents.keys():
        yield f"I3 the oracle saw {key[:8]} {attempts[key]} times, and no journal has its intent"
    for key, (row, entry) in intents.items():
        result = next((found for found in row.journal if found.kind in _RESULTS and found.about == entry.about), None)
        done = result is not None and result.kind == "tool.completed"
        name = f"{entry.about} of {row.id}"
        if entry.effect == "pure":
            continue
        if applied[key] > 1:
            yield f"I3 {name} took effect {applied[key]} times"
        if done and not applied[key]:
            yield f"I3 {name} is recorded as done, and the oracle saw nothing"
        if entry.effect == "irreversible" and attempts[key] > 1:
            yield f"I3 {name} was repeated without a key"
        if attempts[key] > 1 + _recoveries(row, entry, result):
            yield f"I3 {name} was called {attempts[key]} times, more often than its worker was lost"


def _recoveries(row: Row, start: Entry, result: Entry | None) -> int:
    """How often an execution lost its worker while a call was under way."""
    until = result.sequence if result is not None else row.last_sequence + 1
    lost = (entry for entry in row.journal if entry.kind == "execution.recovered")
    return sum(1 for entry in lost if start.sequence < entry.sequence < until)


def _budgets(books: Books) -> Iterator[str]:
    for sample in books.samples:
        for what, value, limit in sample.quotas:
            if value > limit:
                yield f"I4 {what} was {value}, and the limit is {limit}"
    if books.left != Left():
        yield f"I4 something is left: {books.left}"
    for row in books.rows:
        if row.tokens != row.booked:
            yield f"I4 {row.id} used {row.tokens} tokens, and {row.booked} are booked"


def _fences(books: Books) -> Iterator[str]:
    highest: dict[str, int] = {}
    for sample in books.samples:
        for execution_id, fence in sample.fences.items():
            if fence < highest.get(execution_id, 0):
                yield f"I5 the fence of {execution_id} went from {highest[execution_id]} to {fence}"
            highest[execution_id] = fence
    for row in books.rows:
        if row.fence < highest.get(row.id, 0):
            yield f"I5 the fence of {row.id} went from {highest[row.id]} to {row.fence}"
        yield from _holders(row)


def _holders(row: Row) -> Iterator[str]:
    """Only who holds an execution writes, and every change of hands raised the fence."""
    held, changes = False, 0
    for entry in row.journal:
        if entry.kind in _OF_A_WORKER and not held:
            yield f"I5 {row.id} has {entry.kind} at {entry.sequence}, while no worker held it"
        changes += entry.kind in ("execution.started", "execution.recovered", "execution.cancelled")
        held = entry.kind == "execution.started" or (held and entry.kind in _OF_A_WORKER)
    # A failure is written by the worker, or by execution under a new fence.
    if row.fence - changes not in ((0, 1) if row.status == "FAILED" else (0,)):
        yield f"I5 {row.id} changed hands {changes} times, and its fence is {row.fence}"


def _afterwards(books: Books) -> Iterator[str]:
    for service in dict.fromkeys(service for service, _ in books.afterwards):
        last = [good for name, good in books.afterwards if name == service][-_LAST:]
        if not all(last) or len(last) < _LAST:
            yield f"I6 of the last operations of {service} after the fault {last.count(True)} succeeded"
