"""News of executions, as they are committed, for whoever follows one.

Owns the fan-out inside a replica and between replicas. News may come twice, late or not at all: who follows compares
sequences and reads what is missing from the journal. Pieces of what a model is saying travel here too and are never
stored; they cross to another replica only while somebody there watches.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from retinue.execution.v1 import journal_pb2, worker_pb2
from retinue_core.events import Events, Handler
from services.execution.convert import JournalEntry

_MOST_UNREAD = 1_000
_WATCHED_FOR = 15.0
_SAY_WATCHING_EVERY = 5.0


@dataclass(frozen=True, slots=True)
class Committed:
    """Entries of one execution that are in the journal now."""

    organization_id: str
    execution_id: str
    entries: tuple[JournalEntry, ...]


News = Committed | worker_pb2.Delta


class Follower:
    """The news of one execution for one reader. A reader that is too slow loses news, and is told by a gap.

    `told` is the sequence that the reader has got to.
    """

    def __init__(self) -> None:
        self.told = 0
        self._unread: deque[News] = deque(maxlen=_MOST_UNREAD)
        self._some = asyncio.Event()

    def push(self, news: News) -> None:
        """Hand in news."""
        self._unread.append(news)
        self._some.set()

    def look(self) -> None:
        """Have the reader look at the journal: it has missed something."""
        self._some.set()

    async def next(self, seconds: float) -> list[News]:
        """Wait for news or a reason to look, at most for some seconds; returns all there is, which may be nothing."""
        if not self._unread:
            try:
                async with asyncio.timeout(seconds):
                    await self._some.wait()
            except TimeoutError:
                return []
        self._some.clear()
        news = list(self._unread)
        self._unread.clear()
        return news


class Feed:
    """Hands news to followers, here and on other replicas."""

    def __init__(self, events: Events, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._events = events
        self._monotonic = monotonic
        self._followers: dict[str, set[Follower]] = {}
        self._watched_elsewhere: dict[str, float] = {}

    async def open(self) -> None:
        """Listen to who watches on other replicas."""
        await self._events.listen("watching.*", self._note_watcher)

    def publish(self, news: Committed) -> None:
        """Hand news to the followers on this replica; other replicas get it from the relay."""
        for follower in self._followers.get(news.execution_id, ()):
            follower.push(news)

    def followed(self) -> dict[str, int]:
        """The executions that somebody follows here, and the sequence that the last of them has got to."""
        return {
            execution_id: min(follower.told for follower in followers)
            for execution_id, followers in self._followers.items()
        }

    def look(self, execution_id: str) -> None:
        """Have those who follow an execution look at its journal."""
        for follower in self._followers.get(execution_id, ()):
            follower.look()

    async def delta(self, delta: worker_pb2.Delta) -> None:
        """Hand on a piece of what a model is saying."""
        for follower in self._followers.get(delta.execution_id, ()):
            follower.push(delta)
        until = self._watched_elsewhere.get(delta.execution_id)
        if until is None:
            return
        if until < self._monotonic():
            del self._watched_elsewhere[delta.execution_id]
            return
        await self._events.hint(f"deltas.{delta.execution_id}", delta.SerializeToString())

    @asynccontextmanager
    async def follow(self, execution_id: str) -> AsyncIterator[Follower]:
        """Follow an execution's news on this replica."""
        follower = Follower()
        self._followers.setdefault(execution_id, set()).add(follower)
        try:
            yield follower
        finally:
            followers = self._followers[execution_id]
            followers.discard(follower)
            if not followers:
                del self._followers[execution_id]

    @asynccontextmanager
    async def follow_everywhere(self, organization_id: str, execution_id: str) -> AsyncIterator[Follower]:
        """Follow an execution's news wherever it runs."""
        async with self.follow(execution_id) as follower:
            ends = []
            if self._events.connected:
                subject = f"executions.{organization_id}.{execution_id}.>"
                ends.append(await self._events.listen(subject, _pushing_entries(follower, organization_id)))
                ends.append(await self._events.listen(f"deltas.{execution_id}", _pushing_deltas(follower)))
            saying = asyncio.create_task(self._say_watching(execution_id))
            try:
                yield follower
            finally:
                saying.cancel()
                for end in ends:
                    await end()

    async def _say_watching(self, execution_id: str) -> None:
        while True:
            await self._events.hint(f"watching.{execution_id}")
            await asyncio.sleep(_SAY_WATCHING_EVERY)

    async def _note_watcher(self, subject: str, _: bytes) -> None:
        execution_id = subject.rpartition(".")[2]
        # A follower of this replica hears itself; only what nobody follows here is watched elsewhere.
        if execution_id not in self._followers:
            self._watched_elsewhere[execution_id] = self._monotonic() + _WATCHED_FOR
            if len(self._watched_elsewhere) > _MOST_UNREAD:
                now = self._monotonic()
                self._watched_elsewhere = {key: end for key, end in self._watched_elsewhere.items() if end > now}


def _pushing_entries(follower: Follower, organization_id: str) -> Handler:
    async def push(_: str, data: bytes) -> None:
        try:
            batch = journal_pb2.JournalBatch.FromString(data)
        except DecodeError:
            return
        follower.push(Committed(organization_id, batch.execution_id, tuple(batch.entries)))

    return push


def _pushing_deltas(follower: Follower) -> Handler:
    async def push(_: str, data: bytes) -> None:
        follower.push(worker_pb2.Delta.FromString(data))

    return push
