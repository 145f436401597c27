"""Whether the script of the scripted model is well formed.

Owns the shape of `modelSettings.script`: a list of turns, each a list of content blocks, or an object that holds the
blocks under `content`, or is the only block; `delayMs`, `usage` and `error` stand beside the content or in a block.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from retinue_core.free_json import path
from services.agent.domain.findings import Finding, closest
from services.agent.domain.known import MOST_TURNS

_BLOCK = ("text", "toolUse")
_EXTRAS = ("delayMs", "usage", "error")
_TURN = ("content", *_EXTRAS)
_EXAMPLE = 'A turn looks like [{"text": "…"}] or [{"toolUse": {"name": "calculator", "input": {…}}}].'


def script_findings(field: str, script: Any) -> Iterator[Finding]:
    """What is wrong with a script."""
    if not isinstance(script, list):
        yield Finding(field, "is not a list of turns", _EXAMPLE)
        return
    if len(script) > MOST_TURNS:
        yield Finding(field, f"has {len(script)} turns", f"Keep it to {MOST_TURNS} turns.")
        return
    for index, turn in enumerate(script):
        yield from _turn(path(field, [index]), turn)


def _turn(field: str, turn: Any) -> Iterator[Finding]:
    if isinstance(turn, list):
        yield from _blocks(field, turn)
    elif isinstance(turn, dict):
        yield from _object_turn(field, turn)
    else:
        yield Finding(field, "is neither a list of blocks nor an object", _EXAMPLE)


def _object_turn(field: str, turn: dict[str, Any]) -> Iterator[Finding]:
    if "content" not in turn:
        yield from _block(field, turn)
        return
    yield from _unknown(field, turn, _TURN)
    yield from _extras(field, turn)
    yield from _blocks(f"{field}.content", turn["content"])


def _blocks(field: str, blocks: Any) -> Iterator[Finding]:
    if not isinstance(blocks, list):
        yield Finding(field, "is not a list of blocks", _EXAMPLE)
        return
    for index, block in enumerate(blocks):
        yield from _block(path(field, [index]), block)


def _block(field: str, block: Any) -> Iterator[Finding]:
    if not isinstance(block, dict):
        yield Finding(field, "is not an object", _EXAMPLE)
        return
    yield from _unknown(field, block, (*_BLOCK, *_EXTRAS))
    yield from _extras(field, block)
    if "text" in block and "toolUse" in block:
        yield Finding(field, "is both a text and a tool use", "Split it into two blocks.")
    elif not block:
        yield Finding(field, "is empty", _EXAMPLE)
    if not isinstance(block.get("text", ""), str):
        yield Finding(f"{field}.text", "is not a string", 'Write {"text": "…"}.')
    if "toolUse" in block:
        yield from _tool_use(f"{field}.toolUse", block["toolUse"])


def _tool_use(field: str, use: Any) -> Iterator[Finding]:
    example = 'Write {"name": "calculator", "input": {…}}.'
    if not isinstance(use, dict):
        yield Finding(field, "is not an object", example)
        return
    yield from _unknown(field, use, ("name", "input"))
    if not isinstance(use.get("name"), str) or not use["name"]:
        yield Finding(f"{field}.name", "is not the name of a tool", example)
    if not isinstance(use.get("input", {}), dict):
        yield Finding(f"{field}.input", "is not an object", example)


def _extras(field: str, holder: dict[str, Any]) -> Iterator[Finding]:
    if not _is_amount(holder.get("delayMs", 0)):
        yield Finding(f"{field}.delayMs", "is not a number of milliseconds", "Write a number from 0 up.")
    usage = holder.get("usage", {})
    if not isinstance(usage, dict) or not all(_is_amount(value) for value in usage.values()):
        yield Finding(f"{field}.usage", "is not an object of numbers", 'Write {"inputTokens": 10, "outputTokens": 5}.')
    if not isinstance(holder.get("error", ""), str | dict):
        yield Finding(f"{field}.error", "is neither a string nor an object", 'Write {"code": "…", "message": "…"}.')


def _unknown(field: str, holder: dict[str, Any], known: tuple[str, ...]) -> Iterator[Finding]:
    for key in holder:
        if key not in known:
            yield Finding(path(field, [key]), "is not known", closest(key, known, "Use " + ", ".join(known) + "."))


def _is_amount(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
