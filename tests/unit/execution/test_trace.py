"""Where the time of an execution went."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from services.execution.convert import JournalEntry, created_entry, numbered, recovered_entry, started_entry
from services.execution.domain import Execution, Failure, Status
from services.execution.trace import TraceSpan, trace
from tests.unit.execution.test_domain import NOW, execution
from tests.unit.execution.test_narrate import answered, completed, dispatched, model, refused


def told(row: Execution, *entries: JournalEntry) -> list[tuple[str, str, float, float, bool]]:
    """Each entry a second after the one before; what goes on has got to ten seconds."""
    journal = [numbered(entry, index + 1, NOW + timedelta(seconds=index)) for index, entry in enumerate(entries)]
    spans, _ = trace(row, journal, NOW + timedelta(seconds=10))
    return [
        (
            TraceSpan.Kind.Name(span.kind),
            span.name,
            span.start.ToNanoseconds() / 1e9,
            span.duration.ToNanoseconds() / 1e9,
            span.open,
        )
        for span in spans
    ]


def test_a_run_is_the_whole_its_attempt_and_its_calls() -> None:
    row = replace(execution(Status.COMPLETED), completed_at=NOW + timedelta(seconds=5))
    entries = (created_entry(row), started_entry(1, "w1"), model("I add."), dispatched("c"), answered("c"), completed())
    assert told(row, *entries) == [
        ("EXECUTION", "adder", 0.0, 5.0, False),
        ("ATTEMPT", "w1", 1.0, 4.0, False),
        ("MODEL", "scripted", 1.98, 0.02, False),
        ("TOOL", "calculator", 3.0, 0.003, False),
    ]


def test_each_worker_has_its_attempt_and_what_goes_on_is_open() -> None:
    row = execution()
    entries = (
        created_entry(row),
        started_entry(1, "w1"),
        model("I add."),
        dispatched("c"),
        recovered_entry("w1", "its lease ended"),
        started_entry(2, "w2"),
    )
    assert told(row, *entries) == [
        ("EXECUTION", "adder", 0.0, 10.0, True),
        ("ATTEMPT", "w1", 1.0, 3.0, False),
        ("MODEL", "scripted", 1.98, 0.02, False),
        ("TOOL", "calculator", 3.0, 7.0, True),
        ("ATTEMPT", "w2", 5.0, 5.0, True),
    ]


def test_what_failed_says_why() -> None:
    row = replace(execution(Status.FAILED), error=Failure("X", "x"), completed_at=NOW)
    journal = [numbered(entry, 1, NOW) for entry in (model("I add."), dispatched("c"), refused("c"))]
    spans, steps = trace(row, journal, NOW)
    assert [span.error.code for span in spans] == ["X", "", "INVALID_TOOL_INPUT"]
    assert [step.number for step in steps] == [1, 2]
