"""The Messages API as data: requests from the loop's form, answers back into it.

Owns the conversions, which settings reach the wire, and where prompt caching begins and ends. It knows no client:
events come in as whatever has their attributes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from services.worker.core.entries import Block, Text, Thinking, ToolUse
from services.worker.core.spec import ModelRequest
from services.worker.core.transcript import Message, ToolResult
from services.worker.models.contract import Delta, ModelError
from services.worker.models.failures import CUT_OFF, MALFORMED, model_error

DEFAULT_MAX_TOKENS = 8192

_MARKED = ("text", "tool_use", "tool_result")
_CACHE = {"type": "ephemeral"}
_SAMPLING = {"temperature": "temperature", "topP": "top_p", "topK": "top_k"}
_SETTINGS = {
    "stopSequences": "stop_sequences",
    "toolChoice": "tool_choice",
    "thinking": "thinking",
    "serviceTier": "service_tier",
}
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")


def max_tokens(settings: Mapping[str, Any]) -> int:
    """How many tokens an answer may have."""
    return int(settings.get("maxTokens", DEFAULT_MAX_TOKENS))


def to_params(request: ModelRequest, model: str) -> dict[str, Any]:
    """A request as the API takes it. Cached are the tools, the system prompt and the conversation so far."""
    params: dict[str, Any] = {
        "model": model,
        "max_tokens": max_tokens(request.settings),
        "messages": _messages(request),
    }
    tools = [
        {"name": t.name, "description": t.description, "input_schema": dict(t.input_schema)} for t in request.tools
    ]
    if request.system:
        params["system"] = [{"type": "text", "text": request.system, "cache_control": _CACHE}]
    elif tools:
        tools[-1]["cache_control"] = _CACHE
    if tools:
        params["tools"] = tools
    for setting, name in _SETTINGS.items():
        if setting in request.settings:
            params[name] = _snake(request.settings[setting])
    # Newer models refuse sampling settings and the SDK no longer names them; older models still take them.
    sampling = {name: request.settings[setting] for setting, name in _SAMPLING.items() if setting in request.settings}
    if sampling:
        params["extra_body"] = sampling
    if "effort" in request.settings:
        params["output_config"] = {"effort": request.settings["effort"]}
    return params


def _messages(request: ModelRequest) -> list[dict[str, Any]]:
    contents = [(message.role, content) for message in request.messages if (content := _content(message))]
    newest = contents[-1][1][-1]
    if newest["type"] in _MARKED:
        # The newest block carries the mark, so that the next call reads all that came before from the cache.
        newest["cache_control"] = _CACHE
    return [{"role": role, "content": content} for role, content in contents]


def _content(message: Message) -> list[dict[str, Any]]:
    return [converted for block in message.content if (converted := _to_block(block))]


def _to_block(block: Block | ToolResult) -> dict[str, Any] | None:
    """A block as the API takes it; None for what it refuses: empty text, thinking that another provider signed."""
    if isinstance(block, Text):
        return {"type": "text", "text": block.text} if block.text.strip() else None
    if isinstance(block, ToolUse):
        return {"type": "tool_use", "id": block.id, "name": block.name, "input": _input(block.input_json)}
    if isinstance(block, ToolResult):
        result = {"type": "tool_result", "tool_use_id": block.call_id, "content": _result_text(block)}
        return {**result, "is_error": True} if block.is_error else result
    if block.redacted:
        return {"type": "redacted_thinking", "data": block.redacted}
    if block.signature:
        return {"type": "thinking", "thinking": block.text, "signature": block.signature}
    return None


def _input(text: str) -> Any:
    """Arguments as an object. What was not JSON was told to the model as an error; here it is only history."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {"unreadable": text}
    return value if isinstance(value, dict) else {"unreadable": text}


def _result_text(result: ToolResult) -> str:
    if not result.is_error and result.content.startswith('"'):
        return str(orjson.loads(result.content))
    return result.content


