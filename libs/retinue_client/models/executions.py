"""Executions and what they do, as the suite answers with them.

Owns the shapes of an execution, its steps, its log and its events.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from retinue_client.models.agents import Json

Status = Literal["PENDING", "RUNNING", "WAITING", "PAUSED", "COMPLETED", "FAILED", "CANCELLED"]
Priority = Literal["LOW", "MEDIUM", "HIGH", "URGENT"]
StepKind = Literal["MODEL", "TOOL"]
StepStatus = Literal["RUNNING", "COMPLETED", "FAILED", "UNKNOWN"]
Level = Literal["DEBUG", "INFO", "WARN", "ERROR"]

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
