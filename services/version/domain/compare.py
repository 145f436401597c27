"""What changed from one version to another.

Owns the three forms of it (fields, JSON Patch, text) and the rule for the number that a change calls for. Every field
of a spec decides what runs, so two versions run the same if their digests are the same.

| what changed | number |
| --- | --- |
| the input schema refuses what it accepted | major |
| the output schema drops or retypes a field, or there is none any more, or one for the first time | major |
| a schema in any other way that means something; the model; tools | minor |
| instructions, settings, descriptions in schemas, the order of tools | patch |
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from services.version.domain import schemas
from services.version.domain.numbers import Bump, moved
from services.version.domain.version import Json, Version, digest

_PLAIN = re.compile(r"[A-Za-z_$][\w$-]*\Z", re.ASCII)
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_MOST_PARTS = 5_000
"""Values in a field that are still compared one by one; what has more is one change."""

_MOST_LINES = 2_000
"""Lines between the first and the last that differ; what has more is shown as replaced."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that differs; `kind` is ADDED, REMOVED or CHANGED, and what is not there is None."""

    path: str
    kind: str
    old: Any = None
    new: Any = None


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a number has to move as far."""

    path: str
    bump: Bump
    message: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changed, in all forms, and what follows from it. `proposed` is empty when nothing did."""

    old_version: str
    new_version: str
    differs: bool
    differences: list[Difference]
    text: str
    patch: list[Json]
    bump: Bump
    proposed: str
    reasons: list[Reason]


def compare(old: Version, new: Version, newest: str) -> Comparison:
    """Compare two versions; the number that is proposed is above `newest`, the highest there is, if there is one."""
    before, now = old.content, new.content
    reasons = judged(before, now)
    bump = reasons[0].bump if reasons else Bump.NONE
    return Comparison(
        old_version=old.version,
        new_version=new.version,
        differs=old.digest != new.digest,
        differences=differences(before, now),
        text=text_diff(before.get("instructions", ""), now.get("instructions", ""), old.version, new.version),
        patch=patch(before, now),
        bump=bump,
        proposed=moved(newest or old.version, bump),
        reasons=reasons,
    )


def differences(old: Json, new: Json) -> list[Difference]:
    """The fields that differ between two contents."""
    return [found for name in sorted(old.keys() | new.keys()) for found in _field_differences(name, old, new)]


def patch(old: Json, new: Json) -> list[Json]:
    """The JSON Patch (RFC 6902) that makes the new content of the old one."""
    import jsonpatch

    found: list[Json] = []
    for name in sorted(old.keys() | new.keys()):
        before, now = ({name: content[name]} if name in content else {} for content in (old, new))
        if before and now and (_is_large(before) or _is_large(now)) and not _equal(before, now):
            found.append({"op": "replace", "path": f"/{name}", "value": new[name]})
        else:
            found.extend(jsonpatch.make_patch(before, now).patch)
    return found


def text_diff(old: str, new: str, old_name: str, new_name: str) -> str:
    """The unified diff of two texts, empty when they are the same. A text that ends without a line break says so."""
    if old == new:
        return ""
    before, now = (_LINE.findall(text) for text in (old, new))
    if _lines_between(before, now) <= _MOST_LINES:
        lines = [*difflib.unified_diff(before, now, old_name, new_name)]
    else:
        ranges = [f"{min(len(lines), 1)},{len(lines)}" for lines in (before, now)]
        lines = [f"--- {old_name}\n", f"+++ {new_name}\n", f"@@ -{ranges[0]} +{ranges[1]} @@\n"]
        lines += [f"-{line}" for line in before] + [f"+{line}" for line in now]
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def judged(old: Json, new: Json) -> list[Reason]:
    """Why the number has to move from one content to another, the gravest reason first; empty when nothing differs."""
    found: list[Reason] = []
    for name in sorted(old.keys() | new.keys()):
        if not _equal(old.get(name), new.get(name)):
            found.extend(_RULES.get(name, _setting)(name, old.get(name), new.get(name)))
    return sorted(found, key=lambda reason: -reason.bump)


def _input(name: str, old: Json | None, new: Json | None) -> Iterator[Reason]:
    if old is None:
        yield Reason(name, Bump.MAJOR, "refuses what was accepted while there was no schema")
    elif new is None:
        yield Reason(name, Bump.MINOR, "accepts anything now")
    else:
        yield from _schema(name, old, new, schemas.refusals(old, new, name))


