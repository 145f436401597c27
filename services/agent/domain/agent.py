"""An agent and its life: created, changed, published, reopened, deleted.

Owns the transitions and the numbers that drafts get. It refuses a change by somebody who may not make it, a change
to something that was read before somebody else changed it, and a definition that validation finds wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

import semver

from retinue_core.errors import Problem, RetinueError, conflict, denied, exists, not_found
from retinue_core.identity import Identity, may_change, may_see
from services.agent.domain.known import DEFAULT_MAX_RETRIES, DEFAULT_MAX_STEPS

FIRST_VERSION = "1.0.0"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Spec:
    """What makes an agent run: the part of it that is versioned. `timeout` is in seconds."""

    instructions: str = ""
    model: str = ""
    tools: tuple[str, ...] = ()
    input_schema: Json | None = None
    output_schema: Json | None = None
    max_steps: int = DEFAULT_MAX_STEPS
    timeout: float | None = None
    max_retries: int = DEFAULT_MAX_RETRIES
    model_settings: Json | None = None


@dataclass(frozen=True, slots=True)
class Definition:
    """All that the owner of an agent decides."""

    name: str = ""
    description: str = ""
    spec: Spec = Spec()
    department: str = ""
    project: str = ""
    tags: tuple[str, ...] = ()
    metadata: Json | None = None
    visibility: str = "PRIVATE"
    trigger_mode: str = "MANUAL"
    trigger_config: Json | None = None
    active: bool = True


SPEC_FIELDS = frozenset(field.name for field in fields(Spec))
FIELDS = SPEC_FIELDS | {field.name for field in fields(Definition)} - {"spec"}


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent as it is kept.

    `revision` counts its changes. `draft_version` is empty when there is no draft; `draft_revision` is the revision
    at which the versioned part last changed, and `draft_edited` says whether its author has put work into the draft.
    `latest_version` is the highest number that was ever published, `current_version` the one that runs.
    """

    id: str
    organization_id: str
    owner_id: str
    definition: Definition
    created_at: datetime
    updated_at: datetime
    revision: int = 1
    current_version: str = ""
    latest_version: str = ""
    draft_version: str = FIRST_VERSION
    draft_revision: int = 1
    draft_edited: bool = True
    deleted_at: datetime | None = None

    @property
    def etag(self) -> str:
        """Changes with every change."""
        return f"r{self.revision}"


def check_visible(agent: Agent, who: Identity) -> None:
    """Raise AGENT_NOT_FOUND unless the caller may see the agent."""
    if not may_see(who, agent.organization_id, agent.owner_id, agent.definition.visibility):
        raise not_found("agent", agent.id)


def check_changeable(agent: Agent, who: Identity) -> None:
    """Raise unless the caller may change the agent: AGENT_NOT_FOUND when they may not even see it."""
    check_visible(agent, who)
    if not may_change(who, agent.organization_id, agent.owner_id):
        raise denied(
            "Only its owner or an administrator may change this agent.",
            actions=("Ask the owner of the agent or an administrator of your organisation.",),
        )


def merged(definition: Definition, changes: Mapping[str, Any]) -> Definition:
    """The definition with some of `FIELDS` replaced."""
    spec = {name: value for name, value in changes.items() if name in SPEC_FIELDS}
    rest = {name: value for name, value in changes.items() if name not in SPEC_FIELDS}
    return replace(definition, spec=replace(definition.spec, **spec), **rest)


def updated(agent: Agent, definition: Definition, etag: str, now: datetime) -> Agent:
    """The agent with a new definition, which is taken to be valid; a changed spec edits the draft, or opens one.

    A definition that changes nothing leaves the agent, and its etag, as they are. Raises VERSION_CONFLICT when the
    agent is no longer at `etag` (which is not checked when it is empty).
    """
    if etag and etag != agent.etag:
        raise conflict(
            "VERSION_CONFLICT",
            "Somebody else changed this agent since you read it.",
            Problem("etag", f"is {etag!r}, and the agent is at {agent.etag!r}"),
            actions=("Read the agent again, apply your change to what you read, and send its etag.",),
        )
    if definition == agent.definition:
        return agent
    revision = agent.revision + 1
    changed = replace(agent, definition=definition, revision=revision, updated_at=now)
    if definition.spec == agent.definition.spec:
        return changed
    number = agent.draft_version or next_patch(agent.latest_version)
    return replace(changed, draft_version=number, draft_revision=revision, draft_edited=True)


