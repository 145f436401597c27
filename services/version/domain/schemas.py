"""Whether one JSON Schema still accepts what another accepted, and still promises what another promised.

Owns the judgement behind a major number, for draft 2020-12 with references inside of the schema. It is careful: what
it cannot judge it reports. One thing is not held against a schema: that a property which nobody had declared, and
which was let through for that reason only, is declared now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from services.version.domain.meaning import (
    ANNOTATIONS,
    Json,
    Schema,
    definitions,
    has_anchors,
    meaning,
    resolved,
    unnamed,
)

_LOWER = ("exclusiveMinimum", "minContains", "minItems", "minLength", "minProperties", "minimum")
_UPPER = ("exclusiveMaximum", "maxContains", "maxItems", "maxLength", "maxProperties", "maximum")
_JUDGED = frozenset(
    ("additionalProperties", "anyOf", "const", "enum", "items", "properties", "required", "type", "uniqueItems")
).union(ANNOTATIONS, _LOWER, _UPPER)
_REMOVABLE = frozenset(
    ("allOf", "contains", "dependentRequired", "dependentSchemas", "multipleOf", "not", "oneOf", "pattern")
) | {"propertyNames"}
"""Keywords that only refuse, so that a schema without them accepts more."""

_ENTANGLED = frozenset(("patternProperties", "unevaluatedItems", "unevaluatedProperties"))
"""Keywords whose effect depends on those beside them."""

_TYPES = frozenset(("array", "boolean", "integer", "null", "number", "object", "string"))
_ANYTHING: Json = {}
_MOST_STEPS = 5_000
_DEEPEST = 60
_MOST_SAID = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """A place at which something no longer holds, and why."""

    path: str
    message: str


Judgement = Callable[[Schema, Schema, str], list[Finding]]


def refusals(old: Schema, new: Schema, path: str) -> list[Finding]:
    """Where a new schema may refuse what the old one accepted; the first 20 places."""
    return _judged(old, new, path, lambda judge: judge.refusals)


def losses(old: Schema, new: Schema, path: str) -> list[Finding]:
    """Where a new schema drops or retypes a field that values of the old one had; the first 20 places."""
    return _judged(old, new, path, lambda judge: judge.losses)


def same_meaning(old: Schema, new: Schema) -> bool:
    """Whether two schemas differ in annotations at most."""
    return meaning(unnamed(old)) == meaning(unnamed(new))


class _TooMuchError(Exception):
    """More comparisons than any sane schema needs."""


def _judged(old: Schema, new: Schema, path: str, judgement: Callable[[_Judge], Judgement]) -> list[Finding]:
    old, new = unnamed(old), unnamed(new)
    if same_meaning(old, new):
        return []
    if has_anchors(old) or has_anchors(new):
        return [Finding(path, "changed, and uses identifiers that are not followed")]
    try:
        return judgement(_Judge(old, new, definitions(old) == definitions(new)))(old, new, path)
    except _TooMuchError:
        return [Finding(path, "changed, and is too large to be judged")]


@dataclass(slots=True)
class _Judge:
    """One judgement: the roots, into which references point, and what was found out already.

    Schemas are known by their identity: those that are made here are kept in `split`, so that none is reused.
    """

    old_root: Schema
    new_root: Schema
    same_definitions: bool
    known: dict[tuple[int, int], list[Finding]] = field(default_factory=dict)
    meanings: dict[int, str] = field(default_factory=dict)
    split: dict[int, list[Schema]] = field(default_factory=dict)
    steps: int = 0
    depth: int = 0

    def refusals(self, old: Schema, new: Schema, path: str) -> list[Finding]:
        """Where `new` may refuse what `old` accepts."""
        return self._once(old, new, path, self._refusals)

    def losses(self, old: Schema, new: Schema, path: str) -> list[Finding]:
        """Where `new` drops or retypes what `old` has."""
        return self._once(old, new, path, self._losses)

    def _once(
        self, old: Schema, new: Schema, path: str, find: Callable[[Schema, Schema, str], Iterator[Finding]]
    ) -> list[Finding]:
        old, new = resolved(self.old_root, old), resolved(self.new_root, new)
        key = (id(old), id(new))
        if key not in self.known:
            self.steps += 1
            if self.steps > _MOST_STEPS or self.depth >= _DEEPEST:
                raise _TooMuchError
            # A recursive schema is taken to hold while it is under way: what speaks against it stands elsewhere.
            self.known[key] = []
            self.depth += 1
            self.known[key] = [] if self._same(old, new) else [*islice(find(old, new, path), _MOST_SAID)]
            self.depth -= 1
        return self.known[key]

    def _refusals(self, old: Schema, new: Schema, path: str) -> Iterator[Finding]:
        if new is False and old is not False:
            yield Finding(path, "is accepted no more")
        if isinstance(new, bool) or old is False:
            return
        before = old if isinstance(old, dict) else _ANYTHING
        branches = self._branches(before)
        if branches:
            for branch in branches:
                yield from self.refusals(branch, new, path)
            return
        yield from _own_refusals(before, new, path)
        yield from self._unjudged(before, new, path)
        if "anyOf" in new and all(self._fails(before, other) for other in new["anyOf"]):
            yield Finding(f"{path}.anyOf", "has no alternative for all that was accepted")
        for inner_old, inner_new, inner in _inside(before, new, path):
            yield from self.refusals(inner_old, inner_new, inner)

    def _branches(self, schema: Json) -> list[Schema]:
        """The alternatives of a schema, each with what stands beside them; none where these get in their way."""
        if "anyOf" not in schema:
            return []
        if id(schema) not in self.split:
            rest = {key: value for key, value in schema.items() if key not in ANNOTATIONS and key != "anyOf"}
            plain = [branch for branch in schema["anyOf"] if isinstance(branch, dict) and not rest.keys() & branch]
            if rest:
                fits = len(plain) == len(schema["anyOf"]) and not any("$ref" in branch for branch in plain)
                self.split[id(schema)] = [rest | branch for branch in plain] if fits else []
            else:
                self.split[id(schema)] = list(schema["anyOf"])
        return self.split[id(schema)]

    def _fails(self, old: Schema, new: Schema) -> bool:
        # What is found out on the way rests on assumptions of this attempt, and is forgotten with it.
        attempt = _Judge(self.old_root, self.new_root, self.same_definitions, dict(self.known))
        attempt.meanings, attempt.split = self.meanings, self.split
        attempt.steps, attempt.depth = self.steps, self.depth
        found = attempt.refusals(old, new, "")
        self.steps = attempt.steps
        return bool(found)

    def _unjudged(self, old: Json, new: Json, path: str) -> Iterator[Finding]:
        for key in sorted((old.keys() | new.keys()) - _JUDGED):
            if key in _ENTANGLED or key not in old:
                changed = True
            elif key not in new:
                changed = key not in _REMOVABLE
            else:
                changed = not self._same({key: old[key]}, {key: new[key]}, keep=False)
            if changed:
                yield Finding(f"{path}.{key}", "changed in a way that may refuse what was accepted")

    def _same(self, old: Schema, new: Schema, *, keep: bool = True) -> bool:
        text = self._meaning(old) if keep else meaning(old)
        if text != (self._meaning(new) if keep else meaning(new)):
            return False
        return self.same_definitions or '"$ref"' not in text

    def _meaning(self, schema: Schema) -> str:
        if id(schema) not in self.meanings:
            self.meanings[id(schema)] = meaning(schema)
        return self.meanings[id(schema)]

    def _losses(self, old: Schema, new: Schema, path: str) -> Iterator[Finding]:
        before, now = (schema if isinstance(schema, dict) else {} for schema in (old, new))
        had, has = before.get("properties", {}), now.get("properties", {})
        if "type" not in before and not had:
            alternatives, others = before.get("anyOf", []), now.get("anyOf", [])
            if alternatives and len(alternatives) == len(others):
                for one, other in zip(alternatives, others, strict=True):
                    yield from self.losses(one, other, f"{path}.anyOf")
                return
            yield Finding(path, "has another type, or one that cannot be judged")
            return
        if "type" in before and (gained := _types(now) - _types(before)):
            yield Finding(path, f"may be {_either(gained)} now, which it was not")
        for name in had:
            where = f"{path}.properties.{name}"
            if name not in has:
                yield Finding(where, "is dropped")
                continue
            if name in before.get("required", ()) and name not in now.get("required", ()):
                yield Finding(where, "may be missing now")
            yield from self.losses(had[name], has[name], where)
        if "items" in before:
            yield from self.losses(before["items"], now.get("items", True), f"{path}.items")


def _own_refusals(old: Json, new: Json, path: str) -> Iterator[Finding]:
    values = _values(old)
    if values is None:
        if gone := _types(old) - _types(new):
            yield Finding(f"{path}.type", f"no longer accepts {_either(gone)}")
        if _values(new) is not None:
            yield Finding(f"{path}.enum", "accepts some values only now")
    else:
        yield from _value_refusals(values, new, path)
    for name in new.get("required", ()):
        if name not in old.get("required", ()):
            yield Finding(f"{path}.required", f"{name!r} is required now")
    for key in (*_LOWER, *_UPPER):
        if key in new and (key not in old or (new[key] > old[key] if key in _LOWER else new[key] < old[key])):
            yield Finding(f"{path}.{key}", "is stricter now")
    if "minContains" in old and "minContains" not in new:
        yield Finding(f"{path}.minContains", "is stricter now")
    if new.get("uniqueItems") and not old.get("uniqueItems"):
        yield Finding(f"{path}.uniqueItems", "is stricter now")


def _value_refusals(values: dict[str, str], new: Json, path: str) -> Iterator[Finding]:
    accepted = _values(new)
    lost = [text for text in values if accepted is not None and text not in accepted]
    if lost:
        yield Finding(f"{path}.enum", f"no longer accepts {lost[0][:100]}")
    if gone := frozenset(values.values()) - _types(new):
        yield Finding(f"{path}.type", f"no longer accepts {_either(gone)}")


def _inside(old: Json, new: Json, path: str) -> Iterator[tuple[Schema, Schema, str]]:
    """The pairs of schemas that a value's parts meet: its properties, other properties, its items."""
    before, now = old.get("properties", {}), new.get("properties", {})
    other_before, other_now = old.get("additionalProperties", True), new.get("additionalProperties", True)
    for name in before:
        yield before[name], now.get(name, other_now), f"{path}.properties.{name}"
    for name in sorted(now.keys() - before.keys()):
        if (isinstance(other_before, dict) and other_before) or now[name] is False:
            yield other_before, now[name], f"{path}.properties.{name}"
    yield other_before, other_now, f"{path}.additionalProperties"
    yield old.get("items", True), new.get("items", True), f"{path}.items"


def _types(schema: Json) -> frozenset[str]:
    named = schema.get("type")
    if named is None:
        return _TYPES
    found = frozenset([named] if isinstance(named, str) else named)
    return found | {"integer"} if "number" in found else found


def _values(schema: Json) -> dict[str, str] | None:
    """The values that a schema accepts, where it lists them, as canonical text with their types."""
    if "const" not in schema and "enum" not in schema:
        return None
    values = [schema["const"]] if "const" in schema else schema["enum"]
    return {meaning([value]): _type_of(value) for value in values}


def _type_of(value: Any) -> str:
    named = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
    return named.get(type(value), "null")


def _either(types: frozenset[str]) -> str:
    return " or ".join(sorted(types))
