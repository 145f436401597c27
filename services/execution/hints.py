"""What other replicas and services hint at: that there is work, that a worker must stop, that an agent changed.

Owns the subscriptions. A hint that is lost costs time: everything it hints at is also looked for.
"""

from __future__ import annotations

from retinue_core.events import Events
from services.execution.clients import Versions
from services.execution.feed import Feed
from services.execution.matching import Matcher

STREAM = "EXECUTIONS"
SUBJECTS = "executions.>"


class Hints:
    """Listens to hints."""

    def __init__(self, events: Events, feed: Feed, versions: Versions, matcher: Matcher) -> None:
        self._events = events
        self._feed = feed
        self._versions = versions
        self._matcher = matcher
        events.stream(STREAM, SUBJECTS)

    async def run(self) -> None:
        """Subscribe as soon as the event server answers; the client keeps the subscriptions from then on."""
        await self._events.ready(None)
        await self._feed.open()
        await self._versions.open()
        await self._events.listen("work.*", self._work)
        await self._events.listen("revoked.*", self._revoked)
        await self._events.listen("wanted.*", self._wanted)

    async def _work(self, *_: object) -> None:
        self._matcher.wake()

    async def _wanted(self, subject: str, reason: bytes) -> None:
        self._matcher.want_back(subject.rpartition(".")[2], reason.decode("utf-8", "replace"))

    async def _revoked(self, subject: str, reason: bytes) -> None:
        self._matcher.revoke(subject.rpartition(".")[2], reason.decode("utf-8", "replace"))
