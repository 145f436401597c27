"""Whether a JSON Schema can be used.

Owns the rules for schemas of agents: draft 2020-12, complete in themselves (nothing is ever fetched), and patterns
that an engine matches in linear time, because they come from users.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema_rs

from retinue_core.free_json import path
from services.agent.domain.findings import Finding, closest

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
_REFERENCES = ("$ref", "$dynamicRef")
_DATA = frozenset({"const", "default", "enum", "examples"})
_MOST = 50
_LONGEST = 300


def schema_findings(field: str, schema: dict[str, Any]) -> list[Finding]:
    """What is wrong with a schema, at most 50 things."""
    dialect = str(schema.get("$schema", DIALECT)).rstrip("#")
    if dialect != DIALECT:
        return [Finding(f"{field}.$schema", f"is {dialect[:200]!r}", f"Leave it out, or say {DIALECT!r}.")]
    found = [finding for error in _meta().iter_errors(schema) for finding in _meta_findings(field, error)]
    found.extend(_remote_references(field, schema))
    found.sort(key=lambda finding: finding.field)
    return found[:_MOST] or _compile_findings(field, schema)


@cache
def _meta() -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator({"$ref": DIALECT})


def _meta_findings(field: str, error: jsonschema_rs.ValidationError) -> list[Finding]:
    steps, value = error.instance_path, error.instance
    if steps and steps[-1] == "type":
        named = [([*steps, at], name) for at, name in enumerate(value)] if isinstance(value, list) else [(steps, value)]
        wrong = [(where, name) for where, name in named if isinstance(name, str) and name not in _TYPES]
        if wrong:
            return [_no_type(path(field, where), name) for where, name in wrong]
    return [Finding(path(field, steps), error.message[:_LONGEST], "See the keyword in JSON Schema draft 2020-12.")]


def _no_type(where: str, name: str) -> Finding:
    known = "Use one of " + ", ".join(_TYPES) + "."
    return Finding(where, f"{name[:50]!r} is not a type", closest(name, _TYPES, known))


def _remote_references(field: str, schema: dict[str, Any]) -> Iterator[Finding]:
    inside = "Put what it refers to under $defs, and refer to '#/$defs/…'."
    stack: list[tuple[Any, tuple[str | int, ...]]] = [(schema, ())]
    while stack:
        item, steps = stack.pop()
        if isinstance(item, list):
            stack.extend((child, (*steps, index)) for index, child in enumerate(item))
        if not isinstance(item, dict):
            continue
        for key, child in item.items():
            here = (*steps, key)
            if key in _REFERENCES and isinstance(child, str) and not child.startswith("#"):
                yield Finding(path(field, here), f"refers to {child[:200]!r}, outside of the schema", inside)
            elif key not in _DATA:
                stack.append((child, here))


def _compile_findings(field: str, schema: dict[str, Any]) -> list[Finding]:
    try:
        jsonschema_rs.Draft202012Validator(schema, offline=True, pattern_options=jsonschema_rs.RegexOptions())
    except jsonschema_rs.ValidationError as error:
        steps, message = error.instance_path, error.message[:_LONGEST]
        if not _is_pattern(steps):
            return [Finding(path(field, steps), message, "Correct the schema, or refer only to what is in it.")]
        linear = f"{message}, or not one that can be matched in linear time"
        return [Finding(path(field, steps), linear, "Use no look-around and no back-references.")]
    return []


def _is_pattern(steps: list[str | int]) -> bool:
    return "pattern" in steps[-1:] or "patternProperties" in steps[-2:]
