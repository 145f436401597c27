"""Where the time of an execution went: its journal as spans for a waterfall.

Owns that view. Times are those of the commits, on the database's clock; a call's own duration is what its worker
measured.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from retinue.execution.v1 import execution_pb2
from services.execution.convert import JournalEntry, from_failure, kind_of, timestamp
from services.execution.domain import Execution, Kind
from services.execution.narrate import Narrator, Step

TraceSpan = execution_pb2.TraceSpan

_HANDS_CHANGE = frozenset({Kind.RECOVERED, Kind.PAUSED, Kind.COMPLETED, Kind.FAILED, Kind.CANCELLED})


def trace(execution: Execution, entries: Iterable[JournalEntry], now: datetime) -> tuple[list[TraceSpan], list[Step]]:
    """Tell a journal as spans and steps. `now` is how far what goes on has got."""
    narrator, attempts = Narrator(), []
    for entry in entries:
        narrator.note(entry)
        kind = kind_of(entry)
        if kind is Kind.STARTED:
            attempts.append(_span(execution, TraceSpan.ATTEMPT, entry.execution_started.worker, entry.recorded_at, now))
        elif kind in _HANDS_CHANGE and attempts and attempts[-1].open:
            _end(attempts[-1], execution, entry.recorded_at)
    steps = [_of_step(execution, step, now) for step in narrator.steps]
    inner = sorted([*attempts, *steps], key=lambda span: span.start.ToNanoseconds())
    return [_whole(execution, now), *inner], narrator.steps


def _whole(execution: Execution, now: datetime) -> TraceSpan:
    accepted, ended = timestamp(execution.created_at), timestamp(execution.completed_at)
    assert accepted is not None
    span = _span(execution, TraceSpan.EXECUTION, execution.agent_name, accepted, now)
    if ended is not None:
        _end(span, execution, ended)
    if execution.error is not None:
        span.error.CopyFrom(from_failure(execution.error))
    return span


def _of_step(execution: Execution, step: Step, now: datetime) -> TraceSpan:
    kind = TraceSpan.MODEL if step.kind == Step.MODEL else TraceSpan.TOOL
    span = _span(execution, kind, step.action, step.started_at, now)
    span.step = step.number
    if step.HasField("completed_at"):
        span.open = False
        span.duration.CopyFrom(step.duration)
    if step.HasField("error"):
        span.error.CopyFrom(step.error)
    return span


def _span(
    execution: Execution, kind: TraceSpan.Kind.ValueType, name: str, began: Timestamp, now: datetime
) -> TraceSpan:
    span = TraceSpan(kind=kind, name=name, open=True)
    moment = began.ToDatetime(UTC)
    span.start.FromTimedelta(max(moment, execution.created_at) - execution.created_at)
    span.duration.FromTimedelta(max(now, moment) - moment)
    return span


def _end(span: TraceSpan, execution: Execution, at: Timestamp) -> None:
    began = execution.created_at + span.start.ToTimedelta()
    span.duration.FromTimedelta(max(at.ToDatetime(UTC), began) - began)
    span.open = False
