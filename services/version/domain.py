"""A version and its life, and the numbers versions get.

Owns what may be published under which number and which version runs. Content is JSON here: what it means is the agent
room's business. It refuses to change or to number again what was published once.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import semver

from retinue_core.errors import Problem, RetinueError, conflict, denied, invalid, not_found, precondition
from retinue_core.identity import Identity, may_change, may_see
from retinue_core.pages import invalid_page_token, page_key, page_token

Json = dict[str, Any]

DRAFT = "draft"
"""What callers say for the draft, whatever its number."""

LONGEST_CHANGELOG = 10_000
LONGEST_NUMBER = 64
NEWEST = 2**31 - 1
"""Above every ordinal."""


@dataclass(frozen=True, slots=True)
class Head:
    """An agent as the agent room tells of it; `content` is that of its draft if `draft_version` is not empty."""

    agent_id: str
    organization_id: str
    owner_id: str
    name: str
    visibility: str
    active: bool
    draft_version: str
    etag: str
    content: Json


@dataclass(frozen=True, slots=True)
class Version:
    """A version. `ordinal` counts those of an agent; `frozen_etag` names the state of the agent it was made from.

    A draft has no id and no ordinal. `recorded` says whether the agent room was told.
    """

    agent_id: str
    organization_id: str
    version: str
    content: Json
    digest: str
    created_by: str
    agent_name: str
    changelog: str = ""
    status: str = "DRAFT"
    id: str = ""
    ordinal: int = 0
    frozen_etag: str = ""
    current: bool = False
    recorded: bool = False
    published_at: datetime | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """What the author of a draft said of it when it was opened."""

    version: str
    changelog: str
    created_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Page:
    """A page of versions that is asked for, behind the ordinal `before`; the draft is on the first one."""

    agent_id: str
    size: int
    before: int

    @property
    def first(self) -> bool:
        """Whether it is the first page."""
        return self.before == NEWEST + 1


def digest(content: Json) -> str:
    """SHA-256 of the canonical content, in hexadecimal: JSON in UTF-8 with sorted keys and no spaces."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def check_visible(head: Head, who: Identity) -> None:
    """Raise AGENT_NOT_FOUND unless the caller may see the agent."""
    if not may_see(who, head.organization_id, head.owner_id, head.visibility):
        raise not_found("agent", head.agent_id)


def check_changeable(head: Head, who: Identity) -> None:
    """Raise unless the caller may change the agent: AGENT_NOT_FOUND when they may not even see it."""
    check_visible(head, who)
    if not may_change(who, head.organization_id, head.owner_id):
        raise denied(
            "Only its owner or an administrator may make versions of this agent.",
            actions=("Ask the owner of the agent or an administrator of your organisation.",),
        )


def check_changelog(text: str) -> None:
    """Raise INVALID_ARGUMENT for a changelog that is too long or cannot be stored."""
    if len(text) > LONGEST_CHANGELOG:
        problem = f"has {len(text)} characters. Keep it to {LONGEST_CHANGELOG}."
    elif "\0" in text:
        problem = "holds a null byte. Remove it."
    else:
        return
    raise invalid("The changelog cannot be kept.", Problem("changelog", problem))


def check_asked(asked: str) -> None:
    """Raise VERSION_NOT_FOUND for what no version is called."""
    if asked != DRAFT and (len(asked) > LONGEST_NUMBER or not semver.Version.is_valid(asked)):
        raise version_not_found(asked)


def draft(head: Head, note: Note | None) -> Version | None:
    """The draft of an agent as a version, or None when there is none."""
    if not head.draft_version:
        return None
    known = note if note is not None and note.version == head.draft_version else None
    return Version(
        agent_id=head.agent_id,
        organization_id=head.organization_id,
        version=head.draft_version,
        content=head.content,
        digest=digest(head.content),
        created_by=known.created_by if known else head.owner_id,
        agent_name=head.name,
        changelog=known.changelog if known else "",
        created_at=known.created_at if known else None,
    )


