"""Accepting, reading and ending executions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from psycopg import sql

from retinue_core.db import Database
from retinue_core.db.schema import EVERY_ORGANIZATION
from services.execution.domain import Execution, Failure, Kind
from services.execution.store.rows import CHANGED, COLUMNS, JOURNALED, UNSETTLED, Changed, to_changed, to_execution

_CREATE = """
with i as (
    select * from unnest(
        %(ids)s::uuid[], %(organization_ids)s::uuid[], %(agent_ids)s::uuid[], %(agent_names)s::text[],
        %(agent_versions)s::text[], %(spec_digests)s::bytea[], %(statuses)s::text[], %(priorities)s::smallint[],
        %(pools)s::text[], %(attempts)s::integer[], %(fences)s::bigint[], %(session_ids)s::uuid[],
        %(last_sequences)s::integer[], %(inputs)s::text[], %(conversation_ids)s::text[], %(project_ids)s::text[],
        %(traceparents)s::text[], %(metadatas)s::text[], %(creators)s::text[], %(waiting_fors)s::text[],
        %(idempotency_keys)s::text[], %(fingerprints)s::bytea[], %(seconds)s::double precision[],
        %(created_bodies)s::bytea[], %(started_bodies)s::bytea[])
    as i(id, organization_id, agent_id, agent_name, agent_version, spec_digest, status, priority, pool, attempt,
        fence, session_id, last_sequence, input_json, conversation_id, project_id, traceparent, metadata_json,
        created_by, waiting_for, idempotency_key, fingerprint, seconds, created_body, started_body))
, e as (
    insert into executions (id, organization_id, agent_id, agent_name, agent_version, spec_digest, status, priority,
        pool, attempt, fence, session_id, last_sequence, input_json, conversation_id, project_id, traceparent,
        metadata_json, created_by, waiting_for, idempotency_key, fingerprint, seconds, deadline_at, started_at)
    select id, organization_id, agent_id, agent_name, agent_version, spec_digest, status, priority, pool, attempt,
        fence, session_id, last_sequence, input_json, conversation_id, project_id, traceparent, metadata_json,
        created_by, waiting_for, idempotency_key, fingerprint, seconds,
        now() + seconds * interval '1 second',
        case when attempt > 0 then now() end
    from i on conflict (id) do nothing)
, j as (
    insert into journal (execution_id, sequence, organization_id, kind, body)
    select id, 1, organization_id, 'execution.created', created_body from i
    union all
    select id, 2, organization_id, 'execution.started', started_body from i where started_body is not null
    on conflict (execution_id, sequence) do nothing)
, told as (
    insert into outbox (id, execution_ids, first_sequences, last_sequences)
    select %(outbox_id)s, array_agg(id), array_agg(1), array_agg(last_sequence) from i
    on conflict (id) do nothing)
select now() as created_at
"""

_KEEP_SPEC = """
insert into specs (organization_id, digest, spec) values (%(organization_id)s, %(digest)s, %(spec)s)
on conflict (organization_id, digest) do nothing
"""

_TIME_OUT = (
    f"""
with b as (
    select id, case when status = 'RUNNING' then fence end as held_fence from executions
    where status in ('PENDING', 'RUNNING')
        and deadline_at < now() - case when status = 'RUNNING' then %(grace)s else 0 end * interval '1 second'
    order by deadline_at limit 100 for update skip locked)
, u as (
    update executions e set
        status = 'FAILED', fence = e.fence + 1, last_sequence = e.last_sequence + 1, completed_at = now(),
        waiting_for = '',
        error_code = %(error_code)s, error_message = %(error_message)s, error_retryable = true,
        error_details = '{{}}'
    from b where e.id = b.id
    returning e.*, b.held_fence, '{Kind.FAILED}' as kind, %(body)s::bytea as body)
"""
    + JOURNALED
    + UNSETTLED
    + f"select {CHANGED} from u"
)

_GET = f"select {COLUMNS} from executions where id = %(id)s"
_AHEAD = """
select e.id from executions e join unnest(%(ids)s::uuid[], %(sequences)s::integer[]) as i(id, known) on i.id = e.id
where e.last_sequence > i.known
"""
_BY_KEY = f"""
select {COLUMNS}, fingerprint from executions
where organization_id = %(organization_id)s and created_by = %(created_by)s and idempotency_key = %(key)s
    and idempotency_key <> '' and created_at > now() - interval '24 hours'