def _output(name: str, old: Json | None, new: Json | None) -> Iterator[Reason]:
    if old is None:
        yield Reason(name, Bump.MAJOR, "makes structured output of what was free text")
    elif new is None:
        yield Reason(name, Bump.MAJOR, "makes free text of what was structured output")
    else:
        yield from _schema(name, old, new, schemas.losses(old, new, name))


def _schema(name: str, old: Json, new: Json, found: list[schemas.Finding]) -> Iterator[Reason]:
    if found:
        yield from (Reason(finding.path, Bump.MAJOR, finding.message) for finding in found)
    elif schemas.same_meaning(old, new):
        yield Reason(name, Bump.PATCH, "changed in its texts only")
    else:
        yield Reason(name, Bump.MINOR, "changed, and what fitted still fits")


def _model(name: str, old: str | None, new: str | None) -> Iterator[Reason]:
    yield Reason(name, Bump.MINOR, f"is {new} now, and was {old}")


def _tools(name: str, old: list[str] | None, new: list[str] | None) -> Iterator[Reason]:
    before, now = set(old or ()), set(new or ())
    for tool in sorted(before ^ now):
        yield Reason(name, Bump.MINOR, f"{tool!r} is {'new' if tool in now else 'gone'}")
    if before == now:
        yield Reason(name, Bump.PATCH, "are in another order")


def _setting(name: str, old: Any, new: Any) -> Iterator[Reason]:
    yield Reason(name, Bump.PATCH, "changed")


_RULES: dict[str, Callable[[str, Any, Any], Iterator[Reason]]] = {
    "inputSchema": _input,
    "outputSchema": _output,
    "model": _model,
    "tools": _tools,
}


def _field_differences(name: str, old: Json, new: Json) -> Iterator[Difference]:
    if name not in old:
        yield Difference(name, "ADDED", new=new[name])
    elif name not in new:
        yield Difference(name, "REMOVED", old=old[name])
    elif not _equal(old[name], new[name]):
        if _is_large(old[name]) or _is_large(new[name]):
            yield Difference(name, "CHANGED", old[name], new[name])
        else:
            yield from _differences(name, old[name], new[name])


def _differences(path: str, old: Any, new: Any) -> Iterator[Difference]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _members(_member(path, key), key in old, key in new, old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list):
        yield from _items(path, old, new)
    elif not _equal(old, new):
        yield Difference(path, "CHANGED", old, new)


def _members(path: str, had: bool, has: bool, old: Any, new: Any) -> Iterator[Difference]:
    if not had:
        yield Difference(path, "ADDED", new=new)
    elif not has:
        yield Difference(path, "REMOVED", old=old)
    else:
        yield from _differences(path, old, new)


def _items(path: str, old: list[Any], new: list[Any]) -> Iterator[Difference]:
    """What stands between the items that two lists begin with and those that they end with, pair by pair."""
    start, end = _common(old, new, _equal)
    before, now = old[start : len(old) - end], new[start : len(new) - end]
    for at in range(max(len(before), len(now))):
        had, has = at < len(before), at < len(now)
        values = before[at] if had else None, now[at] if has else None
        yield from _members(f"{path}[{start + at}]", had, has, *values)


def _common(old: list[Any], new: list[Any], same: Callable[[Any, Any], bool]) -> tuple[int, int]:
    """How many items two lists share at their beginning, and at their end behind that."""
    shortest, start, end = min(len(old), len(new)), 0, 0
    while start < shortest and same(old[start], new[start]):
        start += 1
    while end < shortest - start and same(old[-1 - end], new[-1 - end]):
        end += 1
    return start, end


def _lines_between(old: list[str], new: list[str]) -> int:
    start, end = _common(old, new, lambda one, other: one == other)
    return max(len(old), len(new)) - start - end


def _member(path: str, key: str) -> str:
    return f"{path}.{key}" if _PLAIN.match(key) else f'{path}["{key}"]'


def _equal(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON; Python takes true for 1."""
    return bool(one == other) and digest(one) == digest(other)


def _is_large(value: Any) -> bool:
    stack, parts = [value], 0
    while stack and parts <= _MOST_PARTS:
        item = stack.pop()
        parts += 1
        if isinstance(item, dict | list):
            stack.extend(item.values() if isinstance(item, dict) else item)
    return parts > _MOST_PARTS
