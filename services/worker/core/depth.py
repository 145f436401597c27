"""How deep JSON may be nested.

Owns the limit and its check, level by level, so that width costs what it must and depth cannot exhaust the stack.
"""

from __future__ import annotations

from typing import Any

MAX_DEPTH = 28
"""Levels of objects and lists. A protobuf parser stops at 100, each level costs three, and a few go around it."""


def deeper_than(levels: int, value: Any) -> bool:
    """Say whether objects and lists are nested deeper than that."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(levels):
        level = [child for parent in level for child in _children(parent) if isinstance(child, dict | list)]
        if not level:
            return False
    return bool(level)


def _children(parent: dict[str, Any] | list[Any]) -> Any:
    return parent.values() if isinstance(parent, dict) else parent
