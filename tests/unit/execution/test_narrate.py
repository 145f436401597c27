"""A journal as people read it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from retinue.common.v1 import common_pb2
from retinue.execution.v1 import journal_pb2
from retinue_core import values
from services.execution.convert import (
    JournalEntry,
    cancelled_entry,
    change_of,
    created_entry,
    failed_entry,
    kind_of,
    numbered,
    paused_entry,
    recovered_entry,
    resumed_entry,
    retried_entry,
    started_entry,
)
from services.execution.domain import Failure, Kind, Status, fold
from services.execution.narrate import Event, Narrator, Step, log_line
from tests.unit.execution.test_domain import NOW, execution


def model(text: str, stop_reason: str = "tool_use") -> JournalEntry:
    body = journal_pb2.ModelCompleted(step=1, model="scripted", stop_reason=stop_reason, duration_ms=20)
    body.content.add().text.text = text
    body.usage.CopyFrom(common_pb2.Usage(input_tokens=5, output_tokens=2))
    return JournalEntry(model_completed=body)


def dispatched(call_id: str) -> JournalEntry:
    body = journal_pb2.ToolDispatched(call_id=call_id, name="calculator", input_json='{"expression":"1+1"}')
    return JournalEntry(tool_dispatched=body)


def answered(call_id: str) -> JournalEntry:
    body = journal_pb2.ToolCompleted(call_id=call_id, output_json='{"result":2}', duration_ms=3)
    return JournalEntry(tool_completed=body)


def refused(call_id: str) -> JournalEntry:
    error = common_pb2.Failure(code="INVALID_TOOL_INPUT", message="no")
    return JournalEntry(tool_failed=journal_pb2.ToolFailed(call_id=call_id, error=error))


def unknown(call_id: str) -> JournalEntry:
    return JournalEntry(tool_unknown=journal_pb2.ToolUnknown(call_id=call_id, reason="the worker died"))


def completed() -> JournalEntry:
    return JournalEntry(execution_completed=journal_pb2.ExecutionCompleted(output_json='"two"'))


def log(message: str) -> JournalEntry:
    return JournalEntry(log_recorded=journal_pb2.LogRecorded(message=message, metadata_json='{"a":1}'))


def tell(*entries: JournalEntry) -> list[Event]:
    narrator, row, events = Narrator(), execution(), []
    for sequence, entry in enumerate(entries, start=1):
        moment = NOW + timedelta(seconds=sequence)
        row = fold(row, change_of([entry]), sequence, moment)
        events.append(narrator.event(numbered(entry, sequence, moment), row))
    return events


def test_every_entry_is_one_event_and_a_plain_run_reads_as_the_contract_says() -> None:
    events = tell(
        created_entry(execution()),
        started_entry(1, "worker-1"),
        model("I add."),
        dispatched("c1"),
        answered("c1"),
        model("Two.", "end_turn"),
        completed(),
    )
    assert [event.event for event in events] == ["start", "log", "step", "tool", "tool", "step", "done"]
    assert [event.sequence for event in events] == list(range(1, 8))
    assert values.to_python(events[-1].done.execution.output) == "two"
    assert events[0].start.execution.status == events[0].start.execution.PENDING
    assert not events[0].start.execution.HasField("output")


def test_a_tool_step_carries_its_reasoning_arguments_and_result() -> None:
    events = tell(created_entry(execution()), model("I add."), dispatched("c1"), answered("c1"))
    began, ended = events[2].tool, events[3].tool
    assert (began.status, ended.status) == (Step.RUNNING, Step.COMPLETED)
    assert began.number == ended.number == 2
    assert began.reasoning == "I add."
    assert values.to_python(ended.input) == {"expression": "1+1"}
    assert values.to_python(ended.output) == {"result": 2}
    assert ended.usage.tool_calls == 1
    assert ended.sequence == 4


def test_parallel_calls_and_one_that_is_repeated_after_a_crash_keep_their_steps() -> None:
    events = tell(
        model("Both."),
        dispatched("c1"),
        dispatched("c2"),
        recovered_entry("worker-1", "its lease ended"),
        started_entry(2, "worker-2"),
        dispatched("c2"),
        answered("c2"),
        answered("c1"),
    )
    assert [event.tool.number for event in events if event.event == "tool"] == [2, 3, 3, 3, 2]


@pytest.mark.parametrize(
    ("entry", "status", "code"),
    [(refused("c1"), Step.FAILED, "INVALID_TOOL_INPUT"), (unknown("c1"), Step.UNKNOWN, "EFFECT_UNKNOWN")],
)
def test_a_call_that_did_not_answer_says_why(entry: JournalEntry, status: int, code: str) -> None:
    for events in (tell(model("I add."), dispatched("c1"), entry), tell(model("I add."), entry)):
        assert events[-1].tool.status == status
        assert events[-1].tool.error.code == code


@pytest.mark.parametrize(
    ("entry", "status"),
    [
        (failed_entry(Failure("EXECUTION_TIMEOUT", "late")), Status.FAILED),
        (cancelled_entry("me", "enough"), Status.CANCELLED),
    ],
)
def test_an_end_without_output_is_an_error_event_with_the_row(entry: JournalEntry, status: Status) -> None:
    row = replace(execution(status), error=Failure("EXECUTION_TIMEOUT", "late"))
    event = Narrator().event(numbered(entry, 3, NOW), row)
    assert event.event == "error"
    assert event.error.error.code == "EXECUTION_TIMEOUT"
    assert event.error.execution.status == event.error.execution.Status.Value(status.value)


def test_every_kind_has_a_log_line_in_words() -> None:
    entries = {
        kind_of(entry): entry
        for entry in (
            created_entry(execution()),
            started_entry(1, "w"),
            recovered_entry("w", "gone"),
            paused_entry("me", "wait"),
            resumed_entry("me", "on"),
            retried_entry("me", "again"),
            completed(),
            failed_entry(Failure("X", "x")),
            cancelled_entry("me", ""),
            model("hi"),
            dispatched("c"),
            answered("c"),
            refused("c"),
            unknown("c"),
            log("as written"),
        )
    }
    assert set(entries) == set(Kind)
    for entry in entries.values():
        assert log_line(numbered(entry, 1, NOW)).message
    assert log_line(entries[Kind.LOG]).message == "as written"
    assert values.struct_to_python(log_line(entries[Kind.LOG]).metadata) == {"a": 1}


def test_a_failure_that_was_retried_is_a_line_of_the_log() -> None:
    entries = [failed_entry(Failure("X", "x")), retried_entry("me", ""), completed()]
    narrator = Narrator()
    row = replace(execution(Status.COMPLETED), last_sequence=3, output_json='"two"')
    told = [
        narrator.event(numbered(entry, sequence, NOW), row).event for sequence, entry in enumerate(entries, start=1)
    ]
    assert told == ["log", "log", "done"]
