"""JSON Schemas of messages, as the transcoder reads and writes them.

Owns the components of the description. A message is described once, under its name without the
package, or with its room before it where two rooms use the same name.
"""

from __future__ import annotations

import re
from typing import Any

from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from services.gateway.openapi.comments import Comments
from services.gateway.transcode.json_out import is_map, is_wrapper, map_entry

Schema = dict[str, Any]

_F = FieldDescriptor
_EXAMPLE = re.compile(r"for example `([^`]+)`", re.IGNORECASE)
_INT32: Schema = {"type": "integer", "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1}
_UINT32: Schema = {"type": "integer", "minimum": 0, "maximum": 2**32 - 1}
_INT64: Schema = {"type": "string", "format": "int64", "pattern": r"^-?[0-9]{1,19}$"}
_UINT64: Schema = {"type": "string", "format": "uint64", "pattern": r"^[0-9]{1,20}$"}

_SCALARS: dict[int, Schema] = {
    _F.TYPE_INT32: _INT32,
    _F.TYPE_SINT32: _INT32,
    _F.TYPE_SFIXED32: _INT32,
    _F.TYPE_UINT32: _UINT32,
    _F.TYPE_FIXED32: _UINT32,
    _F.TYPE_INT64: _INT64,
    _F.TYPE_SINT64: _INT64,
    _F.TYPE_SFIXED64: _INT64,
    _F.TYPE_UINT64: _UINT64,
    _F.TYPE_FIXED64: _UINT64,
    _F.TYPE_DOUBLE: {"type": "number", "format": "double"},
    _F.TYPE_FLOAT: {"type": "number", "format": "float"},
    _F.TYPE_BOOL: {"type": "boolean"},
    _F.TYPE_STRING: {"type": "string"},
    _F.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
}

_WELL_KNOWN: dict[str, Schema] = {
    "google.protobuf.Timestamp": {
        "type": "string",
        "format": "date-time",
        "examples": ["2026-01-31T12:00:00Z"],
    },
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$", "examples": ["30s"]},
    "google.protobuf.FieldMask": {"type": "string", "examples": ["name,maxSteps"]},
    "google.protobuf.Struct": {"type": "object", "additionalProperties": True},
    "google.protobuf.Value": {},
    "google.protobuf.ListValue": {"type": "array", "items": {}},
    "google.protobuf.NullValue": {"type": "null"},
    "google.protobuf.Any": {
        "type": "object",
        "properties": {"@type": {"type": "string"}},
        "required": ["@type"],
        "additionalProperties": True,
    },
}


class Schemas:
    """Describes messages and collects their components."""

    def __init__(self, comments: Comments) -> None:
        self._comments = comments
        self._names: dict[str, str] = {}
        self.components: dict[str, Schema] = {}

    def message(self, descriptor: Descriptor) -> Schema:
        """The schema of a message: a reference, or what a well-known message is written as."""
        known = _WELL_KNOWN.get(descriptor.full_name)
        if known is not None:
            return dict(known)
        if is_wrapper(descriptor):
            return self.field(descriptor.fields_by_name["value"])
        name = self._name(descriptor)
        if name not in self.components:
            self.components[name] = {}
            self.components[name] = self.object_of(descriptor)
        return {"$ref": f"#/components/schemas/{name}"}

    def object_of(self, descriptor: Descriptor, *, without: frozenset[str] = frozenset()) -> Schema:
        """The schema of a message as an object of its fields, less those whose names are in `without`."""
        fields = [field for field in descriptor.fields if field.name not in without]
        schema: Schema = {"type": "object"}
        if text := self._comments.get(descriptor.full_name):
            schema["description"] = text
        schema["properties"] = {field.json_name: self.field(field) for field in fields}
        required = [field.json_name for field in fields if behaves(field, field_behavior_pb2.REQUIRED)]
        if required:
            schema["required"] = required
        schema["additionalProperties"] = False
        return schema

    def field(self, field: FieldDescriptor) -> Schema:
        """The schema of a field, with its comment."""
        schema = self._shape(field)
        if text := self._comments.get(field.full_name):
            schema["description"] = text
            if match := _EXAMPLE.search(text):
                schema |= _example(schema, match[1])
        if behaves(field, field_behavior_pb2.OUTPUT_ONLY):
            schema["readOnly"] = True
        return schema

    def _shape(self, field: FieldDescriptor) -> Schema:
        if is_map(field):
            return {"type": "object", "additionalProperties": self._single(map_entry(field)["value"])}
        if field.is_repeated:
            return {"type": "array", "items": self._single(field)}
        return self._single(field)

    def _single(self, field: FieldDescriptor) -> Schema:
        if field.message_type is not None:
            return self.message(field.message_type)
        if field.enum_type is not None:
            return self._enum(field.enum_type)
        return dict(_SCALARS[field.type])

    def _enum(self, enum: EnumDescriptor) -> Schema:
        if enum.full_name in _WELL_KNOWN:
            return dict(_WELL_KNOWN[enum.full_name])
        name = self._name(enum)
        if name not in self.components:
            lines = [self._comments.get(enum.full_name, "")]
            lines += [
                f"- `{value.name}`: {text}"
                for value in enum.values
                if (text := self._comments.get(f"{enum.full_name}.{value.name}"))
            ]
            values = [value.name for value in enum.values]
            self.components[name] = {"type": "string", "enum": values, "description": "\n".join(lines).strip()}
        return {"$ref": f"#/components/schemas/{name}"}

    def _name(self, descriptor: Descriptor | EnumDescriptor) -> str:
        package = descriptor.file.package
        short = descriptor.full_name.removeprefix(f"{package}.")
        taken = self._names.setdefault(short, package)
        return short if taken == package else f"{package.split('.')[-2]}.{short}"


def behaves(field: FieldDescriptor, behavior: int) -> bool:
    """Whether a field is annotated with a google.api.field_behavior."""
    return behavior in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]


def _example(schema: Schema, text: str) -> Schema:
    kind = schema.get("type")
    if kind == "string":
        return {"examples": [text]}
    if kind == "integer" and text.isdecimal():
        return {"examples": [int(text)]}
    return {}
