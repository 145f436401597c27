"""Signatures as JSON Schema, both ways.

Owns what each type is in JSON Schema (draft 2020-12). An object takes no members that its signature does not name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from retinue_client.signatures.text import SignatureError
from retinue_client.signatures.types import UNSET, AnyOf, DictOf, Field, ListOf, OneOf, Signature, Simple, Type

Schema = Mapping[str, Any]

_SIMPLE: dict[str, dict[str, Any]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "datetime": {"type": "string", "format": "date-time"},
    "list": {"type": "array"},
    "dict": {"type": "object"},
    "None": {"type": "null"},
    "any": {},
}
_NULL = {"type": "null"}
_BESIDE = ("title", "description", "default")
_OBJECT = {"$schema", "type", "properties", "required", "additionalProperties", "title", "description"}


def to_schema(fields: Iterable[Field]) -> dict[str, Any]:
    """The JSON Schema of an object with these fields."""
    fields = tuple(fields)
    return {
        "type": "object",
        "properties": {field.name: _member(field) for field in fields},
        "required": [field.name for field in fields if field.required],
        "additionalProperties": False,
    }


def _member(field: Field) -> dict[str, Any]:
    schema = _of(field.type)
    if field.optional:
        schema = _nullable(schema)
    if field.description:
        schema["description"] = field.description
    if field.default is not UNSET:
        schema["default"] = field.default
    return schema


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    if not schema:
        return schema
    if isinstance(schema.get("type"), str) and "enum" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [*schema.get("anyOf", [schema]), _NULL]}


def _of(kind: Type) -> dict[str, Any]:
    if isinstance(kind, ListOf):
        return {"type": "array", "items": _of(kind.item)}
    if isinstance(kind, DictOf):
        return {"type": "object", "additionalProperties": _of(kind.value)}
    if isinstance(kind, OneOf):
        only_text = all(isinstance(value, str) for value in kind.values)
        return ({"type": "string"} if only_text else {}) | {"enum": list(kind.values)}
    if isinstance(kind, AnyOf):
        return {"anyOf": [_of(option) for option in kind.options]}
    return dict(_SIMPLE[kind.name])


def from_schemas(given: Schema | None, answered: Schema | None) -> Signature | None:
    """The signature behind two schemas; None where a signature cannot say what they say.

    Members of JSON objects have no order: required fields come in the order of `required`, then the others by name.
    """
    if answered is None:
        return None
    try:
        return Signature(_fields(given) if given else (), _fields(answered))
    except SignatureError:
        return None


def _fields(schema: Schema) -> tuple[Field, ...]:
    properties = schema.get("properties", {})
    if schema.get("type") != "object" or schema.get("additionalProperties") is not False or set(schema) - _OBJECT:
        raise SignatureError("the schema is not that of an object with known members")
    required = list(schema.get("required", ()))
    names = [*(name for name in required if name in properties), *sorted(set(properties) - set(required))]
    fields = tuple(_field(name, properties[name], required=name in required) for name in names)
    if any(field.required is not (field.name in required) for field in fields) or set(required) - set(properties):
        raise SignatureError("what may be null is required, or the other way round")
    return fields


def _field(name: str, schema: Schema, *, required: bool) -> Field:
    if not name.isidentifier():
        raise SignatureError(f"{name!r} is not the name of a field")
    kind, optional = _type(schema)
    if kind == Simple("any"):
        optional = not required and "default" not in schema
    return Field(name, kind, optional, schema.get("default", UNSET), schema.get("description", ""))


def _type(schema: Schema) -> tuple[Type, bool]:
    """The type behind a schema, and whether null may stand in its place."""
    kind, said = schema.get("type"), {key: item for key, item in schema.items() if key not in _BESIDE}
    if isinstance(kind, list) and len(kind) == 2 and kind[1] == "null":
        return _plain({**said, "type": kind[0]}), True
    if set(said) == {"anyOf"}:
        options = tuple(_plain(option) for option in said["anyOf"] if option != _NULL)
        return (options[0] if len(options) == 1 else AnyOf(options)), _NULL in said["anyOf"]
    return _plain(said), False


def _plain(schema: Schema) -> Type:
    for name, known in _SIMPLE.items():
        if schema == known:
            return Simple(name)
    keys = set(schema)
    if keys == {"type", "items"} and schema["type"] == "array":
        return ListOf(_inside(schema["items"]))
    if keys == {"type", "additionalProperties"} and isinstance(schema["additionalProperties"], Mapping):
        return DictOf(_inside(schema["additionalProperties"]))
    if "enum" in keys and keys <= {"type", "enum"} and all(isinstance(value, str | int) for value in schema["enum"]):
        return OneOf(tuple(schema["enum"]))
    raise SignatureError("the schema says more than a signature can")


def _inside(schema: Schema) -> Type:
    kind, nullable = _type(schema)
    if not nullable:
        return kind
    return AnyOf((*(kind.options if isinstance(kind, AnyOf) else (kind,)), Simple("None")))
