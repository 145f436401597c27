"""What a journal says, as far as the loop is concerned.

Owns the entries that change what comes next, and the blocks of text, thinking and tool use that models speak in.
Entries that change nothing (an execution was accepted, taken up, recovered) are `Noted`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Effect(Enum):
    """How a tool call may be repeated, as docs/execution-lifecycle.md explains it."""

    PURE = "pure"
    IDEMPOTENT = "idempotent"
    PROBEABLE = "probeable"
    IRREVERSIBLE = "irreversible"


class Level(Enum):
    """How serious a log line is."""

    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something failed, as it is stored and shown: a stable code and one sentence for people."""

    code: str
    message: str
    retryable: bool = False
    details: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """What something used. Costs are in millionths of a US dollar; input tokens include the cached ones."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    tool_calls: int = 0
    steps: int = 0
    cost_micros: int = 0
    credits: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    @property
    def tokens(self) -> int:
        """Tokens in and out together, as budgets count them."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class Text:
    """Text for the reader."""

    text: str


@dataclass(frozen=True, slots=True)
class Thinking:
    """Thinking that goes back to the model unchanged; `redacted` holds it instead where the provider hides it."""

    text: str = ""
    signature: str = ""
    redacted: str = ""


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A wish to call a tool. `input_json` are its arguments, exactly as the model said them."""

    id: str
    name: str
    input_json: str


Block = Text | Thinking | ToolUse


@dataclass(frozen=True, slots=True)
class ModelCompleted:
    """A model answered."""

    step: int
    provider: str
    model: str
    content: tuple[Block, ...]
    stop_reason: str
    usage: Usage = Usage()
    request_hash: bytes = b""
    duration_ms: int = 0
    price_version: str = ""


@dataclass(frozen=True, slots=True)
class ToolDispatched:
    """A tool is about to be called."""

    call_id: str
    name: str
    input_json: str
    effect: Effect
    idempotency_key: str
    step: int


@dataclass(frozen=True, slots=True)
class ToolCompleted:
    """A tool answered. `output_json` is the answer."""

    call_id: str
    output_json: str
    duration_ms: int = 0
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True)
class ToolFailed:
    """A tool failed; the model is told and may mend it."""

    call_id: str
    failure: Failure
    duration_ms: int = 0


@dataclass(frozen=True, slots=True)
class ToolUnknown:
    """A tool may or may not have taken effect, and it must not run again to find out."""

    call_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class ExecutionCompleted:
    """The execution ended with an output."""

    output_json: str


@dataclass(frozen=True, slots=True)
class ExecutionFailed:
    """The execution ended with an error."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Logged:
    """Something worth saying; `metadata_json` is a JSON object or empty."""

    level: Level
    message: str
    metadata_json: str = ""


@dataclass(frozen=True, slots=True)
class Noted:
    """Something that happened and changes nothing for the loop; `kind` is its name in the journal."""

    kind: str


Entry = (
    ModelCompleted
    | ToolDispatched
    | ToolCompleted
    | ToolFailed
    | ToolUnknown
    | ExecutionCompleted
    | ExecutionFailed
    | Logged
    | Noted
)