def published(agent: Agent, version: str, frozen_etag: str, now: datetime) -> Agent:
    """The agent after a version became current; told twice, or late, it changes nothing.

    With `frozen_etag` the version came from the draft: the draft is gone, unless its content changed since, and then
    it goes on under the next number. Without, an older version was made current again.
    """
    latest = highest(agent.latest_version, version)
    news = latest != agent.latest_version
    current = version if news or not frozen_etag else agent.current_version
    changed = replace(agent, current_version=current, latest_version=latest)
    if frozen_etag and agent.draft_version and agent.draft_revision <= revision_of(frozen_etag):
        changed = replace(changed, draft_version="", draft_edited=False)
    elif agent.draft_version and highest(agent.draft_version, latest) == latest:
        changed = replace(changed, draft_version=next_patch(latest))
    if changed == agent:
        return agent
    return replace(changed, revision=agent.revision + 1, updated_at=now)


def draft_opened(agent: Agent, version: str, spec: Spec, now: datetime) -> Agent:
    """The agent with a draft of given content; opening the same draft twice changes nothing.

    Raises VERSION_CONFLICT when a draft with edits is in the way, or when the number is not above all published ones.
    """
    same = spec == agent.definition.spec
    if agent.draft_version == version and same:
        return agent
    if agent.draft_version and agent.draft_edited and not same:
        raise draft_in_the_way(agent.draft_version)
    if agent.latest_version and highest(version, agent.latest_version) == agent.latest_version:
        raise number_taken(version, agent.latest_version)
    revision = agent.revision + 1
    definition = replace(agent.definition, spec=spec)
    return replace(
        agent,
        definition=definition,
        draft_version=version,
        draft_revision=revision,
        draft_edited=False,
        revision=revision,
        updated_at=now,
    )


def deleted(agent: Agent, now: datetime) -> Agent:
    """The agent after its deletion; what is kept of it is for those who explain its executions."""
    return replace(agent, deleted_at=now, revision=agent.revision + 1, updated_at=now)


def next_patch(version: str) -> str:
    """The number that a draft gets after the highest published one."""
    return str(semver.Version.parse(version).bump_patch()) if version else FIRST_VERSION


def highest(one: str, other: str) -> str:
    """The higher of two version numbers; an empty one is lower than any."""
    if not one or not other:
        return one or other
    return max(one, other, key=semver.Version.parse)


def revision_of(etag: str) -> int:
    """The revision that an etag stands for; 0 for what never was one."""
    digits = etag.removeprefix("r")
    return int(digits) if digits.isdecimal() and len(digits) < 20 else 0


def duplicate_name(name: str) -> RetinueError:
    """The error for a name that another agent of the organisation has."""
    return exists(
        "DUPLICATE_AGENT_NAME",
        f"Your organisation has an agent named {name!r} already; names are compared without case.",
        Problem("name", "is taken by another agent of your organisation"),
        actions=("Choose another name, or rename or delete the agent that has it.",),
    )


def draft_in_the_way(number: str) -> RetinueError:
    """The error for a draft that must not be overwritten."""
    return conflict(
        "VERSION_CONFLICT",
        f"The agent has a draft, {number}, with edits that would be lost.",
        Problem("version", f"a draft with edits, {number}, is open"),
        actions=(f"Publish {number} first, or set its fields back to those of a published version.",),
    )


def number_taken(version: str, latest: str) -> RetinueError:
    """The error for a number that is not above all published ones."""
    return conflict(
        "VERSION_CONFLICT",
        f"A new version must be above {latest}, the highest one.",
        Problem("version", f"{version} is not above {latest}"),
        actions=(f"Leave the number out, or choose one above {latest}.",),
    )
