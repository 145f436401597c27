"""What a manifest would change in an agent, and how that is shown.

Owns the comparison: only what a manifest mentions is compared, in the form the service keeps it in.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retinue_client.reading import camel, to_json

if TYPE_CHECKING:
    from retinue_client.agents import Agent

_STRIPPED = ("name", "model", "department", "project")
_LONGEST_INLINE = 100
_CONTEXT = 2


@dataclass(frozen=True, slots=True)
class Change:
    """A field, as it is and as it would be; None is nothing."""

    field: str
    before: Any
    after: Any


def changes(before: Agent | None, after: Agent, paths: tuple[str, ...]) -> list[Change]:
    """The fields among `paths` that would change; all that say something for an agent that is not there yet."""
    found = []
    for path in paths:
        kept = None if before is None else _kept(path, getattr(before, path))
        wanted = _kept(path, getattr(after, path))
        if kept != wanted:
            found.append(Change(camel(path), _written(path, kept), _written(path, wanted)))
    return found


def _written(path: str, value: Any) -> Any:
    """A value as a manifest writes it."""
    return f"{value:g}s" if path == "timeout" and value is not None else to_json(value)


def _kept(path: str, value: Any) -> Any:
    """A value as the service keeps it; nothing for an empty one."""
    if path in _STRIPPED:
        value = value.strip()
    if path in ("tools", "tags"):
        words = [word.strip() for word in value]
        value = tuple(dict.fromkeys(words)) if path == "tags" else tuple(words)
    return value if isinstance(value, bool | int | float) else value or None


def lines(change: Change) -> Iterator[str]:
    """A change as lines that begin with `-`, `+` or a space."""
    before, after = _text(change.before), _text(change.after)
    if max(map(len, (before, after))) <= _LONGEST_INLINE and "\n" not in before + after:
        if change.before is not None:
            yield f"- {change.field}: {before}"
        if change.after is not None:
            yield f"+ {change.field}: {after}"
        return
    yield f"  {change.field}:"
    told = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=_CONTEXT)
    yield from (f"{line[0]}   {line[1:]}" for line in told if not line.startswith(("---", "+++", "@@")))


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    short = json.dumps(value, ensure_ascii=False, sort_keys=True)
    structured = isinstance(value, Mapping | list) and len(short) > _LONGEST_INLINE
    return json.dumps(value, ensure_ascii=False, sort_keys=True, indent=2) if structured else short
