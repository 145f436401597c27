"""What validation finds, and where.

Owns the finding; its field is a path as clients send it: `tools[1]`, `inputSchema.properties.x`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from retinue_core.free_json import unfit

_LONGEST_GUESS = 64


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: the path of its field, what is wrong, and what would be right."""

    field: str
    message: str
    suggestion: str


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
    return (Finding(*found) for found in unfit(field, value, largest))


def _is_control(letter: str) -> bool:
    return letter < " " or "\x7f" <= letter < "\xa0"
