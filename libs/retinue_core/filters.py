"""Filters of lists: conditions joined by `AND`, each `field=value` or `field:word`.

Owns the grammar: a value is a bare word or stands in double quotes with `\\"` and `\\\\` inside. Which fields there
are, and what their values may be, is the caller's; everything else is refused with the character where it stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from retinue_core.errors import Problem, RetinueError, invalid

MOST_CONDITIONS = 20
LONGEST_FILTER = 2_000
_LONGEST_GUESS = 40

Check = Callable[[str], str]
"""Turns the value of a field into its canonical form; raises ValueError with what would be right."""

_SPACE = re.compile(r"[ \t]*")
_FIELD = re.compile(r"[A-Za-z_]+")
_BARE = re.compile(r'[^\s"=:()]+')
_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
_AND = re.compile(r"AND(?=[ \t]|\Z)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition; `search` for `field:word` instead of `field=value`."""

    field: str
    value: str
    search: bool = False


def parse_filter(
    text: str, fields: Mapping[str, Check], searchable: Mapping[str, Check] | None = None
) -> tuple[Condition, ...]:
    """Read a filter; the empty one has no conditions. Raises INVALID_FILTER with the position of what is wrong."""
    if len(text) > LONGEST_FILTER:
        raise _invalid(LONGEST_FILTER, f"the filter is longer than {LONGEST_FILTER} characters")
    reader = _Reader(text, fields, searchable or {})
    conditions: list[Condition] = []
    reader.skip()
    while reader.at < len(text):
        if conditions:
            reader.joined()
        if len(conditions) == MOST_CONDITIONS:
            raise _invalid(reader.at, f"there are more than {MOST_CONDITIONS} conditions")
        conditions.append(reader.condition())
    return tuple(conditions)


class _Reader:
    """A place in a filter's text."""

    def __init__(self, text: str, fields: Mapping[str, Check], searchable: Mapping[str, Check]) -> None:
        self._text = text
        self._fields = fields
        self._searchable = searchable
        self.at = 0

    def condition(self) -> Condition:
        field = self._field()
        search = self._sign(field)
        start = self.at
        value = self._value()
        check = (self._searchable if search else self._fields)[field]
        try:
            value = check(value)
        except ValueError as reason:
            raise _invalid(start, str(reason)) from None
        self.skip()
        return Condition(field, value, search)

    def joined(self) -> None:
        found = _AND.match(self._text, self.at)
        if found is None:
            raise _invalid(self.at, "`AND` is expected here; a value with spaces stands in double quotes")
        self._go(found.end())

    def skip(self) -> None:
        self._go(self.at)

    def _go(self, at: int) -> None:
        space = _SPACE.match(self._text, at)
        self.at = space.end() if space else at

    def _field(self) -> str:
        found = _FIELD.match(self._text, self.at)
        if found is None:
            raise _invalid(self.at, "a field is expected here")
        if found[0] not in self._fields and found[0] not in self._searchable:
            raise _invalid(self.at, f"{found[0]!r} is not a field of the filter. {self._nearest(found[0])}")
        self._go(found.end())
        return found[0]

    def _nearest(self, name: str) -> str:
        known = sorted({*self._fields, *self._searchable})
        near = get_close_matches(name[:_LONGEST_GUESS].lower(), known, n=1)
        return f"Did you mean {near[0]!r}?" if near else f"The fields are {', '.join(known)}."

    def _sign(self, field: str) -> bool:
        sign = self._text[self.at : self.at + 1]
        if sign == ":" and field not in self._searchable:
            raise _invalid(self.at, f"`{field}` is not searched with `:`; compare it with `=`")
        if sign not in ("=", ":") or (sign == "=" and field not in self._fields):
            raise _invalid(self.at, "`=` is expected here")
        self._go(self.at + 1)
        return sign == ":"

    def _value(self) -> str:
        quoted = _QUOTED.match(self._text, self.at)
        found = quoted or _BARE.match(self._text, self.at)
        if found is None:
            raise _invalid(self.at, "a value is expected here: a word, or a text in double quotes")
        value = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else found[0]
        if any(letter < " " or letter == "\x7f" for letter in value):
            raise _invalid(self.at, "the value holds control characters")
        self.at = found.end()
        return value


def text_value(value: str) -> str:
    """The check of a field whose value may be any text."""
    return value


def one_of(*names: str) -> Check:
    """The check of a field whose value is one of some names, in whatever case it is written."""
    known = {name.upper(): name for name in names}

    def check(value: str) -> str:
        if value.upper() not in known:
            raise ValueError("the value is one of " + ", ".join(names))
        return known[value.upper()]

    return check


def _invalid(at: int, reason: str) -> RetinueError:
    return invalid(
        "The filter cannot be read.",
        Problem("filter", f"at character {at + 1}: {reason}"),
        code="INVALID_FILTER",
        actions=('Write conditions like `field=value AND other="two words"`.',),
    )
