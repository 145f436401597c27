"""Examples of request bodies, made from their schemas.

Owns which fields an example shows: the required ones, and those for which the proto's comment
gives an example.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.gateway.openapi.schemas import Schema

_REFERENCE = "#/components/schemas/"
_DEEPEST = 4


def sample(schema: Schema, components: Mapping[str, Schema], depth: int = 0) -> Any:
    """A value that fits `schema`."""
    if schema.get("examples"):
        return schema["examples"][0]
    if "$ref" in schema:
        return sample(components[schema["$ref"].removeprefix(_REFERENCE)], components, depth)
    if "enum" in schema:
        return schema["enum"][1 if len(schema["enum"]) > 1 else 0]
    kind = schema.get("type")
    if kind == "object":
        return _object(schema, components, depth)
    if kind == "array":
        return [] if depth > _DEEPEST else [sample(schema["items"], components, depth + 1)]
    return _PLAIN.get((kind, schema.get("format")), _PLAIN.get((kind, None), {}))


def _object(schema: Schema, components: Mapping[str, Schema], depth: int) -> dict[str, Any]:
    required = schema.get("required", ())
    return {
        name: sample(member, components, depth + 1)
        for name, member in schema.get("properties", {}).items()
        if not member.get("readOnly") and (name in required or (depth <= _DEEPEST and member.get("examples")))
    }


_PLAIN: dict[tuple[Any, Any], Any] = {
    ("string", None): "text",
    ("string", "int64"): "1",
    ("string", "uint64"): "1",
    ("integer", None): 1,
    ("number", None): 1.0,
    ("boolean", None): True,
    ("null", None): None,
}
