"""What validation finds, and where.

Owns the finding and the paths of fields as clients send them: `tools[1]`, `inputSchema.properties.x`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from services.agent.domain.known import DEEPEST_JSON

_PLAIN = re.compile(r"[A-Za-z_$][\w$-]*\Z", re.ASCII)
_LONGEST_GUESS = 64


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: the path of its field, what is wrong, and what would be right."""

    field: str
    message: str
    suggestion: str


def path(root: str, steps: Sequence[str | int] = ()) -> str:
    """The path of something inside a field: `path("a", ["b", 0, "c d"])` is `a.b[0]["c d"]`."""
    text = root
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if _PLAIN.match(step) else f'["{step}"]'
    return text


def closest(word: str, known: Sequence[str], otherwise: str) -> str:
    """A suggestion for a word that is not known: the nearest known one, if any is near."""
    near = get_close_matches(word[:_LONGEST_GUESS].casefold(), known, n=1) if word else []
    return f"Did you mean {near[0]!r}?" if near else otherwise


def text_findings(field: str, value: str, longest: int, *, lines: bool = False) -> Iterator[Finding]:
    """What is wrong with a text: its length, and characters that cannot be shown. `lines` allows line breaks."""
    if len(value) > longest:
        yield Finding(field, f"has {len(value)} characters", f"Keep it to {longest} characters.")
    allowed = "\n\r\t" if lines else ""
    if any(_is_control(letter) and letter not in allowed for letter in value):
        yield Finding(field, "holds control characters", "Remove the control characters.")


def json_findings(field: str, value: Any, largest: int) -> Iterator[Finding]:
    """What keeps a JSON value from being stored: null bytes, numbers that JSON lacks, depth, size in bytes."""
    size = 0
    stack: list[tuple[Any, tuple[str | int, ...]]] = [(value, ())]
    while stack:
        item, steps = stack.pop()
        size += 4
        if len(steps) > DEEPEST_JSON:
            yield Finding(field, f"is nested more than {DEEPEST_JSON} deep", "Flatten it.")
            return
        if isinstance(item, str):
            size += len(item.encode())
            yield from _null_byte(field, item, steps)
        elif isinstance(item, float) and not math.isfinite(item):
            yield Finding(path(field, steps), "is not a number that JSON has", "Send a finite number.")
        elif isinstance(item, dict):
            size += sum(len(key.encode()) for key in item)
            for key in item:
                yield from _null_byte(field, key, steps)
            stack.extend((child, (*steps, key)) for key, child in reversed(item.items()))
        elif isinstance(item, list):
            stack.extend((child, (*steps, index)) for index, child in reversed([*enumerate(item)]))
    if size > largest:
        yield Finding(field, f"has about {size} bytes", f"Keep it to {largest} bytes.")


def _null_byte(field: str, text: str, steps: tuple[str | int, ...]) -> Iterator[Finding]:
    if "\0" in text:
        yield Finding(path(field, steps), "holds a null byte", "Remove the null byte.")


def _is_control(letter: str) -> bool:
    return letter < " " or "\x7f" <= letter < "\xa0"
