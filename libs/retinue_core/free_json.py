"""Free JSON of users: what keeps it from being stored and sent on, and where.

Owns the limits that every room has alike, and the paths inside a field as clients write them. A message of protobuf
is parsed to 100 levels, of which an object takes three and a list two.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

from retinue_core.errors import Problem

DEEPEST = 28
_OBJECT, _LIST = 3, 2  # levels of protobuf

_PLAIN = re.compile(r"[A-Za-z_$][\w$-]*\Z", re.ASCII)
_Found = tuple[str, str, str]


def path(root: str, steps: Sequence[str | int] = ()) -> str:
    """The path of something inside a field: `path("a", ["b", 0, "c d"])` is `a.b[0]["c d"]`."""
    text = root
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if _PLAIN.match(step) else f'["{step}"]'
    return text


def unfit(field: str, value: Any, largest: int, deepest: int = DEEPEST) -> Iterator[_Found]:
    """What keeps a value from being stored: null bytes, numbers that JSON lacks, depth in objects, size in bytes.

    Yields the path, what is wrong there, and what would be right.
    """
    size = 0
    stack: list[tuple[Any, tuple[str | int, ...]]] = [(value, ())]
    while stack:
        item, steps = stack.pop()
        size += 4
        if sum(_LIST if isinstance(step, int) else _OBJECT for step in steps) > deepest * _OBJECT:
            yield field, f"is nested more than {deepest} deep", "Flatten it."
            return
        if isinstance(item, str):
            size += len(item.encode())
            yield from _null_byte(field, item, steps)
        elif isinstance(item, float) and not math.isfinite(item):
            yield path(field, steps), "is not a number that JSON has", "Send a finite number."
        elif isinstance(item, dict):
            size += sum(len(key.encode()) for key in item)
            for key in item:
                yield from _null_byte(field, key, steps)
            stack.extend((child, (*steps, key)) for key, child in reversed(item.items()))
        elif isinstance(item, list):
            stack.extend((child, (*steps, index)) for index, child in reversed([*enumerate(item)]))
    if size > largest:
        yield field, f"has about {size} bytes", f"Keep it to {largest} bytes."


def problems(field: str, value: Any, largest: int, deepest: int = DEEPEST) -> tuple[Problem, ...]:
    """The same as problems of a request."""
    found = unfit(field, value, largest, deepest)
    return tuple(Problem(where, f"{what}. {remedy}") for where, what, remedy in found)


def _null_byte(field: str, text: str, steps: tuple[str | int, ...]) -> Iterator[_Found]:
    if "\0" in text:
        yield path(field, steps), "holds a null byte", "Remove the null byte."
