"""What this worker holds: executions under way, whatever becomes of the streams that they are spoken of on.

Owns who runs, who is told to stop, what goes on when a new stream is welcomed, and that nothing is held for long
without one: a worker that nobody answers lets everything go.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from retinue.execution.v1 import worker_pb2
from services.worker.convert import to_assignment
from services.worker.core.entries import ExecutionFailed, Failure
from services.worker.lease import Lease
from services.worker.link import Link
from services.worker.outbox import Outbox
from services.worker.runner import Parts, run

log = logging.getLogger(__name__)

ALONE = 10.0
"""Seconds beyond a lease for which executions are held without a stream."""

_INTERNAL = Failure("INTERNAL", "The worker has a fault and could not go on.")


@dataclass(slots=True)
class Held:
    """An execution that this worker holds."""

    link: Link
    task: asyncio.Task[None]


class Holding:
    """Everything that is held. `leaving` says whether the worker has been told to leave."""

    def __init__(self, parts: Parts, lease: Lease, leaving: Callable[[], bool]) -> None:
        self._parts = parts
        self._lease = lease
        self._leaving = leaving
        self._held: dict[str, Held] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._alone: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing is held."""
        return not self._held

    async def until_idle(self) -> None:
        """Wait until nothing is held."""
        await self._idle.wait()

    def named(self) -> list[worker_pb2.HeldExecution]:
        """What is held, as a worker says it when it attaches again."""
        links = (held.link for held in self._held.values())
        return [worker_pb2.HeldExecution(execution_id=link.execution_id, fence=link.fence) for link in links]

    def assigned(self, sent: worker_pb2.Assignment, outbox: Outbox) -> None:
        """An execution is given to this worker."""
        before = self._held.get(sent.execution_id)
        if before is not None:
            self._let_go(before)
        newest = sent.journal[-1].sequence if sent.journal else 0
        link = Link(sent.execution_id, sent.fence, newest, outbox, self._lease)
        if self._leaving():
            link.release("draining")
            return
        task = asyncio.create_task(self._run(sent, link))
        self._held[sent.execution_id] = Held(link, task)
        self._idle.clear()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: self._forget(link))

    def acknowledged(self, ack: worker_pb2.Ack) -> None:
        """Entries of an execution are committed."""
        held = self._find(ack.execution_id, ack.fence)
        if held is not None:
            held.link.acknowledge(ack.sequence)
            if held.task.done():
                self._forget(held.link)

    def revoked(self, revoked: worker_pb2.Revoked) -> None:
        """An execution is no longer this worker's."""
        held = self._find(revoked.execution_id, revoked.fence)
        if held is not None:
            log.info("execution %s is no longer held: %s", revoked.execution_id, revoked.reason)
            self._let_go(held)

    def wanted_back(self, wanted: worker_pb2.HandBack) -> None:
        """An execution is to be handed back at its next step."""
        held = self._find(wanted.execution_id, wanted.fence)
        if held is not None:
            held.link.wanted = wanted.reason

    def granted(self, grant: worker_pb2.BudgetGrant) -> None:
        """A request for budget is answered."""
        held = self._held.get(grant.execution_id)
        if held is not None:
            held.link.granted(grant)

    def hold(self, seconds: float) -> None:
        """The stream is gone: everything goes on, for `seconds` beyond which nobody can be believed to wait for it."""
        self._lease.end()
        for held in self._held.values():
            held.link.hold()
        self._stop_timer()
        self._alone = asyncio.get_running_loop().call_later(seconds, self._alone_for_too_long)

    def resume(self, kept: Iterable[worker_pb2.KeptExecution], outbox: Outbox) -> None:
        """A new stream is welcomed: go on with what is kept, and let the rest go."""
        self._stop_timer()
        sequences = {(one.execution_id, one.fence): one.sequence for one in kept}
        for held in list(self._held.values()):
            sequence = sequences.pop((held.link.execution_id, held.link.fence), None)
            if sequence is None:
                self._let_go(held)
                continue
            held.link.resume(outbox, sequence)
            if held.task.done():
                self._forget(held.link)
        for execution_id, fence in sequences:
            outbox.release(execution_id, fence, "let go meanwhile")

    def hand_over(self) -> None:
        """Give everything back now, wherever it stands."""
        for held in list(self._held.values()):
            held.task.cancel()
            held.link.release("draining")
            self._forget(held.link)

    async def let_go(self) -> None:
        """Stop everything, and wait until it has stopped."""
        self._stop_timer()
        for held in list(self._held.values()):
            self._let_go(held)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, sent: worker_pb2.Assignment, link: Link) -> None:
        try:
            await run(self._parts, to_assignment(sent), link, lambda: self._leaving() or bool(link.wanted))
        except Exception:
            log.exception("execution %s met a fault of the worker", link.execution_id)
            link.append(ExecutionFailed(_INTERNAL))

    def _find(self, execution_id: str, fence: int) -> Held | None:
        held = self._held.get(execution_id)
        return held if held is not None and held.link.fence == fence else None

    def _let_go(self, held: Held) -> None:
        held.link.revoke()
        held.task.cancel()
        self._forget(held.link)

    def _forget(self, link: Link) -> None:
        """Forget an execution that has ended here, once all it wrote is committed or no longer matters."""
        held = self._held.get(link.execution_id)
        if held is not None and held.link is link and (link.cut or (held.task.done() and link.settled)):
            del self._held[link.execution_id]
            if not self._held:
                self._idle.set()

    def _alone_for_too_long(self) -> None:
        if self._held:
            log.warning("execution was away for too long: %d executions are let go", len(self._held))
        for held in list(self._held.values()):
            self._let_go(held)

    def _stop_timer(self) -> None:
        if self._alone is not None:
            self._alone.cancel()
            self._alone = None
