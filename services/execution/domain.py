"""What an execution is and what may become of it: states, transitions, the fold of a journal. Pure.

Owns the state machine of docs/states.md. It refuses every transition that is not in it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from retinue_core.errors import Problem, invalid, precondition


class Status(StrEnum):
    """Where an execution is in its life. The names are those of the proto and of the table."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    WAITING = "WAITING"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def ended(self) -> bool:
        """Whether nothing more happens by itself; a failed one may be retried by somebody."""
        return self in _ENDED


_ENDED = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})

TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.RUNNING, Status.PAUSED, Status.FAILED, Status.CANCELLED}),
    Status.RUNNING: frozenset(
        {Status.PENDING, Status.WAITING, Status.PAUSED, Status.COMPLETED, Status.FAILED, Status.CANCELLED}
    ),
    Status.WAITING: frozenset({Status.PENDING, Status.PAUSED, Status.FAILED, Status.CANCELLED}),
    Status.PAUSED: frozenset({Status.PENDING, Status.FAILED, Status.CANCELLED}),
    Status.COMPLETED: frozenset(),
    Status.FAILED: frozenset({Status.PENDING}),
    Status.CANCELLED: frozenset(),
}


class Kind(StrEnum):
    """Kinds of journal entries, as they are stored."""

    CREATED = "execution.created"
    STARTED = "execution.started"
    COMPLETED = "execution.completed"
    FAILED = "execution.failed"
    CANCELLED = "execution.cancelled"
    RECOVERED = "execution.recovered"
    PAUSED = "execution.paused"
    RESUMED = "execution.resumed"
    RETRIED = "execution.retried"
    MODEL_COMPLETED = "model.completed"
    TOOL_DISPATCHED = "tool.dispatched"
    TOOL_COMPLETED = "tool.completed"
    TOOL_FAILED = "tool.failed"
    TOOL_UNKNOWN = "tool.unknown"
    LOG = "log.recorded"


OF_A_WORKER = frozenset(
    {
        Kind.COMPLETED,
        Kind.FAILED,
        Kind.MODEL_COMPLETED,
        Kind.TOOL_DISPATCHED,
        Kind.TOOL_COMPLETED,
        Kind.TOOL_FAILED,
        Kind.TOOL_UNKNOWN,
        Kind.LOG,
    }
)
"""Entries that a worker may write; the others are execution's own."""

STATUS_AFTER: dict[Kind, Status] = {
    Kind.CREATED: Status.PENDING,
    Kind.STARTED: Status.RUNNING,
    Kind.RECOVERED: Status.PENDING,
    Kind.PAUSED: Status.PAUSED,
    Kind.RESUMED: Status.PENDING,
    Kind.RETRIED: Status.PENDING,
    Kind.COMPLETED: Status.COMPLETED,
    Kind.FAILED: Status.FAILED,
    Kind.CANCELLED: Status.CANCELLED,
}

PRIORITIES = {"LOW": 1, "MEDIUM": 2, "HIGH": 3, "URGENT": 4}
PRIORITY_NAMES = {value: name for name, value in PRIORITIES.items()}


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used. Costs are in millionths of a US dollar."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    tool_calls: int = 0
    steps: int = 0
    cost_micros: int = 0
    credits: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.tool_calls + other.tool_calls,
            self.steps + other.steps,
            self.cost_micros + other.cost_micros,
            self.credits + other.credits,
        )


NOTHING = Usage()


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an execution ended without an output."""

    code: str
    message: str
    retryable: bool = False
    details: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One run of an agent, as its row says."""

    id: str
    organization_id: str
    agent_id: str
    agent_name: str
    agent_version: str
    spec_digest: bytes
    status: Status
    input_json: str
    created_by: str
    created_at: datetime
    deadline_at: datetime
    priority: int = 2
    pool: str = "default"
    attempt: int = 0
    fence: int = 0
    session_id: str | None = None
    last_sequence: int = 0
    output_json: str | None = None
    error: Failure | None = None
    usage: Usage = NOTHING
    conversation_id: str = ""
    project_id: str = ""
    traceparent: str = ""
    metadata_json: str = ""
    waiting_for: str = ""
    idempotency_key: str = ""
    fingerprint: bytes = b""
    started_at: datetime | None = None
    completed_at: datetime | None = None

    @property
    def reservation_id(self) -> str:
        """Name of the quota reservation that the present assignment runs on; no other replica makes the same one."""
        return f"{self.id}:{self.fence}:{self.session_id}"


@dataclass(frozen=True, slots=True)
class Change:
    """What journal entries add up to: the part of an execution's row that they change."""

    status: Status | None = None
    usage: Usage = NOTHING
    output_json: str | None = None
    error: Failure | None = None

    def __add__(self, later: Change) -> Change:
        return Change(
            later.status or self.status,
            self.usage + later.usage,
            later.output_json if later.output_json is not None else self.output_json,
            later.error or self.error,
        )


def fold(execution: Execution, change: Change, last_sequence: int, recorded_at: datetime) -> Execution:
    """Return the execution after a change that was committed at `recorded_at`. The store's update says the same."""
    status = change.status or execution.status
    return replace(
        execution,
        status=status,
        usage=execution.usage + change.usage,
        output_json=change.output_json if change.output_json is not None else execution.output_json,
        error=change.error or execution.error,
        last_sequence=last_sequence,
        completed_at=recorded_at if status.ended else None,
    )


def check_transition(before: Status, after: Status) -> None:
    """Raise FAILED_PRECONDITION unless the state machine has this transition."""
    if after not in TRANSITIONS[before]:
        raise precondition(
            "INVALID_TRANSITION",
            f"An execution that is {before} cannot become {after}.",
            details={"status": before.value},
            actions=("Read the execution to see where it stands.",),
        )


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """How long an execution may take, in seconds."""

    inline_default: float = 30.0
    inline_ceiling: float = 60.0
    queued_default: float = 300.0
    ceiling: float = 86_400.0


def time_allowed(limits: TimeLimits, asked: float, of_agent: float, *, inline: bool) -> float:
    """Seconds an execution may take: what was asked for, else what its agent says, else the default.

    Inline ones end at their ceiling at the latest. Raises INVALID_ARGUMENT for what was asked beyond a limit.
    """
    ceiling = limits.inline_ceiling if inline else limits.ceiling
    if asked < 0 or asked > ceiling:
        raise invalid(
            "The timeout is out of range.",
            Problem("timeout", f"must be above 0 and at most {ceiling:g}s"),
            actions=("Leave it out to use the agent's timeout.",),
        )
    default = limits.inline_default if inline else limits.queued_default
    return min(asked or of_agent or default, ceiling)


def worker_lost(most: int) -> Failure:
    """Why an execution is given up that has lost as many workers as it may: it must not take down one after another."""
    return Failure("WORKER_LOST", f"Its worker was lost {most} times.")


TIMED_OUT = Failure("EXECUTION_TIMEOUT", "The execution took longer than its timeout.", retryable=True)


def deadline(created_at: datetime, seconds: float) -> datetime:
    """When an execution is given up."""
    return created_at + timedelta(seconds=seconds)
