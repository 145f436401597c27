"""Between the protos and the domain: executions, journal entries, free JSON."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import orjson
from google.protobuf import struct_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from retinue.common.v1 import common_pb2
from retinue.execution.v1 import execution_pb2, journal_pb2
from retinue_core import telemetry, values
from services.execution.domain import (
    NOTHING,
    PRIORITY_NAMES,
    STATUS_AFTER,
    Change,
    Execution,
    Failure,
    Kind,
    Status,
    Usage,
)
from services.execution.store.journal import NewEntry, StoredEntry

JournalEntry = journal_pb2.JournalEntry


def kind_of(entry: JournalEntry) -> Kind:
    """The kind of an entry: the name of its field with the first underscore as a dot."""
    return _KINDS[str(entry.WhichOneof("body"))]


_KINDS = {
    field.name: Kind(field.name.replace("_", ".", 1))
    for field in journal_pb2.JournalEntry.DESCRIPTOR.oneofs_by_name["body"].fields
}


def to_new_entry(entry: JournalEntry) -> NewEntry:
    """An entry as it is stored: its number and time are columns, not part of the body."""
    bare = JournalEntry()
    bare.CopyFrom(entry)
    bare.ClearField("sequence")
    bare.ClearField("recorded_at")
    return NewEntry(entry.sequence, kind_of(entry).value, bare.SerializeToString())


def from_stored(stored: StoredEntry) -> JournalEntry:
    """An entry as it was read."""
    return numbered(JournalEntry.FromString(stored.body), stored.sequence, stored.recorded_at)


def numbered(entry: JournalEntry, sequence: int, recorded_at: datetime) -> JournalEntry:
    """Give an entry its number and time."""
    entry.sequence = sequence
    entry.recorded_at.FromDatetime(recorded_at)
    return entry


def change_of(entries: Iterable[JournalEntry]) -> Change:
    """What entries add up to in the row of their execution."""
    total = Change()
    for entry in entries:
        total = total + _change(kind_of(entry), entry)
    return total


def _change(kind: Kind, entry: JournalEntry) -> Change:
    status = STATUS_AFTER.get(kind)
    if kind is Kind.MODEL_COMPLETED:
        return Change(usage=to_usage(entry.model_completed.usage, steps=1))
    if kind is Kind.TOOL_DISPATCHED:
        return Change(usage=Usage(tool_calls=1))
    if kind is Kind.TOOL_COMPLETED:
        return Change(usage=to_usage(entry.tool_completed.usage))
    if kind is Kind.COMPLETED:
        return Change(status, output_json=entry.execution_completed.output_json)
    if kind is Kind.FAILED:
        return Change(status, error=to_failure(entry.execution_failed.error))
    return Change(status)


def to_usage(usage: common_pb2.Usage, *, steps: int = 0) -> Usage:
    """What one entry used; tool calls are counted where they are dispatched."""
    return Usage(
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        0,
        steps,
        usage.cost_micros,
        usage.credits,
    )


def from_usage(usage: Usage) -> common_pb2.Usage:
    """Usage as it travels."""
    return common_pb2.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        tool_calls=usage.tool_calls,
        steps=usage.steps,
        cost_micros=usage.cost_micros,
        credits=usage.credits,
    )


def to_failure(failure: common_pb2.Failure) -> Failure:
    """A failure as the domain knows it."""
    return Failure(failure.code, failure.message, failure.retryable, tuple(sorted(failure.details.items())))


def from_failure(failure: Failure) -> common_pb2.Failure:
    """A failure as it travels."""
    return common_pb2.Failure(
        code=failure.code, message=failure.message, retryable=failure.retryable, details=dict(failure.details)
    )


def created_entry(execution: Execution) -> JournalEntry:
    """The first entry of a journal."""
    body = journal_pb2.ExecutionCreated(created_by=execution.created_by, agent_version=execution.agent_version)
    return JournalEntry(execution_created=body)


def started_entry(attempt: int, worker: str) -> JournalEntry:
    """The entry for a worker that takes an execution up."""
    return JournalEntry(execution_started=journal_pb2.ExecutionStarted(attempt=attempt, worker=worker))


def failed_entry(failure: Failure) -> JournalEntry:
    """The entry for an execution that failed."""
    return JournalEntry(execution_failed=journal_pb2.ExecutionFailed(error=from_failure(failure)))


def cancelled_entry(by: str, reason: str) -> JournalEntry:
    """The entry for an execution that somebody cancelled."""
    return JournalEntry(execution_cancelled=journal_pb2.ExecutionCancelled(cancelled_by=by, reason=reason))


def recovered_entry(worker: str, reason: str) -> JournalEntry:
    """The entry for an execution whose worker was lost."""
    return JournalEntry(execution_recovered=journal_pb2.ExecutionRecovered(worker=worker, reason=reason))


def paused_entry(by: str, reason: str) -> JournalEntry:
    """The entry for an execution that somebody paused."""
    return JournalEntry(execution_paused=journal_pb2.ExecutionPaused(paused_by=by, reason=reason))


def resumed_entry(by: str, reason: str) -> JournalEntry:
    """The entry for an execution that somebody let go on."""
    return JournalEntry(execution_resumed=journal_pb2.ExecutionResumed(resumed_by=by, reason=reason))


def retried_entry(by: str, reason: str) -> JournalEntry:
    """The entry for a failed execution that somebody wants tried again."""
    return JournalEntry(execution_retried=journal_pb2.ExecutionRetried(retried_by=by, reason=reason))


def from_json(text: str) -> struct_pb2.Value:
    """JSON text as a Value."""
    return values.from_python(orjson.loads(text))


def timestamp(moment: datetime | None) -> Timestamp | None:
    """A moment as it travels; None when there is none."""
    if moment is None:
        return None
    found = Timestamp()
    found.FromDatetime(moment)
    return found


def from_execution(execution: Execution) -> execution_pb2.Execution:
    """An execution as it travels."""
    return execution_pb2.Execution(
        id=execution.id,
        organization_id=execution.organization_id,
        agent_id=execution.agent_id,
        agent_version=execution.agent_version,
        status=execution_pb2.Execution.Status.Value(execution.status.value),
        input=from_json(execution.input_json),
        output=None if execution.output_json is None else from_json(execution.output_json),
        error=from_failure(execution.error) if execution.error else None,
        usage=from_usage(execution.usage),
        priority=execution_pb2.Execution.Priority.Value(PRIORITY_NAMES[execution.priority]),
        attempt=execution.attempt,
        conversation_id=execution.conversation_id,
        project_id=execution.project_id,
        trace_id=telemetry.trace_id(execution.traceparent),
        created_by=execution.created_by,
        created_at=timestamp(execution.created_at),
        started_at=timestamp(execution.started_at),
        completed_at=timestamp(execution.completed_at),
        metadata=values.to_struct(orjson.loads(execution.metadata_json)) if execution.metadata_json else None,
        last_sequence=execution.last_sequence,
        waiting_for=execution.waiting_for,
        deadline=timestamp(execution.deadline_at),
    )


def as_accepted(execution: Execution) -> execution_pb2.Execution:
    """An execution as it was when it was accepted, whatever became of it since."""
    found = from_execution(execution)
    found.status = execution_pb2.Execution.Status.Value(Status.PENDING.value)
    found.usage.CopyFrom(from_usage(NOTHING))
    found.last_sequence = 1
    found.attempt = 0
    for field in ("output", "error", "started_at", "completed_at", "waiting_for"):
        found.ClearField(field)
    return found
