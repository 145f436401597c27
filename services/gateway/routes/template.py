"""Path templates of google.api.http: ``/v1/{name=shelves/*}:check``.

Owns their grammar (google/api/http.proto). Refuses at start-up a template that it cannot match.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

ONE = "*"
REST = "**"

_PART = re.compile(r"\{(?P<field>[a-z0-9_.]+)(?:=(?P<pattern>[^{}]+))?\}|(?P<plain>[^/{}]+)")
_VERB = re.compile(r"(?P<path>.*):(?P<verb>[A-Za-z0-9_-]+)")


@dataclass(frozen=True, slots=True)
class Variable:
    """A request field that the path gives: the segments from `start` up to `end` (None: to the last)."""

    field: str
    start: int
    end: int | None


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template. Its segments are literals, ``*`` (one segment) or ``**`` (the rest)."""

    text: str
    segments: tuple[str, ...]
    verb: str
    variables: tuple[Variable, ...]


def parse(text: str) -> Template:
    """Parses a template; raises ValueError where it is malformed."""
    if not text.startswith("/"):
        raise ValueError(f"the path template {text!r} does not begin with a slash")
    match = _VERB.fullmatch(text)
    path, verb = (match["path"], match["verb"]) if match else (text, "")
    segments: list[str] = []
    variables: list[Variable] = []
    position = 1
    while position < len(path):
        part = _PART.match(path, position)
        if part is None:
            raise ValueError(f"the path template {text!r} is malformed at {path[position:]!r}")
        if part["plain"] is not None:
            segments.append(part["plain"])
        else:
            pattern = (part["pattern"] or ONE).split("/")
            end = None if pattern[-1] == REST else len(segments) + len(pattern)
            variables.append(Variable(part["field"], len(segments), end))
            segments += pattern
        position = part.end() + 1
    if REST in segments[:-1]:
        raise ValueError(f"the path template {text!r} has ** before its end")
    return Template(text, tuple(segments), verb, tuple(variables))
