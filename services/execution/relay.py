"""What happens after a commit: followers are told, and the outbox is emptied into NATS.

Owns the order "commit, then tell". A commit that was not told, because NATS was down or the process died, is in the
outbox and is told later; whoever listens recognises repeats by the message id.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Sequence

from retinue.execution.v1 import journal_pb2
from retinue_core.errors import RetinueError
from retinue_core.events import Events
from services.execution.convert import from_stored, kind_of
from services.execution.feed import Committed, Feed
from services.execution.store import Journals, Outbox
from services.execution.store.journal import StoredEntry
from services.execution.store.rows import Changed

log = logging.getLogger(__name__)

_MOST_UNTOLD = 20_000
_AT_ONCE = 200
_LEFT_BEHIND = 2.0
_LINGER = 0.004
_TOO_LARGE = "EVENT_TOO_LARGE"


class Relay:
    """Tells what was committed: here at once, elsewhere through NATS."""

    def __init__(self, events: Events, feed: Feed, outbox: Outbox, journals: Journals) -> None:
        self._events = events
        self._feed = feed
        self._outbox = outbox
        self._journals = journals
        self._untold: deque[tuple[str, Sequence[Committed]]] = deque()
        self._some = asyncio.Event()
        self._told: list[str] = []

    def committed(self, outbox_id: str, commits: Sequence[Committed]) -> None:
        """Tell what one transaction committed. What does not fit into memory is told from the outbox later."""
        for commit in commits:
            self._feed.publish(commit)
        if len(self._untold) < _MOST_UNTOLD:
            self._untold.append((outbox_id, commits))
            self._some.set()

    def changed(self, outbox_id: str, changes: Iterable[Changed]) -> None:
        """Tell of executions that got one entry each from a statement."""
        commits = []
        for change in changes:
            execution = change.execution
            entry = from_stored(StoredEntry(execution.last_sequence, change.recorded_at, change.body))
            commits.append(Committed(execution.organization_id, execution.id, (entry,)))
        if commits:
            self.committed(outbox_id, commits)

    async def run(self) -> None:
        """Publish what is committed, for ever."""
        while True:
            if not self._untold:
                self._some.clear()
                await self._some.wait()
                # Followers of this replica know already; the others may wait for a larger batch.
                await asyncio.sleep(_LINGER)
            batch = [self._untold.popleft() for _ in range(min(_AT_ONCE, len(self._untold)))]
            if not self._events.connected:
                # It stays in the outbox, from which it is told when NATS is back.
                continue
            try:
                await self._tell(batch)
            except RetinueError as error:
                log.info("events stay in the outbox: %s", error)

    async def sweep(self) -> None:
        """Tell commits that were left behind."""
        if not self._events.connected:
            return
        for untold in await self._outbox.untold(_LEFT_BEHIND):
            found = await self._journals.read_spans(untold.spans)
            commits = [
                Committed(organization_id, execution_id, tuple(from_stored(entry) for entry in entries))
                for (organization_id, execution_id), entries in found.items()
            ]
            await self._tell([(untold.id, commits)])

    async def _tell(self, batch: Sequence[tuple[str, Sequence[Committed]]]) -> None:
        await asyncio.gather(*(self._publish(commit) for _, commits in batch for commit in commits))
        self._told += [outbox_id for outbox_id, _ in batch]

    async def forget(self) -> None:
        """Take what was told out of the outbox, much at a time."""
        told, self._told = self._told, []
        if told:
            await self._outbox.told(told)

    async def _publish(self, commit: Committed) -> None:
        last = commit.entries[-1]
        subject = f"executions.{commit.organization_id}.{commit.execution_id}.{kind_of(last).value}"
        batch = journal_pb2.JournalBatch(execution_id=commit.execution_id, entries=commit.entries)
        message_id = f"{commit.execution_id}:{commit.entries[0].sequence}-{last.sequence}"
        try:
            await self._events.publish(subject, batch.SerializeToString(), message_id=message_id)
        except RetinueError as error:
            if error.code != _TOO_LARGE:
                raise
            # Followers who are told of nothing in particular look into the journal.
            bare = journal_pb2.JournalBatch(execution_id=commit.execution_id)
            await self._events.publish(subject, bare.SerializeToString(), message_id=message_id)
