"""The state machine, the limits of time, and the fold."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinue_core.errors import Kind, RetinueError
from services.execution.domain import (
    STATUS_AFTER,
    TRANSITIONS,
    Change,
    Execution,
    Failure,
    Status,
    TimeLimits,
    Usage,
    check_transition,
    fold,
    time_allowed,
)

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def execution(status: Status = Status.RUNNING) -> Execution:
    return Execution(
        id="e",
        organization_id="o",
        agent_id="a",
        agent_name="adder",
        agent_version="1.0.0",
        spec_digest=b"",
        status=status,
        input_json="null",
        created_by="u",
        created_at=NOW,
        deadline_at=NOW,
        last_sequence=2,
    )


@pytest.mark.parametrize("before", list(Status))
@pytest.mark.parametrize("after", list(Status))
def test_only_the_transitions_of_the_table_are_allowed(before: Status, after: Status) -> None:
    if after in TRANSITIONS[before]:
        check_transition(before, after)
        return
    with pytest.raises(RetinueError) as caught:
        check_transition(before, after)
    assert caught.value.kind is Kind.FAILED_PRECONDITION
    assert caught.value.details == {"status": before.value}


def test_nothing_follows_an_end_but_a_retry_and_every_state_can_end() -> None:
    for status in Status:
        assert status.ended or Status.CANCELLED in TRANSITIONS[status]
    assert TRANSITIONS[Status.COMPLETED] == TRANSITIONS[Status.CANCELLED] == frozenset()
    assert TRANSITIONS[Status.FAILED] == {Status.PENDING}, "a failed one may be retried and nothing else"
    assert set(STATUS_AFTER.values()) == set(Status) - {Status.WAITING}


@pytest.mark.parametrize(
    ("asked", "of_agent", "inline", "seconds"),
    [
        (0, 0, True, 30),
        (0, 0, False, 300),
        (0, 45, True, 45),
        (0, 900, True, 60),
        (0, 900, False, 900),
        (10, 45, True, 10),
        (7200, 45, False, 7200),
    ],
)
def test_the_time_is_what_was_asked_else_the_agents_else_the_default(
    asked: float, of_agent: float, inline: bool, seconds: float
) -> None:
    assert time_allowed(TimeLimits(), asked, of_agent, inline=inline) == seconds


@pytest.mark.parametrize(("asked", "inline"), [(61, True), (86_401, False), (-1, False)])
def test_a_timeout_out_of_range_names_its_field(asked: float, inline: bool) -> None:
    with pytest.raises(RetinueError) as caught:
        time_allowed(TimeLimits(), asked, 0, inline=inline)
    assert [problem.field for problem in caught.value.problems] == ["timeout"]


usages = st.builds(Usage, *[st.integers(0, 1000)] * 8)
changes = st.builds(
    Change,
    st.sampled_from([None, Status.COMPLETED, Status.FAILED]),
    usages,
    st.sampled_from([None, '"a"', '"b"']),
    st.sampled_from([None, Failure("X", "x")]),
)


@given(st.lists(changes, max_size=6))
def test_folding_changes_one_by_one_or_added_up_is_the_same(found: list[Change]) -> None:
    step = execution()
    for sequence, change in enumerate(found, start=3):
        step = fold(step, change, sequence, NOW)
    total = sum(found, start=Change())
    assert fold(execution(), total, 2 + len(found), NOW) == step


def test_an_end_has_a_time_and_what_goes_on_has_none() -> None:
    assert fold(execution(), Change(), 3, NOW).completed_at is None
    assert fold(execution(), Change(Status.FAILED), 3, NOW).completed_at == NOW
