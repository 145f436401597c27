"""The journal's writer: entries of all workers' streams, committed in groups.

Owns the group commit: whatever has arrived while a transaction was under way goes into the next one. Nothing is
acknowledged before it is committed, and a commit whose answer was lost is asked for again until it is known.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from retinue_core.batch import Batcher
from retinue_core.errors import Kind as ErrorKind
from retinue_core.errors import RetinueError
from services.execution.convert import JournalEntry, change_of, numbered, to_new_entry
from services.execution.feed import Committed
from services.execution.relay import Relay
from services.execution.store import Executions, Journals
from services.execution.store.executions import NewExecution
from services.execution.store.journal import Append, Appended, new_outbox_id
from services.execution.store.outbox import Owed

log = logging.getLogger(__name__)

T = TypeVar("T")
_SLOWEST = 1.0
_PATIENCE = 8.0  # seconds that who starts an execution waits for the database, and is then told to try again
_LINGER = 0.002
_ROUNDS = 4  # how often an append is looked at that another stream of the same worker overtook


@dataclass(frozen=True, slots=True)
class Entries:
    """Entries that a worker handed in for an execution it holds under a fence."""

    organization_id: str
    execution_id: str
    fence: int
    entries: tuple[JournalEntry, ...]


Group = tuple[list[int], Entries]
"""Entries of one execution that several items of a batch brought, with the places of these items."""


class Journal:
    """Writes journals. Appends of one execution are committed in the order they were handed in."""

    def __init__(
        self, journals: Journals, executions: Executions, relay: Relay, owed: Callable[[Sequence[Owed]], None]
    ) -> None:
        self._journals = journals
        self._executions = executions
        self._relay = relay
        self._owed = owed
        self._appends: Batcher[Entries, bool] = Batcher(self._append, limit=1_000, linger=_LINGER)
        self._creations: Batcher[NewExecution, datetime] = Batcher(self._create, limit=500, linger=_LINGER)

    def append(self, entries: Entries) -> asyncio.Future[bool]:
        """Append; the result says whether they are in the journal, or refused because the fence is old."""
        return self._appends.enqueue(entries)

    @property
    def creations_waiting(self) -> int:
        """How many creations wait for a transaction."""
        return len(self._creations)

    async def create(self, execution: NewExecution) -> datetime:
        """Accept an execution; returns when it was committed."""
        return await self._creations.submit(execution)

    async def drain(self) -> None:
        """Wait until everything that was handed in is committed."""
        await self._creations.drain()
        await self._appends.drain()

    async def _create(self, items: Sequence[NewExecution]) -> Sequence[datetime]:
        outbox_id = new_outbox_id()
        created_at = await until_known(lambda: self._executions.create(items, outbox_id), seconds=_PATIENCE)
        commits = []
        for item in items:
            entries = [
                numbered(JournalEntry.FromString(body), sequence, created_at)
                for sequence, body in enumerate((item.created_body, item.started_body), start=1)
                if body is not None
            ]
            execution = item.execution
            commits.append(Committed(execution.organization_id, execution.id, tuple(entries)))
        self._relay.committed(outbox_id, commits)
        return [created_at] * len(items)

    async def _append(self, items: Sequence[Entries]) -> Sequence[bool]:
        results: dict[int, bool] = {}
        waiting = list(enumerate(items))
        while waiting:
            groups, waiting = _grouped(waiting)
            await self._commit(groups, results)
        return [results[index] for index in range(len(items))]

    async def _commit(self, groups: list[Group], results: dict[int, bool]) -> None:
        for _ in range(_ROUNDS):
            groups = await self._commit_once(groups, results)
            if not groups:
                return

    async def _commit_once(self, groups: list[Group], results: dict[int, bool]) -> list[Group]:
        """Commit; returns what is to be tried again, because a part of it is in the journal by now.

        That happens to what a worker sends again on a new stream, while the old one still brings what was under way.
        """
        outbox_id = new_outbox_id()
        appends = [_to_append(entries) for _, entries in groups]
        answers = await until_known(lambda: self._journals.append(appends, outbox_id))
        commits, owed, again = [], [], []
        for (indices, entries), answer in zip(groups, answers, strict=True):
            results.update(dict.fromkeys(indices, answer.done))
            if answer.done:
                commits.append(_committed(entries, answer))
            elif (rest := _rest(entries, answer.newest)) is not None:
                again.append((indices, rest))
            if answer.owed is not None:
                owed.append(answer.owed)
        if commits:
            self._relay.committed(outbox_id, commits)
        if owed:
            self._owed(owed)
        return again


def _rest(entries: Entries, newest: int | None) -> Entries | None:
    """What of refused entries follows the newest of their journal; None when they do not fit to it at all.

    All of them, when somebody was quicker while the statement was under way: the next look sees what was written.
    """
    if newest is None or newest < entries.entries[0].sequence - 1:
        return None
    return replace(entries, entries=tuple(entry for entry in entries.entries if entry.sequence > newest))


def _grouped(waiting: list[tuple[int, Entries]]) -> tuple[list[Group], list[tuple[int, Entries]]]:
    """Join what follows on in one execution; what does not fit into this round is left for the next."""
    groups: dict[str, tuple[list[int], Entries]] = {}
    left: list[tuple[int, Entries]] = []
    held_up: set[str] = set()
    for index, item in waiting:
        known = groups.get(item.execution_id)
        if known is None:
            groups[item.execution_id] = ([index], item)
        elif item.execution_id not in held_up and _follows(known[1], item):
            known[0].append(index)
            joined = replace(known[1], entries=known[1].entries + item.entries)
            groups[item.execution_id] = (known[0], joined)
        else:
            held_up.add(item.execution_id)
            left.append((index, item))
    return list(groups.values()), left


def _follows(before: Entries, after: Entries) -> bool:
    return before.fence == after.fence and before.entries[-1].sequence + 1 == after.entries[0].sequence


def _to_append(entries: Entries) -> Append:
    return Append(
        entries.execution_id,
        entries.fence,
        tuple(to_new_entry(entry) for entry in entries.entries),
        change_of(entries.entries),
    )


def _committed(entries: Entries, answer: Appended) -> Committed:
    for entry in entries.entries:
        entry.recorded_at.FromDatetime(answer.recorded_at)
    return Committed(entries.organization_id, entries.execution_id, entries.entries)


async def until_known(attempt: Callable[[], Awaitable[T]], *, seconds: float | None = None) -> T:
    """Run a statement that may be run again until its answer is known.

    While the database is away it is tried again with growing pauses; after some seconds the failure is passed on.
    """
    clock = asyncio.get_running_loop().time
    pause, begun = 0.02, clock()
    while True:
        try:
            return await attempt()
        except RetinueError as error:
            if error.kind is not ErrorKind.UNAVAILABLE or (seconds is not None and clock() - begun > seconds):
                raise
            log.info("the database is away; trying again: %s", error)
        await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - jitter is no secret
        pause = min(pause * 2, _SLOWEST)
