"""Who holds what on this replica: attached workers, their free slots, and what was assigned to them.

Owns the choice of a worker for an execution. Nothing here is the truth: a lease and a fence in PostgreSQL decide what a
worker may write.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from retinue.execution.v1 import worker_pb2
from services.execution.domain import Execution

ServerFrame = worker_pb2.ServerFrame
_SILENCE = 2  # a worker that is well misses one renewal, or two when it is busy


@dataclass(slots=True, eq=False)
class Attachment:
    """A worker's stream. `id` is its session, which goes on over several streams; each has its own `epoch`.

    `held` are executions by id, `promised` slots that an assignment is on its way to, `silent_for` the renewals in a
    row that found no heartbeat.
    """

    id: str
    worker: str
    pool: str
    slots: int
    epoch: int = 1
    held: dict[str, Execution] = field(default_factory=dict)
    promised: int = 0
    beating: bool = True
    silent_for: int = 0
    draining: bool = False
    closed: bool = False
    _out: deque[ServerFrame] = field(default_factory=deque)
    _some: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def free(self) -> int:
        """Executions it can still take."""
        if self.draining or self.closed or self.silent_for > _SILENCE:
            return 0
        return self.slots - len(self.held) - self.promised

    def send(self, frame: ServerFrame) -> None:
        """Say something to the worker."""
        self._out.append(frame)
        self._some.set()

    def close(self) -> None:
        """End the stream once everything was said."""
        self.closed = True
        self._some.set()

    async def sent(self) -> list[ServerFrame]:
        """Everything to say by now; waits for something. An empty list means that the stream ends."""
        while not self._out and not self.closed:
            self._some.clear()
            await self._some.wait()
        frames = list(self._out)
        self._out.clear()
        return frames


class Matcher:
    """The attached workers of this replica."""

    def __init__(self) -> None:
        self._attached: dict[str, Attachment] = {}
        self._holder: dict[str, Attachment] = {}
        self._work = asyncio.Event()
        self._kept = asyncio.Event()
        self._stranded: list[Execution] = []
        self.backlog = True

    def __iter__(self) -> Iterator[Attachment]:
        return iter(tuple(self._attached.values()))

    def add(self, attachment: Attachment) -> None:
        """A worker has attached; a stream that its session had here before is over."""
        self.drop(attachment.id)
        self._attached[attachment.id] = attachment
        self._holder.update(dict.fromkeys(attachment.held, attachment))
        self.wake()

    def remove(self, attachment: Attachment) -> None:
        """A worker's stream has ended."""
        if self._attached.get(attachment.id) is attachment:
            del self._attached[attachment.id]
        for execution_id in attachment.held:
            self._leave(attachment, execution_id)

    def drop(self, session_id: str) -> None:
        """End the stream of a session that is over, if it is here: a worker that hangs must get nothing more."""
        attachment = self._attached.get(session_id)
        if attachment is not None:
            self.remove(attachment)
            attachment.close()

    def take(self, pool: str) -> Attachment | None:
        """Promise a slot of the least loaded worker of a pool; None when no slot is free.

        The promise is kept by `assign` or given up by `give_up`.
        """
        best = max((one for one in self._attached.values() if one.pool == pool), key=_room, default=None)
        if best is None or best.free <= 0:
            return None
        best.promised += 1
        return best

    def give_up(self, attachment: Attachment) -> None:
        """Give a promised slot up."""
        attachment.promised -= 1
        self._kept.set()

    async def promises_kept(self) -> None:
        """Wait until nothing is on its way to a worker of this replica."""
        while any(attachment.promised for attachment in self._attached.values()):
            self._kept.clear()
            await self._kept.wait()

    def stranded(self) -> list[Execution]:
        """What was given to workers whose stream had ended meanwhile, since this was asked last."""
        found, self._stranded = self._stranded, []
        return found

    def assign(self, attachment: Attachment, execution: Execution, assignment: worker_pb2.Assignment) -> None:
        """Give an execution that is leased to a worker to it, on its promised slot."""
        self.give_up(attachment)
        if self._attached.get(attachment.id) is not attachment:
            self._stranded.append(execution)
            return
        attachment.held[execution.id] = execution
        self._holder[execution.id] = attachment
        attachment.send(ServerFrame(assignment=assignment))

    def let_go(self, attachment: Attachment, execution_id: str) -> None:
        """A worker holds an execution no longer."""
        if attachment.held.pop(execution_id, None) is None:
            return
        self._leave(attachment, execution_id)
        if self.backlog:
            self._work.set()

    def revoke(self, execution_id: str, reason: str) -> bool:
        """Tell the worker that holds an execution to stop; False when none of this replica does."""
        attachment = self._holder.get(execution_id)
        if attachment is None:
            return False
        execution = attachment.held[execution_id]
        revoked = worker_pb2.Revoked(execution_id=execution_id, fence=execution.fence, reason=reason)
        attachment.send(ServerFrame(revoked=revoked))
        self.let_go(attachment, execution_id)
        return True

    def want_back(self, execution_id: str, reason: str) -> bool:
        """Ask the worker that holds an execution for it, at its next step; False when none of this replica does."""
        attachment = self._holder.get(execution_id)
        if attachment is None:
            return False
        execution = attachment.held[execution_id]
        wanted = worker_pb2.HandBack(execution_id=execution_id, fence=execution.fence, reason=reason)
        attachment.send(ServerFrame(hand_back=wanted))
        return True

    def free(self, pool: str) -> int:
        """Free slots of a pool on this replica."""
        return sum(max(0, one.free) for one in self._attached.values() if one.pool == pool)

    def pools(self) -> set[str]:
        """Pools that have a worker here."""
        return {one.pool for one in self._attached.values()}

    def wake(self) -> None:
        """Say that there may be work for a free slot."""
        self.backlog = True
        self._work.set()

    async def work(self, seconds: float) -> None:
        """Wait until there may be work, at most for some seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._work.wait()
        except TimeoutError:
            pass
        self._work.clear()

    def _leave(self, attachment: Attachment, execution_id: str) -> None:
        if self._holder.get(execution_id) is attachment:
            del self._holder[execution_id]


def _room(attachment: Attachment) -> int:
    return attachment.free