order by id desc limit 1
"""
_LIST = sql.SQL("select {columns} from executions where {conditions} order by {order} limit {limit}")


@dataclass(frozen=True, slots=True)
class NewExecution:
    """An execution to accept, with the entries its journal begins with."""

    execution: Execution
    seconds: float
    created_body: bytes
    started_body: bytes | None


class Executions:
    """The rows of all executions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, items: Sequence[NewExecution], outbox_id: str) -> datetime:
        """Accept several executions in one transaction and one round trip; returns when.

        Calling it again with the same items, because the answer was lost, changes nothing.
        """
        rows = await self._database.statement(EVERY_ORGANIZATION, _CREATE, _creating(items, outbox_id))
        created_at: datetime = rows[0]["created_at"]
        return created_at

    async def keep_spec(self, organization_id: str, digest: bytes, spec: bytes) -> None:
        """Keep what executions run on, once for each content."""
        parameters = {"organization_id": organization_id, "digest": digest, "spec": spec}
        await self._database.statement(organization_id, _KEEP_SPEC, parameters)

    async def specs(self, digests: Sequence[tuple[str, bytes]]) -> dict[tuple[str, bytes], bytes]:
        """Read kept content by organisation and digest."""
        rows = await self._database.statement(
            EVERY_ORGANIZATION,
            "select organization_id, digest, spec from specs where (organization_id, digest) in"
            " (select * from unnest(%(organizations)s::uuid[], %(digests)s::bytea[]))",
            {"organizations": [key[0] for key in digests], "digests": [key[1] for key in digests]},
        )
        return {(str(row["organization_id"]), bytes(row["digest"])): bytes(row["spec"]) for row in rows}

    async def get(self, scope: str, execution_id: str) -> Execution | None:
        """Read one execution; `scope` is an organisation or EVERY_ORGANIZATION."""
        rows = await self._database.statement(scope, _GET, {"id": execution_id})
        return to_execution(rows[0]) if rows else None

    async def ahead_of(self, known: Mapping[str, int]) -> list[str]:
        """The executions whose journals have got further than the sequences that are known of them."""
        if not known:
            return []
        parameters = {"ids": list(known), "sequences": list(known.values())}
        rows = await self._database.statement(EVERY_ORGANIZATION, _AHEAD, parameters)
        return [str(row["id"]) for row in rows]

    async def by_key(self, organization_id: str, created_by: str, key: str) -> Execution | None:
        """The execution that a user started under an idempotency key within a day."""
        parameters = {"organization_id": organization_id, "created_by": created_by, "key": key}
        rows = await self._database.statement(organization_id, _BY_KEY, parameters)
        return replace(to_execution(rows[0]), fingerprint=bytes(rows[0]["fingerprint"] or b"")) if rows else None

    async def page(
        self, organization_id: str, conditions: Sequence[tuple[str, Any]], *, before: str, descending: bool, limit: int
    ) -> list[Execution]:
        """List executions of an organisation by id, that is by age, that meet `column = value` conditions."""
        parts: list[sql.Composable] = [sql.SQL("organization_id = {}").format(sql.Literal(organization_id))]
        parts += [sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(value)) for name, value in conditions]
        if before:
            operator = sql.SQL("<" if descending else ">")
            parts.append(sql.SQL("id {} {}::uuid").format(operator, sql.Literal(before)))
        query = _LIST.format(
            columns=sql.SQL(COLUMNS),
            conditions=sql.SQL(" and ").join(parts),
            order=sql.SQL("id desc" if descending else "id"),
            limit=sql.Literal(limit),
        )
        async with self._database.tenant(organization_id) as connection:
            cursor = await connection.execute(query)
            return [to_execution(row) for row in await cursor.fetchall()]

    async def time_out(self, error: Failure, body: bytes, grace: float, outbox_id: str) -> list[Changed]:
        """Fail up to 100 executions whose deadline is over; a worker has `grace` seconds to say so itself."""
        parameters = {
            "error_code": error.code,
            "error_message": error.message,
            "body": body,
            "grace": grace,
            "outbox_id": outbox_id,
        }
        rows = await self._database.statement(EVERY_ORGANIZATION, _TIME_OUT, parameters)
        return [to_changed(row) for row in rows]

    async def add_partition(self) -> None:
        """Make sure that the journal's partitions of this month and the next exist."""
        await self._database.statement(
            EVERY_ORGANIZATION,
            "select add_journal_partition((now() at time zone 'UTC' + months * interval '1 month')::date)"
            " from generate_series(0, 1) months",
        )


def _creating(items: Sequence[NewExecution], outbox_id: str) -> dict[str, Any]:
    executions = [item.execution for item in items]
    return {
        "outbox_id": outbox_id,
        "ids": [execution.id for execution in executions],
        "organization_ids": [execution.organization_id for execution in executions],
        "agent_ids": [execution.agent_id for execution in executions],
        "agent_names": [execution.agent_name for execution in executions],
        "agent_versions": [execution.agent_version for execution in executions],
        "spec_digests": [execution.spec_digest for execution in executions],
        "statuses": [execution.status.value for execution in executions],
        "priorities": [execution.priority for execution in executions],
        "pools": [execution.pool for execution in executions],
        "attempts": [execution.attempt for execution in executions],
        "fences": [execution.fence for execution in executions],
        "session_ids": [execution.session_id for execution in executions],
        "last_sequences": [execution.last_sequence for execution in executions],
        "inputs": [execution.input_json for execution in executions],
        "conversation_ids": [execution.conversation_id for execution in executions],
        "project_ids": [execution.project_id for execution in executions],
        "traceparents": [execution.traceparent for execution in executions],
        "metadatas": [execution.metadata_json for execution in executions],
        "creators": [execution.created_by for execution in executions],
        "waiting_fors": [execution.waiting_for for execution in executions],
        "idempotency_keys": [execution.idempotency_key for execution in executions],
        "fingerprints": [execution.fingerprint for execution in executions],
        "seconds": [item.seconds for item in items],
        "created_bodies": [item.created_body for item in items],
        "started_bodies": [item.started_body for item in items],
    }
