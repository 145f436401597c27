"""The script of the scripted model: how its turns are read and its placeholders filled.

Owns the form of `modelSettings.script`: a turn is a list of content blocks, or an object with `content`; `delayMs`,
`usage` and `error` stand beside the content or in one of its blocks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from services.worker.core.entries import Block, Text, ToolUse
from services.worker.core.spec import ModelRequest
from services.worker.core.transcript import ToolResult
from services.worker.models.failures import unusable

_PLACEHOLDER = re.compile(r"\{\{\s*(tool\.output|input)((?:\.[^{}\s.]+)*)\s*\}\}")
_EXTRAS = ("delayMs", "usage", "error")


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn, with its placeholders filled. `delay` is in seconds."""

    content: tuple[Block, ...]
    delay: float
    usage: Mapping[str, Any] | None
    error: Mapping[str, Any] | None


def turn_of(request: ModelRequest) -> Turn:
    """The turn that answers a request: the script's n-th for the n-th call. Raises ModelError."""
    script = request.settings.get("script") or []
    if not isinstance(script, list):
        raise unusable("SCRIPT_INVALID", "modelSettings.script must be a list of turns.")
    if request.step > len(script):
        turns = "no turn" if not script else f"{len(script)} turn{'s' if len(script) > 1 else ''}"
        message = f"modelSettings.script has {turns}, and this is model call {request.step}. Add a turn."
        raise unusable("SCRIPT_EXHAUSTED", message)
    blocks, extras = _parts(script[request.step - 1], request.step)
    content = tuple(_block(block, request, index) for index, block in enumerate(blocks))
    error = extras.get("error")
    return Turn(
        content=content,
        delay=float(extras.get("delayMs") or 0) / 1000,
        usage=extras.get("usage"),
        error={"message": error} if isinstance(error, str) else error,
    )


def _parts(turn: Any, step: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Blocks of a turn, and what stands beside them or in one of them."""
    extras: dict[str, Any] = {}
    if isinstance(turn, dict):
        extras.update((key, turn[key]) for key in _EXTRAS if key in turn)
        turn = turn.get("content", [turn])
    if not isinstance(turn, list) or not all(isinstance(block, dict) for block in turn):
        raise unusable("SCRIPT_INVALID", f"Turn {step} of modelSettings.script is not a list of content blocks.")
    for block in turn:
        extras.update((key, block[key]) for key in _EXTRAS if key in block)
    return [block for block in turn if "text" in block or "toolUse" in block], extras


def _block(block: Mapping[str, Any], request: ModelRequest, index: int) -> Block:
    if "toolUse" not in block:
        return Text(_filled_text(str(block["text"]), request))
    use = block["toolUse"]
    if not isinstance(use, dict) or not isinstance(use.get("name"), str):
        raise unusable("SCRIPT_INVALID", f"A toolUse in turn {request.step} of modelSettings.script has no name.")
    value = _filled(use.get("input", {}), request)
    return ToolUse(f"call_{request.step}_{index}", use["name"], orjson.dumps(value).decode())


def _filled(value: Any, request: ModelRequest) -> Any:
    """A value with its placeholders filled; a string that is one placeholder becomes that very value."""
    if isinstance(value, str):
        whole = _PLACEHOLDER.fullmatch(value)
        return _look_up(whole, request) if whole else _filled_text(value, request)
    if isinstance(value, list):
        return [_filled(item, request) for item in value]
    if isinstance(value, dict):
        return {key: _filled(item, request) for key, item in value.items()}
    return value


def _filled_text(text: str, request: ModelRequest) -> str:
    if "{{" not in text:
        return text
    return _PLACEHOLDER.sub(lambda match: _as_text(_look_up(match, request)), text)


def _look_up(match: re.Match[str], request: ModelRequest) -> Any:
    value = request.input if match[1] == "input" else _last_output(request)
    for part in match[2].split(".")[1:]:
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            raise unusable("SCRIPT_INVALID", f"{match[0]} finds nothing: there is no {part!r}.")
    return value


def _last_output(request: ModelRequest) -> Any:
    for index in range(len(request.messages) - 1, -1, -1):
        newest = request.messages[index].content[-1]
        if isinstance(newest, ToolResult):
            return newest.content if newest.is_error else orjson.loads(newest.content)
    raise unusable("SCRIPT_INVALID", "{{tool.output}} finds nothing: no tool was called before.")


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def spoken(content: Sequence[Block]) -> int:
    """Characters that a turn says, tool inputs included."""
    said = 0
    for block in content:
        if isinstance(block, Text):
            said += len(block.text)
        elif isinstance(block, ToolUse):
            said += len(block.input_json)
    return said