def candidate(head: Head, note: Note | None, version_id: str, changelog: str, who: Identity, now: datetime) -> Version:
    """What would be frozen now under a new id; its number is empty when there is no draft."""
    said = note.changelog if note is not None and note.version == head.draft_version else ""
    return Version(
        id=version_id,
        agent_id=head.agent_id,
        organization_id=head.organization_id,
        version=head.draft_version,
        content=head.content,
        digest=digest(head.content),
        created_by=who.subject,
        agent_name=head.name,
        changelog=changelog or said,
        status="PUBLISHED",
        frozen_etag=head.etag,
        published_at=now,
        created_at=now,
    )


def published(candidate: Version, asked: str, there: Version | None, newest: Version | None) -> Version:
    """What a publish leads to: the candidate, numbered, or what it led to before, when it is repeated.

    `asked` is the number the caller named, `there` the version that has it already, `newest` the last one frozen.
    Raises VERSION_CONFLICT for a number that is taken, VERSION_NOT_FOUND for one that is not the draft's.
    """
    if there is not None and there.digest == candidate.digest:
        return there
    if there is not None:
        raise _taken(there.version, candidate.version)
    if not candidate.version or asked not in (DRAFT, candidate.version):
        raise version_not_found(asked)
    if newest is not None and not _above(candidate.version, newest.version):
        raise _not_above(candidate.version, newest.version)
    return replace(candidate, ordinal=newest.ordinal + 1 if newest else 1)


def next_number(asked: str, newest: Version) -> str:
    """The number of a new draft: the next minor one, unless one above all others was asked for.

    Raises INVALID_ARGUMENT for what is no version number, VERSION_CONFLICT for one that is too low.
    """
    if not asked:
        return str(semver.Version.parse(newest.version).bump_minor())
    if len(asked) > LONGEST_NUMBER or not semver.Version.is_valid(asked) or "+" in asked:
        raise invalid(
            "The version number cannot be used.",
            Problem("version", "must be a semantic version without build metadata, for example 1.2.0"),
            actions=("Leave the number out to get the next minor one.",),
        )
    if not _above(asked, newest.version):
        raise _not_above(asked, newest.version)
    return asked


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


def page(agent_id: str, size: int, token: str) -> Page:
    """Read which page is asked for. Raises INVALID_PAGE_TOKEN."""
    key = page_key(token, 1, agent_id)
    if key is None:
        return Page(agent_id, size, NEWEST + 1)
    if not key[0].isdecimal() or len(key[0]) > 10 or int(key[0]) > NEWEST:
        raise invalid_page_token("is not one that this service made")
    return Page(agent_id, size, int(key[0]))


def listed(page: Page, draft: Version | None, frozen: list[Version]) -> tuple[list[Version], str]:
    """The versions of a page, and the token of the next one; `frozen` holds one more than fits if there is one."""
    first = [draft] if draft is not None and page.first else []
    every = first + frozen
    if len(every) <= page.size:
        return every, ""
    shown = every[: page.size]
    return shown, page_token([str(shown[-1].ordinal or NEWEST)], page.agent_id)


def not_published(agent_id: str) -> RetinueError:
    """The error for an agent of which nothing was published."""
    return precondition(
        "AGENT_NOT_PUBLISHED",
        "No version of this agent is published.",
        details={"agentId": agent_id},
        actions=(f"Publish its draft: POST /v1/agents/{agent_id}/versions/draft/publish.",),
    )


def version_not_found(asked: str) -> RetinueError:
    """The error for a number that no version has, or for a draft where there is none."""
    error = not_found("version", asked[:LONGEST_NUMBER])
    error.actions = ("List the versions of the agent, and name one of them.",)
    return error


def _above(one: str, other: str) -> bool:
    return semver.Version.parse(one) > semver.Version.parse(other)


def _taken(number: str, draft_number: str) -> RetinueError:
    hint = f"Publish the draft under its number, {draft_number}." if draft_number != number else "Read the agent again."
    return conflict(
        "VERSION_CONFLICT",
        f"Version {number} is published already, with other content, and never changes.",
        Problem("version", f"{number} is taken"),
        actions=(hint if draft_number else "Change the agent to open a new draft.",),
    )


def _not_above(number: str, newest: str) -> RetinueError:
    return conflict(
        "VERSION_CONFLICT",
        f"A new version must be above {newest}, the highest one.",
        Problem("version", f"{number} is not above {newest}"),
        actions=(f"Leave the number out, or choose one above {newest}.",),
    )
