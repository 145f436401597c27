"""What puts things right: leases that ended, deadlines that passed, news and settlements that were left behind.

Owns the loops that look, on every replica, all the time. Each item is its own transaction and skips what another
replica is working on; one that fails does not hold up the others.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from retinue.execution.v1 import worker_pb2
from retinue_core.errors import RetinueError
from retinue_core.events import Events
from services.execution.clients import Reservations
from services.execution.config import Settings
from services.execution.convert import failed_entry, recovered_entry, to_new_entry
from services.execution.domain import TIMED_OUT, worker_lost
from services.execution.matching import Matcher
from services.execution.relay import Relay
from services.execution.store import Executions, Holding
from services.execution.store.holding import Adopted, GivingBack, Session, Stray
from services.execution.store.journal import new_outbox_id
from services.execution.store.rows import Changed

log = logging.getLogger(__name__)

_RENEWALS = 5  # renewals in the life of a lease
_RETURN = 4.0  # seconds that workers may take to find a replica that has just started
_GRACE = 2.0  # seconds a worker has to say itself that the time is over
_EVERYTHING = 10_000
_FORGET = 0.1
_HOUR = 3_600.0


class Recovery:
    """Looks for what was left behind and puts it right."""

    def __init__(
        self,
        settings: Settings,
        events: Events,
        matcher: Matcher,
        holding: Holding,
        executions: Executions,
        relay: Relay,
        reservations: Reservations,
    ) -> None:
        self._settings = settings
        self._events = events
        self._matcher = matcher
        self._holding = holding
        self._executions = executions
        self._relay = relay
        self._reservations = reservations
        self._seen: set[Stray] = set()
        self._looks_from = 0.0

    async def run(self) -> None:
        """Look, for ever; for ended leases only once workers had time to come back to a service that was away."""
        self._looks_from = asyncio.get_running_loop().time() + _RETURN
        sweep = self._settings.sweep
        async with asyncio.TaskGroup() as loops:
            loops.create_task(_every(self._settings.lease / _RENEWALS, self._leases))
            loops.create_task(_every(sweep, self._time_out))
            loops.create_task(_every(sweep, self._relay.sweep))
            loops.create_task(_every(sweep, self._reservations.sweep))
            loops.create_task(_every(_FORGET, self._reservations.forget))
            loops.create_task(_every(_FORGET, self._relay.forget))
            loops.create_task(_every(self._settings.lease, self._strays))
            loops.create_task(_every(_HOUR, self._executions.add_partition))

    async def left(self, session: Session) -> None:
        """Take back what a worker held whose stream has ended, unless its session went on elsewhere."""
        try:
            if await self._holding.end(session, lapsed=False):
                await self._take_back(session, "its stream ended")
        except RetinueError as error:
            log.info("session %s is left to its lease: %s", session.id, error)

    async def adopt(self, session: Session, held: Sequence[tuple[str, int]]) -> Adopted | None:
        """Let a worker go on with its session, and with what it still runs of it; None when the session is over."""
        outbox_id = new_outbox_id()
        giving = replace(self._giving(session, None, "its worker runs it no longer"), limit=_EVERYTHING)
        adopted = await self._holding.adopt(session, held, giving, self._settings.lease, outbox_id)
        if adopted is not None:
            await self._given_back(outbox_id, adopted.given_back, session, "its worker runs it no longer")
        return adopted

    async def _take_back(self, session: Session, reason: str) -> None:
        """Make everything claimable again that a session held which is over."""
        while await self._give_back(session, None, reason):
            pass

    async def released(self, session_id: str, worker: str, release: worker_pb2.Release) -> None:
        """A worker gives one execution back."""
        try:
            session = Session(session_id, worker, "")
            await self._give_back(session, release.execution_id, release.reason, release.fence)
        except RetinueError as error:
            log.info("execution %s is left to its lease: %s", release.execution_id, error)

    async def revoke(self, execution_id: str, reason: str) -> None:
        """Tell whichever worker holds an execution to stop."""
        if not self._matcher.revoke(execution_id, reason):
            await self._events.hint(f"revoked.{execution_id}", reason.encode())

    async def want_back(self, execution_id: str, reason: str) -> None:
        """Ask whichever worker holds an execution for it, at its next step."""
        if not self._matcher.want_back(execution_id, reason):
            await self._events.hint(f"wanted.{execution_id}", reason.encode())

    async def _leases(self) -> None:
        """Renew the leases of the workers that are alive, then take back what the others held.

        In this order: after the database was away, the leases of workers that lived through it are renewed before
        anybody could find them ended.
        """
        for attachment in self._matcher:
            attachment.silent_for = 0 if attachment.beating else attachment.silent_for + 1
        beating = [attachment for attachment in self._matcher if attachment.beating]
        if beating:
            kept = await self._holding.renew([(one.id, one.epoch) for one in beating], self._settings.lease)
            alive = worker_pb2.ServerFrame(alive=worker_pb2.Alive(lease_ms=int(self._settings.lease * 1000)))
            for attachment in beating:
                attachment.beating = False
                if attachment.id in kept:
                    attachment.send(alive)
                else:
                    log.warning("worker %s lost its session", attachment.worker)
                    attachment.close()
        for execution in self._matcher.stranded():
            session = Session(execution.session_id or "", "", execution.pool)
            await self._give_back(session, execution.id, "its worker left meanwhile", execution.fence)
        if asyncio.get_running_loop().time() < self._looks_from:
            return
        for session in await self._holding.lost():
            if not session.epoch or await self._holding.end(session, lapsed=True):
                self._matcher.drop(session.id)
                await self._take_back(session, "its lease ended")

    async def _strays(self) -> None:
        """Give back what a living session has in the database and its worker was never told of.

        That is what a database that went away between a claim and its assignment leaves behind. Whatever was seen once
        may be on its way; seen twice, it is lost.
        """
        attached = {attachment.id: attachment for attachment in self._matcher}
        if not attached:
            return
        held = [execution_id for attachment in attached.values() for execution_id in attachment.held]
        sessions = [(attachment.id, attachment.epoch) for attachment in attached.values()]
        found = set(await self._holding.strays(sessions, held))
        for stray in found & self._seen:
            if stray.execution_id not in attached[stray.session_id].held:
                session = Session(stray.session_id, attached[stray.session_id].worker, "")
                await self._give_back(session, stray.execution_id, "its assignment was lost", stray.fence)
        self._seen = found

    async def _give_back(
        self, session: Session, execution_id: str | None, reason: str, fence: int | None = None
    ) -> int:
        outbox_id = new_outbox_id()
        giving = replace(self._giving(session, execution_id, reason), fence=fence)
        changes = await self._holding.give_back(giving, outbox_id)
        await self._given_back(outbox_id, changes, session, reason)
        return len(changes)

    def _giving(self, session: Session, execution_id: str | None, reason: str) -> GivingBack:
        failure = worker_lost(self._settings.most_attempts)
        recovered, failed = recovered_entry(session.worker, reason), failed_entry(failure)
        return GivingBack(
            session.id,
            execution_id,
            self._settings.most_attempts,
            failure,
            to_new_entry(failed).body,
            to_new_entry(recovered).body,
        )

    async def _given_back(self, outbox_id: str, changes: Sequence[Changed], session: Session, reason: str) -> None:
        self._relay.changed(outbox_id, changes)
        if changes:
            log.info("took back %d executions of %s: %s", len(changes), session.worker or session.id, reason)
            self._reservations.look()
            self._matcher.wake()
            await self._events.hint(f"work.{changes[0].execution.pool}")

    async def _time_out(self) -> None:
        entry = failed_entry(TIMED_OUT)
        outbox_id = new_outbox_id()
        changes = await self._executions.time_out(TIMED_OUT, to_new_entry(entry).body, _GRACE, outbox_id)
        self._relay.changed(outbox_id, changes)
        for change in changes:
            self._reservations.look()
            await self.revoke(change.execution.id, "timed out")


async def _every(seconds: float, look: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await look()
        except RetinueError as error:
            log.info("%s waits: %s", look.__name__, error)
