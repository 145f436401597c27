"""The life of a version: draft, published, deprecated, archived; and which one is current.

Owns the table of transitions, what an action leads to, and what runs. It refuses to change or to number again what
was published once, and to leave an agent with a current version that does not run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from retinue_core.errors import Problem, RetinueError, conflict, precondition
from services.version.domain.numbers import is_above, not_above
from services.version.domain.version import DRAFT, Version, not_published, version_not_found

TRANSITIONS = {
    ("DRAFT", "publish"): "PUBLISHED",
    ("PUBLISHED", "deprecate"): "DEPRECATED",
    ("PUBLISHED", "archive"): "ARCHIVED",
    ("DEPRECATED", "archive"): "ARCHIVED",
}
"""What an action makes of a version, by the status it has; what is not here is refused."""

_ENDS = {action: status for (_, action), status in TRANSITIONS.items()}
_FREEZES = "POST …/versions/draft/publish freezes the draft."
_REMEDIES = {
    "DRAFT": f"Publish it first: {_FREEZES} To give up its edits, set the fields back to those of a version.",
    "PUBLISHED": "To make it current, roll back to it. To change it, open a new draft from it.",
    "DEPRECATED": "Open a new draft from it (POST …/versions with `from`) and publish that.",
    "ARCHIVED": "Open a new draft from it (POST …/versions with `from`) and publish that.",
}


@dataclass(frozen=True, slots=True)
class Sought:
    """Which version is meant: the one with a number or, where there is none, the last one with a content."""

    number: str
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What there is when a decision is made: the version that is meant, the one frozen last, the current one."""

    there: Version | None
    newest: Version | None
    current: Version | None


@dataclass(frozen=True, slots=True)
class Action:
    """What somebody does to a version, when and why."""

    asked: str
    actor: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened; `previous` is the number of what was current before. `number` counts events."""

    kind: str
    version: str
    previous: str
    reason: str
    actor: str
    at: datetime
    number: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """What a decision leads to: a version as it is then, and what happened; nothing when it was so already."""

    version: Version
    event: Event | None = None


def after(status: str, action: str, number: str) -> str:
    """The status that an action leads to. Raises INVALID_TRANSITION."""
    try:
        return TRANSITIONS[status, action]
    except KeyError:
        raise _refused(status, action, number) from None


def published(candidate: Version, asked: str, found: Found) -> Change:
    """What a publish leads to: the candidate, numbered, or what it led to before, when it is repeated.

    `asked` is the number the caller named. Raises VERSION_CONFLICT for a number that is taken, VERSION_NOT_FOUND for
    one that is not the draft's, INVALID_TRANSITION for what was deprecated or archived since.
    """
    there, newest = found.there, found.newest
    if there is not None and there.digest == candidate.digest:
        if there.status != "PUBLISHED":
            raise _refused(there.status, "publish", there.version)
        return Change(there)
    if there is not None:
        raise _taken(there.version, candidate.version)
    if not candidate.version or asked not in (DRAFT, candidate.version):
        raise version_not_found(asked)
    if newest is not None and not is_above(candidate.version, newest.version):
        raise not_above(candidate.version, newest.version)
    made = replace(
        candidate,
        ordinal=newest.ordinal + 1 if newest else 1,
        status=after(candidate.status, "publish", candidate.version),
        current=True,
    )
    assert made.published_at is not None
    done = Action(made.version, made.created_by, made.changelog, made.published_at)
    return Change(made, _event("PUBLISHED", done, found))


def retired(action: str, done: Action, draft_version: str, found: Found) -> Change:
    """What it leads to to `deprecate` or `archive` a version; done again it changes nothing.

    Raises VERSION_NOT_FOUND, INVALID_TRANSITION, or VERSION_IN_USE for archiving the current one.
    """
    there = _frozen(action, done, draft_version, found)
    if there.status == _ENDS[action]:
        return Change(there)
    status = after(there.status, action, there.version)
    if status == "ARCHIVED" and there.current:
        raise precondition(
            "VERSION_IN_USE",
            f"Version {there.version} is the current one of its agent, which would have nothing to run.",
            details={"agentId": there.agent_id, "version": there.version},
            actions=(
                f"Make another version current first: publish the draft, or POST /v1/agents/{there.agent_id}/rollback.",
            ),
        )
    changed = replace(there, status=status, status_reason=done.reason, status_changed_at=done.at)
    return Change(changed, _event(status, done, found))


def rolled_back(done: Action, draft_version: str, found: Found) -> Change:
    """What it leads to to make a published version current; it changes nothing when it is.

    Raises VERSION_NOT_FOUND, or INVALID_TRANSITION for a version that is no longer, or not yet, published.
    """
    there = _frozen("rollback", done, draft_version, found)
    if there.current:
        return Change(there)
    if there.status != "PUBLISHED":
        raise _refused(there.status, "rollback", there.version)
    return Change(replace(there, current=True), _event("ROLLED_BACK", done, found))


def runnable(found: Version | None, asked: str, agent_id: str) -> Version:
    """The version that runs. Raises AGENT_NOT_PUBLISHED, VERSION_NOT_FOUND or VERSION_ARCHIVED."""
    if found is None and not asked:
        raise not_published(agent_id)
    if found is None:
        raise version_not_found(asked)
    if found.status == "ARCHIVED":
        raise precondition(
            "VERSION_ARCHIVED",
            f"Version {found.version} is archived and does not run.",
            details={"agentId": agent_id, "version": found.version},
            actions=("Name another version, or none to run the current one.",),
        )
    return found


def warning(version: Version) -> str:
    """What whoever runs a version should know; empty when there is nothing."""
    if version.status != "DEPRECATED":
        return ""
    why = f": {version.status_reason.rstrip('.')}." if version.status_reason else "."
    then = (
        "It is still the current version; a newer one should be published."
        if version.current
        else "Name another version, or none to run the current one."
    )
    return f"Version {version.version} is deprecated{why} {then}"


def _frozen(action: str, done: Action, draft_version: str, found: Found) -> Version:
    if found.there is not None:
        return found.there
    if draft_version and done.asked in (DRAFT, draft_version):
        raise _refused("DRAFT", action, draft_version)
    raise version_not_found(done.asked)


def _event(kind: str, done: Action, found: Found) -> Event:
    number = found.there.version if found.there else done.asked
    previous = found.current.version if found.current else ""
    return Event(kind, number, previous, done.reason, done.actor, done.at)


def _refused(status: str, action: str, number: str) -> RetinueError:
    verb = {"publish": "published", "rollback": "made current"}.get(action, f"{action}d")
    return precondition(
        "INVALID_TRANSITION",
        f"Version {number} is {status.lower()} and cannot be {verb}.",
        details={"version": number, "status": status},
        actions=(_REMEDIES[status],),
    )


def _taken(number: str, draft_number: str) -> RetinueError:
    hint = f"Publish the draft under its number, {draft_number}." if draft_number != number else "Read the agent again."
    return conflict(
        "VERSION_CONFLICT",
        f"Version {number} is published already, with other content, and never changes.",
        Problem("version", f"{number} is taken"),
        actions=(hint if draft_number else "Change the agent to open a new draft.",),
    )
