"""A version as it is kept, who may read and change it, and the texts that go with it.

Owns the data that versions are made of, and the errors for what is not there. Content is JSON here: what it means is
the agent room's business.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from retinue_core.errors import Problem, RetinueError, denied, invalid, not_found, precondition
from retinue_core.identity import Identity, may_change, may_see
from retinue_core.pages import invalid_page_token, page_key, page_token
from services.version.domain.numbers import LONGEST_NUMBER, is_number

Json = dict[str, Any]

DRAFT = "draft"
"""What callers say for the draft, whatever its number."""

LONGEST_CHANGELOG = 10_000
LONGEST_REASON = 1_000
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
    status_reason: str = ""
    status_changed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """What the author of a draft said of it when it was opened."""

    version: str
    changelog: str
    created_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Page:
    """A page that is asked for, of what comes before a number; `what` tells its token from those of other lists."""

    agent_id: str
    size: int
    before: int
    what: str = ""

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


def check_text(field: str, text: str, longest: int) -> None:
    """Raise INVALID_ARGUMENT for a text that is too long or cannot be stored."""
    if len(text) > longest:
        problem = f"has {len(text)} characters. Keep it to {longest}."
    elif "\0" in text:
        problem = "holds a null byte. Remove it."
    else:
        return
    raise invalid(f"The {field} cannot be kept.", Problem(field, problem))


def check_asked(asked: str) -> None:
    """Raise VERSION_NOT_FOUND for what no version is called."""
    if asked != DRAFT and not is_number(asked):
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
        frozen_etag=head.etag,
        published_at=now,
        created_at=now,
    )


def page(agent_id: str, size: int, token: str, what: str = "") -> Page:
    """Read which page is asked for. Raises INVALID_PAGE_TOKEN."""
    key = page_key(token, 1, agent_id, what)
    if key is None:
        return Page(agent_id, size, NEWEST + 1, what)
    if not key[0].isdecimal() or len(key[0]) > 10 or int(key[0]) > NEWEST:
        raise invalid_page_token("is not one that this service made")
    return Page(agent_id, size, int(key[0]), what)


def next_page(page: Page, last: int) -> str:
    """The token of the page behind the one that ends with a number."""
    return page_token([str(last)], page.agent_id, page.what)


def listed(page: Page, draft: Version | None, frozen: list[Version]) -> tuple[list[Version], str]:
    """The versions of a page, the draft on the first, and the token of the next.

    `frozen` holds one more than fits if there is one.
    """
    first = [draft] if draft is not None and page.first else []
    every = first + frozen
    if len(every) <= page.size:
        return every, ""
    shown = every[: page.size]
    return shown, next_page(page, shown[-1].ordinal or NEWEST)


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
