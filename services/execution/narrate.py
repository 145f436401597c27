"""A journal as people read it: events, steps and log lines.

Owns the rule that every entry becomes exactly one event with the entry's sequence. Entries are told in order, from the
first: what a result belongs to is known from the entries before it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retinue.common.v1 import common_pb2
from retinue.execution.v1 import execution_pb2
from retinue_core import values
from services.execution.convert import JournalEntry, as_accepted, from_execution, from_json, kind_of
from services.execution.domain import Execution, Kind

Step = execution_pb2.Step
LogEntry = execution_pb2.LogEntry
Event = execution_pb2.ExecutionEvent

_TERMINAL = frozenset({Kind.COMPLETED, Kind.FAILED, Kind.CANCELLED})


class Narrator:
    """Tells one journal. `steps` holds the steps told so far, in the order they began."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._calls: dict[str, Step] = {}
        self._reasoning = ""

    def note(self, entry: JournalEntry) -> Step | None:
        """Take an entry in; returns the step that it began or ended, if it did."""
        kind = kind_of(entry)
        if kind is Kind.MODEL_COMPLETED:
            return self._model(entry)
        if kind is Kind.TOOL_DISPATCHED:
            return self._dispatched(entry)
        if kind is Kind.TOOL_COMPLETED:
            return self._completed(entry)
        if kind is Kind.TOOL_FAILED:
            return self._failed(entry)
        if kind is Kind.TOOL_UNKNOWN:
            return self._unknown(entry)
        return None

    def event(self, entry: JournalEntry, execution: Execution) -> Event:
        """Take an entry in and tell it. `execution` is the row: any state for the beginning, the last for the end.

        A failure that was followed by another try is no end, and reads as a line of the log.
        """
        kind = kind_of(entry)
        event = Event(sequence=entry.sequence, execution_id=execution.id, time=entry.recorded_at, kind=kind.value)
        step = self.note(entry)
        if step is not None:
            event.event = "step" if kind is Kind.MODEL_COMPLETED else "tool"
            (event.step if kind is Kind.MODEL_COMPLETED else event.tool).CopyFrom(step)
        elif kind is Kind.CREATED:
            event.event = "start"
            event.start.execution.CopyFrom(as_accepted(execution))
        elif kind is Kind.COMPLETED:
            event.event = "done"
            event.done.execution.CopyFrom(from_execution(execution))
        elif kind in _TERMINAL and entry.sequence >= execution.last_sequence:
            event.event = "error"
            event.error.execution.CopyFrom(from_execution(execution))
            event.error.error.CopyFrom(event.error.execution.error)
        else:
            event.event = "log"
            event.log.CopyFrom(log_line(entry))
        return event

    def _begin(self, entry: JournalEntry, kind: Step.Kind.ValueType, action: str) -> Step:
        step = Step(number=len(self.steps) + 1, kind=kind, action=action, sequence=entry.sequence)
        step.reasoning = self._reasoning if kind == Step.TOOL else ""
        self.steps.append(step)
        return step

    def _model(self, entry: JournalEntry) -> Step:
        body = entry.model_completed
        step = self._begin(entry, Step.MODEL, body.model)
        text = "".join(block.text.text for block in body.content if block.WhichOneof("block") == "text")
        thinking = "".join(block.thinking.thinking for block in body.content)
        self._reasoning = text or thinking
        step.reasoning = thinking or (text if body.stop_reason == "tool_use" else "")
        step.status = Step.COMPLETED
        step.output.string_value = text
        step.usage.CopyFrom(body.usage)
        step.usage.steps = 1
        step.duration.FromMilliseconds(body.duration_ms)
        step.completed_at.CopyFrom(entry.recorded_at)
        step.started_at.FromMilliseconds(max(0, entry.recorded_at.ToMilliseconds() - body.duration_ms))
        return step

    def _dispatched(self, entry: JournalEntry) -> Step:
        body = entry.tool_dispatched
        step = self._calls.get(body.call_id)
        if step is None or step.status != Step.RUNNING:
            step = self._begin(entry, Step.TOOL, body.name)
        step.call_id = body.call_id
        step.status = Step.RUNNING
        step.input.CopyFrom(from_json(body.input_json or "{}"))
        step.started_at.CopyFrom(entry.recorded_at)
        self._calls[body.call_id] = step
        return step

    def _completed(self, entry: JournalEntry) -> Step:
        body = entry.tool_completed
        step = self._ended(entry, body.call_id, body.duration_ms, Step.COMPLETED)
        step.output.CopyFrom(from_json(body.output_json or "null"))
        step.usage.CopyFrom(body.usage)
        step.usage.tool_calls = 1
        return step

    def _failed(self, entry: JournalEntry) -> Step:
        body = entry.tool_failed
        step = self._ended(entry, body.call_id, body.duration_ms, Step.FAILED)
        step.error.CopyFrom(body.error)
        return step

    def _unknown(self, entry: JournalEntry) -> Step:
        body = entry.tool_unknown
        step = self._ended(entry, body.call_id, 0, Step.UNKNOWN)
        step.error.CopyFrom(common_pb2.Failure(code="EFFECT_UNKNOWN", message=body.reason))
        return step

    def _ended(self, entry: JournalEntry, call_id: str, duration_ms: int, status: Step.Status.ValueType) -> Step:
        step = self._calls.get(call_id)
        if step is None:
            # A call that was refused before it was dispatched has no beginning of its own.
            step = self._begin(entry, Step.TOOL, "")
            step.call_id = call_id
            step.started_at.CopyFrom(entry.recorded_at)
        step.status = status
        step.sequence = entry.sequence
        step.duration.FromMilliseconds(duration_ms)
        step.completed_at.CopyFrom(entry.recorded_at)
        return step


