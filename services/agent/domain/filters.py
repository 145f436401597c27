"""The filter of a list of agents: its fields, and what their values may be. The grammar is `retinue_core.filters`."""

from __future__ import annotations

import re

from retinue_core.filters import Condition, one_of, parse_filter, text_value

VISIBILITIES = ("PRIVATE", "TEAM", "ORGANIZATION", "PUBLIC")


def search_words(text: str) -> tuple[str, ...]:
    """The words of a search, as names are cut into words: runs of letters and digits, in lower case."""
    return tuple(re.findall(r"[^\W_]+", text.lower()))


def parse_agent_filter(text: str) -> tuple[Condition, ...]:
    """Read a filter; the empty one has no conditions. Raises INVALID_FILTER with the position of what is wrong."""
    return parse_filter(text, _FIELDS, _SEARCHABLE)


def _active(value: str) -> str:
    if value not in ("true", "false"):
        raise ValueError("`active` is true or false")
    return value


def _searched(value: str) -> str:
    if not search_words(value):
        raise ValueError("there is no word to search for")
    return value


_FIELDS = {
    "name": text_value,
    "department": text_value,
    "project": text_value,
    "model": text_value,
    "tag": text_value,
    "active": _active,
    "visibility": one_of(*VISIBILITIES),
}
_SEARCHABLE = {"name": _searched}
