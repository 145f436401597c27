"""What a model provider is.

Owns the contract between the runner and every provider: deltas while the model speaks, then one result; and how
a provider says beforehand what a call can cost at most.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from services.worker.core.entries import Block, Failure, Usage
from services.worker.core.spec import ModelRequest


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of what a model is saying. It is for watching only."""

    text: str = ""
    thinking: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What a model said, whole. `usage` has tokens and cost; `model` is the name the provider answered with."""

    model: str
    content: tuple[Block, ...]
    stop_reason: str
    usage: Usage
    price_version: str = ""


@dataclass(frozen=True, slots=True)
class Bound:
    """The most that a call can use: tokens in and out together, and millionths of a US dollar."""

    tokens: int
    cost_micros: int


class ModelError(Exception):
    """A call that gave no result.

    `retry_after` is in seconds, where the provider asked for a pause; `usage` is what the call cost all the same.
    """

    def __init__(self, failure: Failure, *, retry_after: float | None = None) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.retry_after = retry_after
        self.usage = Usage()


class Provider(Protocol):
    """A provider of models."""

    @property
    def name(self) -> str:
        """Its name, as telemetry and the journal say it."""

    def bound(self, request: ModelRequest) -> Bound:
        """The most that this call can use."""

    def stream(self, request: ModelRequest, attempt: int) -> AsyncGenerator[Delta | Result, None]:
        """Ask the model. Yields deltas, then one Result as the last item. Raises ModelError.

        `attempt` counts the tries of this call from 1.
        """
