"""What of a JSON Schema means something: its text without annotations, and what its references point to.

Owns the knowledge of which keywords only annotate and under which keywords schemas stand (draft 2020-12).
"""

from __future__ import annotations

import json
from typing import Any

Json = dict[str, Any]
Schema = Json | bool

_PLACES = ("$defs", "definitions")
ANNOTATIONS = frozenset(
    ("$comment", "$schema", "default", "deprecated", "description", "examples", "format", "readOnly", "title")
).union(_PLACES, ("writeOnly",))
"""Keywords that accept everything. `format` is one in this draft; definitions count where they are referred to."""

_OF_SCHEMAS = (*_PLACES, "properties", "patternProperties", "dependentSchemas")
_ONE_SCHEMA = ("additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then")
_LISTS_OF_SCHEMAS = ("allOf", "anyOf", "oneOf", "prefixItems")
_ANCHORS = ("$anchor", "$dynamicAnchor", "$dynamicRef", "$id", "$recursiveRef")
_MOST_HOPS = 20


def meaning(schema: Any) -> str:
    """The canonical text of a schema without its annotations; definitions stay."""
    return json.dumps(_stripped(schema), sort_keys=True)


def unnamed(root: Schema) -> Schema:
    """A schema without the name it has as a whole, which says nothing while nothing refers to it from outside."""
    return {key: value for key, value in root.items() if key != "$id"} if isinstance(root, dict) else root


def definitions(root: Schema) -> str:
    """The canonical text of all that references may point to: the whole schema, where one does so outside of $defs."""
    text = meaning(root)
    inside = sum(text.count(f'"$ref": "#/{place}/') for place in _PLACES)
    if not isinstance(root, dict) or inside != text.count('"$ref"'):
        return text
    return meaning({place: root[place] for place in _PLACES if place in root})


def has_anchors(schema: Any) -> bool:
    """Whether a schema names parts of itself in ways that references by path do not need."""
    text = json.dumps(schema)
    return any(f'"{name}"' in text for name in _ANCHORS)


def resolved(root: Schema, schema: Schema) -> Schema:
    """What a reference points to, where it can be followed and nothing that means something stands beside it."""
    for _ in range(_MOST_HOPS):
        if not isinstance(schema, dict) or schema.keys() - ANNOTATIONS != {"$ref"}:
            return schema
        target = _target(root, schema["$ref"])
        if target is None:
            return schema
        schema = target
    return schema


def _target(root: Schema, reference: str) -> Schema | None:
    if "%" in reference or not (reference == "#" or reference.startswith("#/")):
        return None
    target: Any = root
    for step in reference.split("/")[1:]:
        named = step.replace("~1", "/").replace("~0", "~")
        target = target.get(named) if isinstance(target, dict) else None
    return target if isinstance(target, dict | bool) else None


def _stripped(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    kept = {key: value for key, value in schema.items() if key in _PLACES or key not in ANNOTATIONS}
    for key, value in kept.items():
        if key in _OF_SCHEMAS and isinstance(value, dict):
            kept[key] = {name: _stripped(inner) for name, inner in value.items()}
        elif key in _ONE_SCHEMA:
            kept[key] = _stripped(value)
        elif key in _LISTS_OF_SCHEMAS and isinstance(value, list):
            kept[key] = [_stripped(inner) for inner in value]
    return kept
