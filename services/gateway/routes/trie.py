"""Finds the route of a path: a trie of segments in which a literal beats a variable.

Owns matching, with custom verbs and what may be allowed instead. Knows nothing of what a route does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import unquote_to_bytes

from services.gateway.routes.template import ONE, REST, Template

T = TypeVar("T")

MOST_SEGMENTS = 32


@dataclass(slots=True)
class _Node(Generic[T]):
    literals: dict[str, _Node[T]] = field(default_factory=dict)
    one: _Node[T] | None = None
    rest: _Node[T] | None = None
    ends: dict[str, dict[str, T]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Match(Generic[T]):
    """What a path leads to: `found` with the path's segments, or else the methods that are allowed."""

    found: T | None
    segments: tuple[str, ...]
    allowed: frozenset[str]


class Trie(Generic[T]):
    """Routes by template and HTTP method."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def add(self, template: Template, method: str, value: T) -> None:
        """Adds a route; raises ValueError where another one has the same template and method."""
        node = self._root
        for segment in template.segments:
            node = _child(node, segment)
        methods = node.ends.setdefault(template.verb, {})
        if method in methods:
            raise ValueError(f"{method} {template.text} is declared twice")
        methods[method] = value

    def match(self, raw_path: bytes, method: str) -> Match[T]:
        """Finds the route for a path as it was sent; HEAD is answered by GET.

        Raises UnicodeDecodeError where the path is not UTF-8.
        """
        parts = raw_path[1:].split(b"/")
        if raw_path[:1] != b"/" or len(parts) > MOST_SEGMENTS:
            return Match(None, (), frozenset())
        wanted = "GET" if method == "HEAD" else method
        allowed: set[str] = set()
        for segments, verb in _readings(parts):
            found = _find(self._root, segments, 0, verb, wanted, allowed)
            if found is not None:
                return Match(found, segments, frozenset())
        return Match(None, (), frozenset(allowed))


def _readings(parts: list[bytes]) -> list[tuple[tuple[str, ...], str]]:
    """The segments of a path, first with its last colon as the sign of a verb, then without."""
    whole = tuple(_decoded(part) for part in parts)
    last, colon, verb = parts[-1].rpartition(b":")
    if not colon:
        return [(whole, "")]
    return [((*whole[:-1], _decoded(last)), _decoded(verb)), (whole, "")]


def _decoded(part: bytes) -> str:
    return (unquote_to_bytes(part) if b"%" in part else part).decode("utf-8")


def _child(node: _Node[T], segment: str) -> _Node[T]:
    if segment == ONE:
        node.one = node.one or _Node()
        return node.one
    if segment == REST:
        node.rest = node.rest or _Node()
        return node.rest
    return node.literals.setdefault(segment, _Node())


def _find(node: _Node[T], segments: tuple[str, ...], index: int, verb: str, method: str, allowed: set[str]) -> T | None:
    if index == len(segments):
        found = _end(node, verb, method, allowed)
        return found if found is not None or node.rest is None else _end(node.rest, verb, method, allowed)
    segment = segments[index]
    literal = node.literals.get(segment)
    if literal is not None:
        found = _find(literal, segments, index + 1, verb, method, allowed)
        if found is not None:
            return found
    if node.one is not None and segment:
        found = _find(node.one, segments, index + 1, verb, method, allowed)
        if found is not None:
            return found
    return _end(node.rest, verb, method, allowed) if node.rest is not None else None


def _end(node: _Node[T], verb: str, method: str, allowed: set[str]) -> T | None:
    methods = node.ends.get(verb, {})
    allowed.update(methods)
    return methods.get(method)
