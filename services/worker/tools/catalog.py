"""The tools that a worker has.

Owns the list, and what a model is told about each.
"""

from __future__ import annotations

from collections.abc import Mapping

from services.worker.core.spec import ToolSpec
from services.worker.tools.calculator import Calculator
from services.worker.tools.contract import Tool
from services.worker.tools.http import Http

Catalog = Mapping[str, Tool]


def built_in(honours_key: frozenset[str] = frozenset()) -> Catalog:
    """The built-in tools by name. `honours_key` names the hosts that honour Idempotency-Key."""
    tools: tuple[Tool, ...] = (Calculator(), Http(honours_key))
    return {tool.name: tool for tool in tools}


def declared(tool: Tool) -> ToolSpec:
    """What a model is told about a tool."""
    return ToolSpec(tool.name, tool.description, tool.input_schema)
