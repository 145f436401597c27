"""Rows as the domain knows them, and the parts that several statements end with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.execution.domain import Execution, Failure, Status, Usage

COLUMNS = """
    id, organization_id, agent_id, agent_name, agent_version, spec_digest, status, priority, pool, attempt, fence,
    session_id, last_sequence, input_json, output_json, error_code, error_message, error_retryable, error_details,
    input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, tool_calls, steps, cost_micros, credits,
    conversation_id, project_id, traceparent, metadata_json, created_by, waiting_for, created_at, deadline_at,
    started_at, completed_at
"""

CHANGED = COLUMNS + ", now() as recorded_at, body"

# For a statement whose CTE `u` holds changed rows of executions with `kind` and `body` of the entry each of them gets,
# and `held_fence`, the fence of the reservation that each of them leaves (null where none did).
JOURNALED = """
, journaled as (
    insert into journal (execution_id, sequence, organization_id, kind, body)
    select id, last_sequence, organization_id, kind, body from u)
, told as (
    insert into outbox (id, execution_ids, first_sequences, last_sequences)
    select %(outbox_id)s, array_agg(id), array_agg(last_sequence), array_agg(last_sequence) from u having count(*) > 0)
"""

UNSETTLED = """
, owed as (
    insert into unsettled (reservation_id, organization_id, input_tokens, output_tokens, cost_micros, credits, steps,
        tool_calls, ended)
    select id || ':' || held_fence || ':' || session_id, organization_id,
        input_tokens - booked[1], output_tokens - booked[2],
        cost_micros - booked[3], credits - booked[4], steps - booked[5], tool_calls - booked[6],
        case when status in ('COMPLETED', 'FAILED', 'CANCELLED') then lower(status) else '' end
    from u where held_fence is not null
    returning *)
"""

BOOKED = "array[input_tokens, output_tokens, cost_micros, credits, steps, tool_calls]"


def to_execution(row: Mapping[str, Any]) -> Execution:
    """Turn a row with COLUMNS into an execution."""
    return Execution(
        id=str(row["id"]),
        organization_id=str(row["organization_id"]),
        agent_id=str(row["agent_id"]),
        agent_name=row["agent_name"],
        agent_version=row["agent_version"],
        spec_digest=bytes(row["spec_digest"]),
        status=Status(row["status"]),
        priority=row["priority"],
        pool=row["pool"],
        attempt=row["attempt"],
        fence=row["fence"],
        session_id=str(row["session_id"]) if row["session_id"] else None,
        last_sequence=row["last_sequence"],
        input_json=row["input_json"],
        output_json=row["output_json"],
        error=_failure(row),
        usage=Usage(
            row["input_tokens"],
            row["output_tokens"],
            row["cache_read_tokens"],
            row["cache_write_tokens"],
            row["tool_calls"],
            row["steps"],
            row["cost_micros"],
            row["credits"],
        ),
        conversation_id=row["conversation_id"],
        project_id=row["project_id"],
        traceparent=row["traceparent"],
        metadata_json=row["metadata_json"],
        created_by=row["created_by"],
        waiting_for=row["waiting_for"],
        created_at=row["created_at"],
        deadline_at=row["deadline_at"],
        started_at=row["started_at"],
        completed_at=row["completed_at"],
    )


@dataclass(frozen=True, slots=True)
class Changed:
    """An execution after a statement that gave it a journal entry, when that was committed, and the entry's body."""

    execution: Execution
    recorded_at: datetime
    body: bytes


def to_changed(row: Mapping[str, Any]) -> Changed:
    """Turn a row with CHANGED into the change it tells of."""
    return Changed(to_execution(row), row["recorded_at"], bytes(row["body"]))


def _failure(row: Mapping[str, Any]) -> Failure | None:
    if not row["error_code"]:
        return None
    details = tuple(sorted((row["error_details"] or {}).items()))
    return Failure(row["error_code"], row["error_message"], row["error_retryable"], details)
