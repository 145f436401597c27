"""Agents on the scripted model, as tests define them.

Owns the shape of a definition and of a script's turns.
"""

from __future__ import annotations

import uuid
from typing import Any

Turn = dict[str, Any]


def scripted(*turns: Turn, **fields: Any) -> dict[str, Any]:
    """An agent that says its turns; `fields` are written as the API writes them."""
    named = {"name": f"Agent {uuid.uuid4()}", "model": "scripted", "visibility": "ORGANIZATION"}
    return {**named, "modelSettings": {"script": list(turns)}, **fields}


def say(text: str, **extras: Any) -> Turn:
    """A turn that says something; `extras` are `delayMs`, `usage` and `error`."""
    return {"content": [{"text": text}], **extras}


def use(tool: str, arguments: dict[str, Any], text: str = "", **extras: Any) -> Turn:
    """A turn that calls a tool."""
    spoken = [{"text": text}] if text else []
    return {"content": [*spoken, {"toolUse": {"name": tool, "input": arguments}}], **extras}


def both(*uses: tuple[str, dict[str, Any]], **extras: Any) -> Turn:
    """A turn that calls several tools at once."""
    return {"content": [{"toolUse": {"name": tool, "input": given}} for tool, given in uses], **extras}


def adder(**fields: Any) -> dict[str, Any]:
    """The agent of the tour: it adds two numbers with the calculator and says the sum."""
    sum_up = use("calculator", {"expression": "{{input.a}} + {{input.b}}"}, "I need a sum.")
    return scripted(sum_up, say("The sum is {{tool.output}}."), tools=["calculator"], **fields)


def slow(milliseconds: int = 600_000, **fields: Any) -> dict[str, Any]:
    """An agent that talks for a long time: until it is stopped."""
    return scripted(say("word " * 2_000, delayMs=milliseconds), **fields)
