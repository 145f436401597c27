"""The table of a version's life, action by action: what is in it happens, everything else is refused with a remedy."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from retinue_core.errors import Kind, RetinueError
from services.version.domain import life
from services.version.domain.life import Action, Change, Found
from services.version.domain.telling import Untold
from services.version.domain.version import Version

NOW = datetime(2026, 11, 20, tzinfo=UTC)
ONE = Version("a", "o", "1.0.0", {}, "d", "owner", "n", status="PUBLISHED", id="v1", ordinal=1, published_at=NOW)
TWO = replace(ONE, version="1.1.0", id="v2", ordinal=2, current=True)
WHY = Action("1.0.0", "somebody", "why", NOW)
STATUSES = ("DRAFT", "PUBLISHED", "DEPRECATED", "ARCHIVED")
LEADS_TO = {
    ("DRAFT", "publish"): "PUBLISHED",
    ("PUBLISHED", "deprecate"): "DEPRECATED",
    ("PUBLISHED", "archive"): "ARCHIVED",
    ("DEPRECATED", "archive"): "ARCHIVED",
}


def act(action: str, status: str, *, current: bool = False) -> Change:
    """Do something to 1.0.0, which has a status; unless it is current itself, 1.1.0 is."""
    there = None if status == "DRAFT" else replace(ONE, status=status, current=current)
    found = Found(there, TWO, there if current else TWO)
    if action == "rollback":
        return life.rolled_back(WHY, "1.0.0", found)
    return life.retired(action, WHY, "1.0.0", found)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("action", ["publish", "deprecate", "archive"])
def test_only_what_the_table_says_happens(status: str, action: str) -> None:
    if (status, action) in LEADS_TO:
        assert life.after(status, action, "1.0.0") == LEADS_TO[status, action]
        return
    with pytest.raises(RetinueError) as refused:
        life.after(status, action, "1.0.0")
    assert (refused.value.kind, refused.value.code) == (Kind.FAILED_PRECONDITION, "INVALID_TRANSITION")
    assert refused.value.details == {"version": "1.0.0", "status": status}
    assert refused.value.actions


@pytest.mark.parametrize(
    ("action", "status", "kind"),
    [
        ("deprecate", "PUBLISHED", "DEPRECATED"),
        ("archive", "PUBLISHED", "ARCHIVED"),
        ("archive", "DEPRECATED", "ARCHIVED"),
        ("rollback", "PUBLISHED", "ROLLED_BACK"),
    ],
)
def test_an_action_is_recorded_with_who_when_and_why(action: str, status: str, kind: str) -> None:
    change = act(action, status)
    assert change.event == life.Event(kind, "1.0.0", "1.1.0", "why", "somebody", NOW)
    assert change.version.content == ONE.content
    if action != "rollback":
        assert (change.version.status, change.version.status_reason, change.version.status_changed_at) == (
            kind,
            "why",
            NOW,
        )


@pytest.mark.parametrize(
    ("action", "status", "current"),
    [("deprecate", "DEPRECATED", False), ("archive", "ARCHIVED", False), ("rollback", "PUBLISHED", True)],
)
def test_what_is_so_already_changes_nothing(action: str, status: str, current: bool) -> None:
    change = act(action, status, current=current)
    assert change.event is None
    assert (change.version.status, change.version.current) == (status, current)


@pytest.mark.parametrize(
    ("action", "status"),
    [
        ("deprecate", "DRAFT"),
        ("deprecate", "ARCHIVED"),
        ("archive", "DRAFT"),
        ("rollback", "DRAFT"),
        ("rollback", "DEPRECATED"),
        ("rollback", "ARCHIVED"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_remedy(action: str, status: str) -> None:
    with pytest.raises(RetinueError) as refused:
        act(action, status)
    assert (refused.value.kind, refused.value.code) == (Kind.FAILED_PRECONDITION, "INVALID_TRANSITION")
    assert refused.value.actions


@pytest.mark.parametrize("status", ["PUBLISHED", "DEPRECATED"])
def test_the_current_version_is_not_archived(status: str) -> None:
    with pytest.raises(RetinueError) as refused:
        act("archive", status, current=True)
    assert (refused.value.kind, refused.value.code) == (Kind.FAILED_PRECONDITION, "VERSION_IN_USE")
    assert "rollback" in refused.value.actions[0]


def test_the_current_version_may_be_deprecated_and_runs_with_a_warning() -> None:
    version = act("deprecate", "PUBLISHED", current=True).version
    assert version.current
    assert life.runnable(version, "", "a") is version
    assert life.warning(version) == (
        "Version 1.0.0 is deprecated: why. It is still the current version; a newer one should be published."
    )
    assert life.warning(ONE) == ""


@pytest.mark.parametrize("status", ["DEPRECATED", "ARCHIVED"])
def test_what_was_retired_is_not_published_again(status: str) -> None:
    there = replace(ONE, status=status)
    with pytest.raises(RetinueError) as refused:
        life.published(replace(ONE, status="DRAFT"), "1.0.0", Found(there, TWO, TWO))
    assert refused.value.code == "INVALID_TRANSITION"


@pytest.mark.parametrize(
    ("moves", "told", "current", "unrecorded", "must"),
    [
        (1, 0, ONE, (ONE,), False),
        (2, 0, TWO, (ONE, TWO), True),
        (2, 1, TWO, (TWO,), False),
        (3, 2, ONE, (), True),
        (4, 1, TWO, (TWO,), True),
        (2, 2, TWO, (), False),
        (2, 2, TWO, (TWO,), False),
        (0, 0, None, (), False),
    ],
)
def test_what_is_current_is_told_unless_one_publish_says_it(
    moves: int, told: int, current: Version | None, unrecorded: tuple[Version, ...], must: bool
) -> None:
    assert Untold("a", "o", moves, told, current, unrecorded).current_must_be_told is must
