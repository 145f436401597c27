"""Stopping executions and letting them go on: each is one statement that locks one row, changes it and journals it.

A statement that finds the execution in another state changes nothing and returns nothing.
"""

from __future__ import annotations

from retinue_core.db import Database
from services.execution.domain import Failure, Kind
from services.execution.store.rows import BOOKED, CHANGED, JOURNALED, UNSETTLED, Changed, to_changed

_CANCEL = (
    f"""
with b as (
    select id, case when status = 'RUNNING' then fence end as held_fence from executions
    where id = %(id)s and status not in ('COMPLETED', 'FAILED', 'CANCELLED') for update)
, u as (
    update executions e set
        status = 'CANCELLED', fence = e.fence + 1, last_sequence = e.last_sequence + 1, completed_at = now(),
        waiting_for = '', pause_body = null, error_code = %(error_code)s, error_message = %(error_message)s,
        error_retryable = false, error_details = '{{}}'
    from b where e.id = b.id
    returning e.*, b.held_fence, '{Kind.CANCELLED}' as kind, %(body)s::bytea as body)
"""
    + JOURNALED
    + UNSETTLED
    + f"select {CHANGED} from u"
)

_PAUSE = (
    f"""
with b as (select id from executions where id = %(id)s and status in ('PENDING', 'WAITING') for update)
, u as (
    update executions e set
        status = 'PAUSED', fence = e.fence + 1, last_sequence = e.last_sequence + 1, waiting_for = '',
        paused_at = now()
    from b where e.id = b.id
    returning e.*, '{Kind.PAUSED}' as kind, %(body)s::bytea as body)
"""
    + JOURNALED
    + f"select {CHANGED} from u"
)

_WISH_PAUSE = """
update executions set pause_body = coalesce(pause_body, %(body)s), waiting_for = 'its next step, to be paused'
where id = %(id)s and status = 'RUNNING'
"""

# Time that an execution was paused is given back to it.
_RESUME = (
    f"""
with b as (select id from executions where id = %(id)s and status = 'PAUSED' for update)
, u as (
    update executions e set
        status = 'PENDING', last_sequence = e.last_sequence + 1, available_at = now(),
        deadline_at = e.deadline_at + (now() - coalesce(e.paused_at, now())), paused_at = null
    from b where e.id = b.id
    returning e.*, '{Kind.RESUMED}' as kind, %(body)s::bytea as body)
"""
    + JOURNALED
    + f"select {CHANGED} from u"
)

_FORGET_PAUSE = """
update executions set pause_body = null, waiting_for = ''
where id = %(id)s and status = 'RUNNING' and pause_body is not null
"""

_RETRY = (
    f"""
with b as (select id from executions where id = %(id)s and status = 'FAILED' for update)
, u as (
    update executions e set
        status = 'PENDING', fence = e.fence + 1, last_sequence = e.last_sequence + 1, available_at = now(),
        deadline_at = now() + coalesce(e.seconds * interval '1 second', e.deadline_at - e.created_at),
        completed_at = null, pause_body = null, booked = {BOOKED},
        error_code = null, error_message = null, error_retryable = null, error_details = null
    from b where e.id = b.id
    returning e.*, '{Kind.RETRIED}' as kind, %(body)s::bytea as body)
"""
    + JOURNALED
    + f"select {CHANGED} from u"
)


class Controls:
    """The statements behind cancel, pause, resume and retry."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def cancel(
        self, organization_id: str, execution_id: str, error: Failure, body: bytes, outbox_id: str
    ) -> Changed | None:
        """End an execution that has not ended."""
        more = {"error_code": error.code, "error_message": error.message}
        return await self._change(_CANCEL, organization_id, execution_id, body, outbox_id, more)

    async def pause(self, organization_id: str, execution_id: str, body: bytes, outbox_id: str) -> Changed | None:
        """Pause an execution that no worker holds."""
        return await self._change(_PAUSE, organization_id, execution_id, body, outbox_id)

    async def wish_pause(self, organization_id: str, execution_id: str, body: bytes) -> None:
        """Have an execution that a worker holds paused when the worker hands it back."""
        await self._database.statement(organization_id, _WISH_PAUSE, {"id": execution_id, "body": body})

    async def resume(self, organization_id: str, execution_id: str, body: bytes, outbox_id: str) -> Changed | None:
        """Let a paused execution go on."""
        return await self._change(_RESUME, organization_id, execution_id, body, outbox_id)

    async def forget_pause(self, organization_id: str, execution_id: str) -> None:
        """Take back the wish to pause an execution that a worker still holds."""
        await self._database.statement(organization_id, _FORGET_PAUSE, {"id": execution_id})

    async def retry(self, organization_id: str, execution_id: str, body: bytes, outbox_id: str) -> Changed | None:
        """Let a failed execution go on."""
        return await self._change(_RETRY, organization_id, execution_id, body, outbox_id)

    async def _change(
        self,
        statement: str,
        organization_id: str,
        execution_id: str,
        body: bytes,
        outbox_id: str,
        more: dict[str, str] | None = None,
    ) -> Changed | None:
        parameters = {"id": execution_id, "body": body, "outbox_id": outbox_id} | (more or {})
        rows = await self._database.statement(organization_id, statement, parameters)
        return to_changed(rows[0]) if rows else None
