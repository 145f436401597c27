"""Stopping executions and letting them go on.

Owns cancel, pause, resume and retry: which of them does what in which state, and who is told afterwards. All may be
said twice, and against each other: each is one statement on one locked row, and the state machine decides.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from retinue_core.errors import RetinueError, not_found, precondition
from retinue_core.events import Events
from retinue_core.identity import Identity
from services.execution.clients import Reservations
from services.execution.convert import (
    JournalEntry,
    cancelled_entry,
    paused_entry,
    resumed_entry,
    retried_entry,
    to_new_entry,
)
from services.execution.domain import Execution, Failure, Status
from services.execution.matching import Matcher
from services.execution.recovery import Recovery
from services.execution.relay import Relay
from services.execution.store import Controls, Executions
from services.execution.store.journal import new_outbox_id
from services.execution.store.rows import Changed

_TRIES = 3  # an execution may change hands between two statements


class Control:
    """Carries out what people want done with an execution that they may see."""

    def __init__(
        self,
        controls: Controls,
        executions: Executions,
        relay: Relay,
        reservations: Reservations,
        recovery: Recovery,
        matcher: Matcher,
        events: Events,
    ) -> None:
        self._controls = controls
        self._executions = executions
        self._relay = relay
        self._reservations = reservations
        self._recovery = recovery
        self._matcher = matcher
        self._events = events

    async def cancel(self, identity: Identity, execution_id: str, reason: str) -> Execution:
        """End an execution now. Raises EXECUTION_ENDED when it ended otherwise."""
        body = _body(cancelled_entry(identity.subject, reason))
        error = Failure("EXECUTION_CANCELLED", reason or "The execution was cancelled.")
        outbox_id = new_outbox_id()
        change = await self._controls.cancel(identity.organization_id, execution_id, error, body, outbox_id)
        if change is None:
            return _only(await self._row(identity, execution_id), Status.CANCELLED)
        self._told(outbox_id, change)
        self._reservations.look()
        await self._recovery.revoke(execution_id, "cancelled")
        return change.execution

    async def pause(self, identity: Identity, execution_id: str, reason: str) -> Execution:
        """Pause an execution now, or have its worker hand it back at its next step."""
        body = _body(paused_entry(identity.subject, reason))
        for _ in range(_TRIES):
            change = await self._changed(
                lambda outbox_id: self._controls.pause(identity.organization_id, execution_id, body, outbox_id)
            )
            if change is not None:
                return change.execution
            await self._controls.wish_pause(identity.organization_id, execution_id, body)
            await self._recovery.want_back(execution_id, "pause")
            row = await self._row(identity, execution_id)
            # One that changed hands between the two statements is found by them in the next round.
            if row.status not in (Status.PENDING, Status.WAITING):
                break
        return _only(row, Status.PAUSED, Status.RUNNING)

    async def resume(self, identity: Identity, execution_id: str, reason: str) -> Execution:
        """Let a paused execution go on; one that was to be paused just goes on."""
        body = _body(resumed_entry(identity.subject, reason))
        change = await self._changed(
            lambda outbox_id: self._controls.resume(identity.organization_id, execution_id, body, outbox_id)
        )
        if change is None:
            await self._controls.forget_pause(identity.organization_id, execution_id)
            return _only(await self._row(identity, execution_id), Status.PENDING, Status.RUNNING, Status.WAITING)
        await self._queued(change.execution)
        return change.execution

    async def retry(self, identity: Identity, execution_id: str, reason: str) -> Execution:
        """Let a failed execution go on from the step that failed."""
        body = _body(retried_entry(identity.subject, reason))
        change = await self._changed(
            lambda outbox_id: self._controls.retry(identity.organization_id, execution_id, body, outbox_id)
        )
        if change is None:
            row = await self._row(identity, execution_id)
            if row.status.ended:
                raise _ended(row, "Only a failed execution can be tried again.")
            return row
        await self._queued(change.execution)
        return change.execution

    async def _changed(self, statement: Callable[[str], Awaitable[Changed | None]]) -> Changed | None:
        outbox_id = new_outbox_id()
        change = await statement(outbox_id)
        if change is not None:
            self._told(outbox_id, change)
        return change

    def _told(self, outbox_id: str, change: Changed) -> None:
        self._relay.changed(outbox_id, [change])

    async def _queued(self, execution: Execution) -> None:
        self._matcher.wake()
        await self._events.hint(f"work.{execution.pool}")

    async def _row(self, identity: Identity, execution_id: str) -> Execution:
        found = await self._executions.get(identity.organization_id, execution_id)
        if found is None:
            raise not_found("execution", execution_id)
        return found


def _body(entry: JournalEntry) -> bytes:
    return to_new_entry(entry).body


def _only(row: Execution, *expected: Status) -> Execution:
    """The row when it is in a state that the wish may find or leave it in."""
    if row.status in expected:
        return row
    raise _ended(row, f"The execution is {row.status}.")


def _ended(row: Execution, message: str) -> RetinueError:
    return precondition(
        "EXECUTION_ENDED" if row.status.ended else "INVALID_TRANSITION",
        message,
        details={"executionId": row.id, "status": row.status.value},
        actions=("Read the execution to see where it stands.",),
    )
