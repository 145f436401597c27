"""The filter of a list of agents.

Owns its grammar: conditions joined by `AND`, each `field=value` or `name:word`, where a value is a bare word or
stands in double quotes with `\\"` and `\\\\` inside. It refuses everything else and says at which character.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from retinue_core.errors import Problem, RetinueError, invalid
from services.agent.domain.findings import closest

FIELDS = ("name", "department", "project", "model", "tag", "active", "visibility")
VISIBILITIES = ("PRIVATE", "TEAM", "ORGANIZATION", "PUBLIC")
MOST_CONDITIONS = 20
LONGEST_FILTER = 2_000

_SPACE = re.compile(r"[ \t]*")
_FIELD = re.compile(r"[A-Za-z_]+")
_BARE = re.compile(r'[^\s"=:()]+')
_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
_AND = re.compile(r"AND(?=[ \t]|\Z)", re.IGNORECASE)


class Op(Enum):
    """How a condition compares."""

    EQUALS = "="
    SEARCH = ":"


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition; the value of `active` is `true` or `false`, that of `visibility` its upper-case name."""

    field: str
    op: Op
    value: str


def parse_filter(text: str) -> tuple[Condition, ...]:
    """Read a filter; the empty one has no conditions. Raises INVALID_FILTER with the position of what is wrong."""
    if len(text) > LONGEST_FILTER:
        raise _invalid(LONGEST_FILTER, f"the filter is longer than {LONGEST_FILTER} characters")
    at = _skip(text, 0)
    conditions: list[Condition] = []
    while at < len(text):
        if conditions:
            at = _and(text, at)
        if len(conditions) == MOST_CONDITIONS:
            raise _invalid(at, f"there are more than {MOST_CONDITIONS} conditions")
        condition, at = _condition(text, at)
        conditions.append(condition)
        at = _skip(text, at)
    return tuple(conditions)


def search_words(text: str) -> tuple[str, ...]:
    """The words of a search, as names are cut into words: runs of letters and digits, in lower case."""
    return tuple(re.findall(r"[^\W_]+", text.lower()))


def _condition(text: str, at: int) -> tuple[Condition, int]:
    name = _FIELD.match(text, at)
    if name is None:
        raise _invalid(at, "a field is expected here")
    if name[0] not in FIELDS:
        raise _invalid(at, f"{name[0]!r} is not a field of the filter. {closest(name[0], FIELDS, _fields())}")
    at = _skip(text, name.end())
    op = _op(text, at, name[0])
    start = _skip(text, at + 1)
    value, at = _value(text, start)
    return Condition(name[0], op, _checked(name[0], op, value, start)), at


def _op(text: str, at: int, field: str) -> Op:
    sign = text[at : at + 1]
    if sign == ":" and field != "name":
        raise _invalid(at, "only `name:word` searches; compare with `=`")
    if sign not in ("=", ":"):
        raise _invalid(at, "`=` is expected here")
    return Op(sign)


def _value(text: str, at: int) -> tuple[str, int]:
    quoted = _QUOTED.match(text, at)
    found = quoted or _BARE.match(text, at)
    if found is None:
        raise _invalid(at, "a value is expected here: a word, or a text in double quotes")
    value = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else found[0]
    if any(letter < " " or letter == "\x7f" for letter in value):
        raise _invalid(at, "the value holds control characters")
    return value, found.end()


def _checked(field: str, op: Op, value: str, at: int) -> str:
    if field == "active" and value not in ("true", "false"):
        raise _invalid(at, "`active` is true or false")
    if field == "visibility":
        if value.upper() not in VISIBILITIES:
            raise _invalid(at, "`visibility` is one of " + ", ".join(VISIBILITIES))
        return value.upper()
    if op is Op.SEARCH and not search_words(value):
        raise _invalid(at, "there is no word to search for")
    return value


def _and(text: str, at: int) -> int:
    joined = _AND.match(text, at)
    if joined is None:
        raise _invalid(at, "`AND` is expected here; a value with spaces stands in double quotes")
    return _skip(text, joined.end())


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _fields() -> str:
    return "The fields are " + ", ".join(FIELDS) + "."


def _invalid(at: int, reason: str) -> RetinueError:
    return invalid(
        "The filter cannot be read.",
        Problem("filter", f"at character {at + 1}: {reason}"),
        code="INVALID_FILTER",
        actions=('Write conditions like `department=sales AND name:report AND tag="to do"`.',),
    )
