"""Following executions: to their end, or event by event.

Owns the joining of history and news into one sequence without gap or repeat: news is only a hint, and whatever is
missing between two sequences is read from the journal.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing

from retinue.execution.v1 import execution_pb2, worker_pb2
from retinue_core.errors import RetinueError, not_found
from services.execution.convert import JournalEntry, change_of, from_stored
from services.execution.domain import Execution, Status, fold
from services.execution.feed import Committed, Feed, Follower, News
from services.execution.narrate import Event, Narrator
from services.execution.store import Executions, Journals

log = logging.getLogger(__name__)

_LOOK = 2.0
_PATIENCE = 30.0  # seconds after which a reader looks by itself, should nobody have told it to
_PAGE = 500


class Watcher:
    """Follows executions."""

    def __init__(self, feed: Feed, executions: Executions, journals: Journals, *, look: float = _LOOK) -> None:
        self._feed = feed
        self._executions = executions
        self._journals = journals
        self._look = look

    async def run(self) -> None:
        """Ask every two seconds, for all that is followed at once, whether news were lost; for ever."""
        while True:
            await asyncio.sleep(self._look)
            try:
                behind = await self._executions.ahead_of(self._feed.followed())
            except RetinueError as error:
                log.info("followers wait: %s", error)
                continue
            for execution_id in behind:
                self._feed.look(execution_id)

    async def until_ended(self, execution: Execution, follower: Follower, seconds: float) -> Execution:
        """Wait for the end of an execution that this replica accepted, at most for some seconds.

        Returns it as it is then. `follower` follows it since before it was accepted.
        """
        queued = execution.status is Status.PENDING
        try:
            async with asyncio.timeout(seconds):
                while not execution.status.ended:
                    follower.told = execution.last_sequence
                    news = await follower.next(_PATIENCE)
                    execution = _folded(execution, news) if news else await self._row(execution)
        except TimeoutError:
            pass
        # Who took it up, and when, is in no entry as the row has it.
        return await self._row(execution) if queued else execution

    async def events(self, execution: Execution, after: int) -> AsyncGenerator[Event, None]:
        """Yield every event after a sequence, history first and then live, until the execution has ended."""
        async with (
            self._feed.follow_everywhere(execution.organization_id, execution.id) as follower,
            aclosing(self._told(execution, follower, after, behind=True)) as events,
        ):
            async for event in events:
                yield event

    def live(self, execution: Execution, follower: Follower) -> AsyncGenerator[Event, None]:
        """Yield every event of an execution that `follower` follows since before it was accepted."""
        return self._told(execution, follower, 0, behind=False)

    async def _told(
        self, execution: Execution, follower: Follower, after: int, *, behind: bool
    ) -> AsyncGenerator[Event, None]:
        narrator = Narrator()
        async with aclosing(self._entries(execution, follower, behind=behind)) as found:
            async for one in found:
                if isinstance(one, Event):
                    yield one
                    continue
                event = await self._event(narrator, one, execution)
                if one.sequence > after:
                    yield event
                if _ends(event):
                    return

    async def _entries(
        self, execution: Execution, follower: Follower, *, behind: bool
    ) -> AsyncGenerator[Event | JournalEntry, None]:
        """Yield the journal in order, with pieces of text before the step that they belong to; for ever.

        The journal is read when news leave a gap, and when the follower is told to look: some may have been lost.
        """
        steps = 0
        while True:
            if behind:
                async for entry in self._missing(execution, follower.told):
                    follower.told, steps = entry.sequence, max(steps, entry.model_completed.step)
                    yield entry
            news = await follower.next(_PATIENCE)
            behind = not news
            for one in news:
                if isinstance(one, worker_pb2.Delta):
                    if one.step > steps:
                        yield _chunk(one)
                    continue
                # Told of nothing in particular: more than news carry is in the journal.
                behind = behind or not one.entries
                for entry in one.entries:
                    behind = behind or entry.sequence > follower.told + 1
                    if entry.sequence == follower.told + 1:
                        follower.told, steps = entry.sequence, max(steps, entry.model_completed.step)
                        yield entry

    async def _missing(self, execution: Execution, told: int) -> AsyncIterator[JournalEntry]:
        while True:
            stored = await self._journals.read(execution.organization_id, execution.id, after=told, limit=_PAGE)
            for entry in stored:
                yield from_stored(entry)
            if len(stored) < _PAGE:
                return
            told = stored[-1].sequence

    async def _event(self, narrator: Narrator, entry: JournalEntry, execution: Execution) -> Event:
        ending = change_of([entry]).status
        if ending is not None and ending.ended:
            execution = await self._row(execution)
        return narrator.event(entry, execution)

    async def _row(self, execution: Execution) -> Execution:
        found = await self._executions.get(execution.organization_id, execution.id)
        if found is None:
            raise not_found("execution", execution.id)
        return found


def _folded(execution: Execution, news: Iterable[News]) -> Execution:
    for one in news:
        if isinstance(one, Committed):
            new = [entry for entry in one.entries if entry.sequence > execution.last_sequence]
            if new and new[0].sequence == execution.last_sequence + 1:
                moment = new[-1].recorded_at.ToDatetime(execution.created_at.tzinfo)
                execution = fold(execution, change_of(new), new[-1].sequence, moment)
    return execution


def _ends(event: Event) -> bool:
    return event.event in ("done", "error")


def _chunk(delta: worker_pb2.Delta) -> Event:
    chunk = execution_pb2.ExecutionEvent.Chunk(step=delta.step, text=delta.text, thinking=delta.thinking)
    return Event(event="chunk", execution_id=delta.execution_id, chunk=chunk)
