"""The scripted model: it says what its script says, without a network.

Owns how a script is spoken: in pieces over its delay, with the usage it names or an estimate from its length, and
with the errors it names, as often as it says. It costs nothing unless the script says otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from typing import Any

from services.worker.core.entries import Failure, Text, ToolUse, Usage
from services.worker.core.spec import ModelRequest
from services.worker.models.contract import Bound, Delta, ModelError, Result
from services.worker.models.failures import model_error
from services.worker.models.script import Turn, spoken, turn_of

NAME = "scripted"

_BYTES_PER_TOKEN = 4
_PIECE = 0.02  # seconds between the pieces of a delayed text
_MOST_PIECES = 200
_ALWAYS = 1_000_000
_USAGE = {
    "inputTokens": "input_tokens",
    "outputTokens": "output_tokens",
    "cacheReadTokens": "cache_read_tokens",
    "cacheWriteTokens": "cache_write_tokens",
    "costMicros": "cost_micros",
    "credits": "credits",
}


class Scripted:
    """The provider. `sleep` waits for some seconds."""

    name = NAME

    def __init__(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._sleep = sleep

    def bound(self, request: ModelRequest) -> Bound:
        """Exactly what the turn will use."""
        try:
            usage = _usage(request, turn_of(request))
        except ModelError:
            return Bound(0, 0)
        return Bound(usage.tokens, usage.cost_micros)

    async def stream(self, request: ModelRequest, attempt: int) -> AsyncGenerator[Delta | Result, None]:
        """Speak the turn of this call."""
        turn = turn_of(request)
        if turn.error is not None and attempt <= int(turn.error.get("times", _ALWAYS)):
            await self._pause(turn.delay)
            raise _error(turn.error)
        pieces = list(_pieces(turn))
        for piece in pieces:
            await self._pause(turn.delay / len(pieces))
            yield Delta(text=piece)
        if not pieces:
            await self._pause(turn.delay)
        wishes = any(isinstance(block, ToolUse) for block in turn.content)
        yield Result(NAME, turn.content, "tool_use" if wishes else "end_turn", _usage(request, turn))

    async def _pause(self, seconds: float) -> None:
        if seconds > 0:
            await self._sleep(seconds)


def _pieces(turn: Turn) -> Iterator[str]:
    """The text of a turn, cut so that its delay passes in pieces."""
    text = "".join(block.text for block in turn.content if isinstance(block, Text))
    if not text:
        return
    count = max(1, min(len(text), _MOST_PIECES, int(turn.delay / _PIECE)))
    for index in range(count):
        yield text[len(text) * index // count : len(text) * (index + 1) // count]


def _usage(request: ModelRequest, turn: Turn) -> Usage:
    said = {name: int(turn.usage[key]) for key, name in _USAGE.items() if key in turn.usage} if turn.usage else {}
    said.setdefault("input_tokens", request.measured_tokens + -(-request.unmeasured_bytes // _BYTES_PER_TOKEN))
    said.setdefault("output_tokens", -(-spoken(turn.content) // _BYTES_PER_TOKEN))
    return Usage(**said)


def _error(error: Any) -> ModelError:
    retry_after = error.get("retryAfter")
    if "code" in error:
        failure = Failure(str(error["code"]), str(error.get("message", "")), bool(error.get("retryable")))
        return ModelError(failure)
    return model_error(
        status=int(error.get("status", 0)),
        kind=str(error.get("type", "")),
        message=str(error.get("message", "The script says so.")),
        retry_after=None if retry_after is None else float(retry_after),
    )