def log_line(entry: JournalEntry) -> LogEntry:
    """An entry as a line of the log: its own where it is one, else what happened in words."""
    kind = kind_of(entry)
    line = LogEntry(sequence=entry.sequence, time=entry.recorded_at, level=LogEntry.INFO)
    if kind is Kind.LOG:
        line.level = entry.log_recorded.level or LogEntry.INFO
        line.message = entry.log_recorded.message
        if entry.log_recorded.metadata_json:
            line.metadata.CopyFrom(from_json(entry.log_recorded.metadata_json).struct_value)
        return line
    line.message, facts = _WORDS[kind](getattr(entry, str(entry.WhichOneof("body"))))
    if facts:
        line.metadata.CopyFrom(values.to_struct(facts))
    if kind in (Kind.TOOL_FAILED, Kind.TOOL_UNKNOWN, Kind.RECOVERED, Kind.CANCELLED):
        line.level = LogEntry.WARN
    elif kind is Kind.FAILED:
        line.level = LogEntry.ERROR
    return line


_WORDS: dict[Kind, Callable[[Any], tuple[str, dict[str, Any]]]] = {
    Kind.CREATED: lambda body: ("Accepted.", {"version": body.agent_version}),
    Kind.STARTED: lambda body: ("A worker took it up.", {"attempt": body.attempt, "worker": body.worker}),
    Kind.RECOVERED: lambda body: (f"Its worker was lost: {body.reason}.", {"worker": body.worker}),
    Kind.PAUSED: lambda body: ("Paused.", {"by": body.paused_by, "reason": body.reason}),
    Kind.RESUMED: lambda body: ("Resumed.", {"by": body.resumed_by, "reason": body.reason}),
    Kind.RETRIED: lambda body: ("Tried again.", {"by": body.retried_by, "reason": body.reason}),
    Kind.COMPLETED: lambda _: ("Completed.", {}),
    Kind.FAILED: lambda body: (f"Failed: {body.error.message}", {"code": body.error.code}),
    Kind.CANCELLED: lambda body: ("Cancelled.", {"by": body.cancelled_by, "reason": body.reason}),
    Kind.MODEL_COMPLETED: lambda body: (f"{body.model} answered.", {"stopReason": body.stop_reason}),
    Kind.TOOL_DISPATCHED: lambda body: (f"Calling {body.name}.", {"callId": body.call_id}),
    Kind.TOOL_COMPLETED: lambda body: ("The tool answered.", {"callId": body.call_id}),
    Kind.TOOL_FAILED: lambda body: (
        f"The tool failed: {body.error.message}",
        {"callId": body.call_id, "code": body.error.code},
    ),
    Kind.TOOL_UNKNOWN: lambda body: (
        f"Whether the tool took effect is not known: {body.reason}",
        {"callId": body.call_id},
    ),
}