def _snake(value: Any) -> Any:
    """The API's spelling of an object's member names."""
    if isinstance(value, dict):
        return {_HUMP.sub("_", key).lower(): _snake(item) for key, item in value.items()}
    return value


@dataclass
class _Open:
    """A block while it is being said."""

    kind: str
    first: Any
    parts: list[str] = field(default_factory=list)
    signature: str = ""


@dataclass(frozen=True, slots=True)
class Counted:
    """Tokens as the API counts them: `input` leaves out the cached ones."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0


class Answer:
    """An answer while it arrives, event by event."""

    def __init__(self) -> None:
        self.model = ""
        self.stop_reason = ""
        self.counted = Counted()
        self._blocks: dict[int, _Open] = {}
        self._done: dict[int, Block] = {}
        self._stopped = False

    def take(self, event: Any) -> Delta | None:
        """Take in an event. Returns what can be watched of it. Raises ModelError for what cannot be read."""
        try:
            return self._take(event)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise _malformed(f"{type(error).__name__} in an event of type {getattr(event, 'type', None)!r}") from None

    def content(self) -> tuple[Block, ...]:
        """What was said. Raises ModelError when it broke off."""
        if not self._stopped or self._blocks or not self.stop_reason:
            raise model_error(kind=CUT_OFF)
        return tuple(self._done[index] for index in sorted(self._done))

    def _take(self, event: Any) -> Delta | None:
        if event.type == "content_block_delta":
            return self._delta(self._blocks[event.index], event.delta)
        if event.type == "content_block_start":
            self._blocks[event.index] = _Open(event.content_block.type, event.content_block)
        elif event.type == "content_block_stop":
            closed = _closed(self._blocks.pop(event.index))
            if closed is not None:
                self._done[event.index] = closed
        elif event.type == "message_start":
            self.model = event.message.model
            self._count(event.message.usage)
        elif event.type == "message_delta":
            self.stop_reason = event.delta.stop_reason or self.stop_reason
            self._count(event.usage)
        elif event.type == "message_stop":
            self._stopped = True
        return None

    def _delta(self, block: _Open, delta: Any) -> Delta | None:
        if delta.type == "text_delta":
            block.parts.append(delta.text)
            return Delta(text=delta.text)
        if delta.type == "thinking_delta":
            block.parts.append(delta.thinking)
            return Delta(thinking=delta.thinking)
        if delta.type == "input_json_delta":
            block.parts.append(delta.partial_json)
        elif delta.type == "signature_delta":
            block.signature = delta.signature
        return None

    def _count(self, usage: Any) -> None:
        """Counts are cumulative, and later ones may leave out what has not changed."""
        before = self.counted
        creation = getattr(usage, "cache_creation", None)
        self.counted = Counted(
            _or(getattr(usage, "input_tokens", None), before.input),
            _or(getattr(usage, "output_tokens", None), before.output),
            _or(getattr(usage, "cache_read_input_tokens", None), before.cache_read),
            _or(getattr(usage, "cache_creation_input_tokens", None), before.cache_write),
            _or(getattr(creation, "ephemeral_1h_input_tokens", None), before.cache_write_1h),
        )


def _closed(block: _Open) -> Block | None:
    said = "".join(block.parts)
    if block.kind == "text":
        return Text(block.first.text + said)
    if block.kind == "tool_use":
        return ToolUse(block.first.id, block.first.name, said or orjson.dumps(block.first.input or {}).decode())
    if block.kind == "thinking":
        return Thinking(block.first.thinking + said, block.signature or block.first.signature)
    if block.kind == "redacted_thinking":
        return Thinking(redacted=block.first.data)
    return None


def _or(value: int | None, otherwise: int) -> int:
    return otherwise if value is None else int(value)


def _malformed(what: str) -> ModelError:
    return model_error(kind=MALFORMED, message=what)
