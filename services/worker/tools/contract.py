"""What a tool is.

Owns the contract between the runner and every tool: what a tool says about itself, what it is given, how it answers
and how it fails. A tool decides for itself, by its input, how a call may be repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from services.worker.core.entries import Effect, Failure
from services.worker.egress.client import Egress


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a call is given besides its input.

    `idempotency_key` is the same whenever the call is repeated. `seconds` is how long the call may take.
    """

    execution_id: str
    organization_id: str
    idempotency_key: str
    seconds: float
    egress: Egress


class ToolError(Exception):
    """A call that failed. With `unknown` it may have taken effect all the same."""

    def __init__(self, code: str, message: str, *, retryable: bool = False, unknown: bool = False) -> None:
        super().__init__(message)
        self.failure = Failure(code, message, retryable)
        self.unknown = unknown


class Tool(Protocol):
    """A tool. `timeout` is in seconds, `output_limit` in bytes of its answer as JSON."""

    @property
    def name(self) -> str:
        """The name that models call it by."""

    @property
    def description(self) -> str:
        """What it does, in words for the model."""

    @property
    def input_schema(self) -> Mapping[str, Any]:
        """JSON Schema of its input."""

    @property
    def timeout(self) -> float:
        """Seconds that a call may take."""

    @property
    def output_limit(self) -> int:
        """Bytes that its answer may have as JSON."""

    def effect(self, value: Any) -> Effect:
        """Say how a call with this input may be repeated."""

    async def call(self, context: ToolContext, value: Any) -> Any:
        """Do it. Returns what can be said in JSON (decimals included); raises ToolError."""


@runtime_checkable
class Probing(Protocol):
    """A tool that can be asked afterwards whether a call took effect."""

    async def probe(self, context: ToolContext, value: Any) -> Any | None:
        """The answer of the call that took effect, or None when it did not. Raises ToolError when it cannot tell."""
