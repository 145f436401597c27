"""What the suite answers with, as plain data.

Owns the shapes: frozen, with the names of the protos, texts where the protos have enums, seconds where they have
durations. Nothing here calls anybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Json = Any
"""Whatever JSON can say."""

Visibility = Literal["PRIVATE", "TEAM", "ORGANIZATION", "PUBLIC"]
TriggerMode = Literal["MANUAL", "EVENT", "SCHEDULED"]
VersionStatus = Literal["DRAFT", "PUBLISHED", "DEPRECATED", "ARCHIVED"]
Status = Literal["PENDING", "RUNNING", "WAITING", "PAUSED", "COMPLETED", "FAILED", "CANCELLED"]
Priority = Literal["LOW", "MEDIUM", "HIGH", "URGENT"]
StepKind = Literal["MODEL", "TOOL"]
StepStatus = Literal["RUNNING", "COMPLETED", "FAILED", "UNKNOWN"]
Level = Literal["DEBUG", "INFO", "WARN", "ERROR"]
Role = Literal["ADMIN", "MEMBER", "VIEWER"]
UserKind = Literal["PERSON", "SERVICE_ACCOUNT"]
GroupBy = Literal["AGENT", "USER", "PROJECT"]

ENDED: frozenset[str] = frozenset({"COMPLETED", "FAILED", "CANCELLED"})
"""The states after which nothing more happens to an execution."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What was used. `cost_micros` is in millionths of a US dollar."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    tool_calls: int = 0
    steps: int = 0
    cost_micros: int = 0
    credits: int = 0

    @property
    def cost(self) -> float:
        """The cost in US dollars."""
        return self.cost_micros / 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why something failed."""

    code: str
    message: str
    retryable: bool = False
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSpec:
    """What makes an agent run. `timeout` is in seconds."""

    instructions: str
    model: str
    tools: tuple[str, ...]
    input_schema: Mapping[str, Json] | None
    output_schema: Mapping[str, Json] | None
    max_steps: int
    timeout: float | None
    max_retries: int
    model_settings: Mapping[str, Json] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentVersion:
    """A version of an agent; a published one never changes."""

    id: str
    agent_id: str
    agent_name: str
    version: str
    status: VersionStatus
    current: bool
    changelog: str
    digest: str
    spec: AgentSpec
    created_by: str
    created_at: datetime | None
    published_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One run of an agent."""

    id: str
    organization_id: str
    agent_id: str
    agent_version: str
    status: Status
    input: Json
    output: Json
    error: Failure | None
    usage: Usage
    priority: Priority
    attempt: int
    conversation_id: str
    project_id: str
    trace_id: str
    created_by: str
    created_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    metadata: Mapping[str, Json] | None
    last_sequence: int
    waiting_for: str
    deadline: datetime | None

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to it."""
        return self.status in ENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One model call or tool call. `action` is the model or the tool, `duration` is in seconds."""

    number: int
    kind: StepKind
    status: StepStatus
    action: str
    reasoning: str
    input: Json
    output: Json
    error: Failure | None
    usage: Usage
    duration: float | None
    started_at: datetime | None
    completed_at: datetime | None
    sequence: int
    call_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One line of an execution's log."""

    sequence: int
    level: Level
    message: str
    metadata: Mapping[str, Json] | None
    time: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A piece of what a model is saying; `step` is its model call, counted from 1."""

    step: int
    text: str
    thinking: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened to an execution.

    `event` is `start`, `chunk`, `step`, `tool`, `log`, `approval`, `done` or `error`; `sequence` counts 1, 2, 3 … and
    is 0 for a chunk, which is never stored. With it come: `execution` (start, done, error), `chunk`, `step` (step,
    tool), `log`, `error` (error).
    """

    sequence: int
    event: str
    kind: str
    execution_id: str
    time: datetime | None
    execution: Execution | None = None
    chunk: Chunk | None = None
    step: Step | None = None
    log: LogEntry | None = None
    error: Failure | None = None

    @property
    def ends(self) -> bool:
        """Whether it is the last one."""
        return self.event in ("done", "error")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong with the definition of an agent, and what would be right."""

    field: str
    message: str
    suggestion: str


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person or a machine that acts in one organisation."""

    id: str
    organization_id: str
    email: str
    name: str
    kind: UserKind
    role: Role
    created_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Organization:
    """A tenant."""

    id: str
    name: str
    plan: str
    created_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who a token stands for, and what it allows."""

    user: User
    organization: Organization
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An API token without its secret; `prefix` is how that begins."""

    id: str
    user_id: str
    name: str
    scopes: tuple[str, ...]
    prefix: str
    expires_at: datetime | None
    created_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """A token that was just made, with its secret, which is never shown again."""

    token: Token
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """A limit, and what is used and reserved of it."""

    id: str
    level: str
    subject_id: str
    metric: str
    window: str
    limit: int | None
    source: str
    used: int
    reserved: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageEntry:
    """What one agent, user or project used, or all together where `key` is empty."""

    key: str
    executions: int
    input_tokens: int
    output_tokens: int
    cost_micros: int
    credits: int
    steps: int
    tool_calls: int

    @property
    def cost(self) -> float:
        """The cost in US dollars."""
        return self.cost_micros / 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageReport:
    """What the organisation used between two moments; `entries` are empty when it is not split."""

    start: datetime | None
    end: datetime | None
    total: UsageEntry
    entries: tuple[UsageEntry, ...]
