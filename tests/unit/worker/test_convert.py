"""Journal entries survive the way to the proto and back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retinue.execution.v1 import journal_pb2, worker_pb2
from services.worker.convert import fill, from_proto, size_of, to_assignment
from services.worker.core.entries import (
    Effect,
    Entry,
    ExecutionCompleted,
    ExecutionFailed,
    Failure,
    Level,
    Logged,
    ModelCompleted,
    Noted,
    Text,
    Thinking,
    ToolCompleted,
    ToolDispatched,
    ToolFailed,
    ToolUnknown,
    ToolUse,
    Usage,
)

_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_count = st.integers(0, 2**31 - 1)
_usage = st.builds(Usage, *[_count] * 8)
_details = st.dictionaries(_text, _text, max_size=3).map(lambda found: tuple(sorted(found.items())))
_failure = st.builds(Failure, _text, _text, st.booleans(), _details)
_block = st.one_of(
    st.builds(Text, _text),
    st.builds(ToolUse, _text, _text, _text),
    st.builds(Thinking, _text, _text, _text),
)
_content = st.lists(_block, max_size=4).map(tuple)
_hash = st.binary(max_size=32)
ENTRIES: st.SearchStrategy[Entry] = st.one_of(
    st.builds(ModelCompleted, _count, _text, _text, _content, _text, _usage, _hash, _count, _text),
    st.builds(ToolDispatched, _text, _text, _text, st.sampled_from(Effect), _text, _count),
    st.builds(ToolCompleted, _text, _text, _count, _usage),
    st.builds(ToolFailed, _text, _failure, _count),
    st.builds(ToolUnknown, _text, _text),
    st.builds(ExecutionCompleted, _text),
    st.builds(ExecutionFailed, _failure),
)


def there_and_back(entry: Entry, sequence: int = 7) -> Entry:
    append = worker_pb2.Append()
    fill(append.entries, entry, sequence)
    read = worker_pb2.Append.FromString(append.SerializeToString()).entries[0]
    assert read.sequence == sequence
    return from_proto(read)


@settings(deadline=None)
@given(ENTRIES)
def test_entries_survive_the_wire(entry: Entry) -> None:
    assert there_and_back(entry) == entry


@settings(deadline=None)
@given(ENTRIES)
def test_the_size_of_an_entry_covers_its_free_text(entry: Entry) -> None:
    if isinstance(entry, ToolCompleted | ExecutionCompleted):
        assert size_of(entry) >= len(entry.output_json)
    assert size_of(entry) > 0


def test_log_lines_are_written_and_only_noted_when_read() -> None:
    assert there_and_back(Logged(Level.WARN, "careful", '{"a":1}')) == Noted("log.recorded")


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        (journal_pb2.JournalEntry(execution_started=journal_pb2.ExecutionStarted(attempt=1)), "execution.started"),
        (journal_pb2.JournalEntry(execution_recovered=journal_pb2.ExecutionRecovered()), "execution.recovered"),
        (journal_pb2.JournalEntry(), ""),
    ],
)
def test_what_changes_nothing_is_noted(entry: journal_pb2.JournalEntry, kind: str) -> None:
    assert from_proto(entry) == Noted(kind)


def test_an_effect_that_is_not_known_counts_as_irreversible() -> None:
    body = journal_pb2.ToolDispatched(call_id="c", effect=journal_pb2.EFFECT_CLASS_UNSPECIFIED)
    entry = from_proto(journal_pb2.JournalEntry(tool_dispatched=body))
    assert isinstance(entry, ToolDispatched)
    assert entry.effect is Effect.IRREVERSIBLE


def test_what_a_proto_cannot_say_is_not_left_half_said() -> None:
    append = worker_pb2.Append()
    with pytest.raises(UnicodeError):
        fill(append.entries, ToolCompleted("c", "\ud800"), 1)
    assert len(append.entries) == 0


def test_an_assignment_keeps_its_terms() -> None:
    sent = worker_pb2.Assignment(execution_id="e", fence=3, remaining_ms=1500, budget_tokens=-1, input_json="1")
    sent.journal.add(sequence=1).execution_created.agent_version = "1.0.0"
    job = to_assignment(sent)
    assert (job.execution_id, job.fence, job.seconds, job.budget_tokens) == ("e", 3, 1.5, -1)
    assert job.journal == (Noted("execution.created"),)
