"""Protos to the client's own data, and that data to JSON.

Owns both conversions, each once for all shapes: a field of a dataclass is read from the proto field of its name. It
refuses nothing: an enum value that is newer than this client is told by its number.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from retinue_core import values

M = TypeVar("M")
Read = Callable[[Message], Any]


def read(cls: type[M], message: Message, **more: Any) -> M:
    """Build a dataclass from a message; `more` are the fields that no message has."""
    shape: Any = cls
    return cls(**{name: reader(message) for name, reader in _readers(shape, message.DESCRIPTOR)}, **more)


@cache
def _readers(cls: Any, descriptor: Descriptor) -> tuple[tuple[str, Read], ...]:
    hints = get_type_hints(cls)
    return tuple(
        (field.name, _reader(descriptor.fields_by_name[field.name], hints[field.name]))
        for field in dataclasses.fields(cls)
        if field.name in descriptor.fields_by_name
    )


def _reader(field: FieldDescriptor, hint: Any) -> Read:
    name, one = field.name, _value(field, hint)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return lambda message: dict(getattr(message, name))
    if field.is_repeated:
        return lambda message: tuple(one(item) for item in getattr(message, name))
    if field.has_presence and _may_be_none(hint):
        return lambda message: one(getattr(message, name)) if message.HasField(name) else None
    return lambda message: one(getattr(message, name))


def _value(field: FieldDescriptor, hint: Any) -> Callable[[Any], Any]:
    if field.enum_type is not None:
        names = field.enum_type
        return lambda number: _enum_name(names, number)
    if field.message_type is None:
        return _same
    known = _KNOWN.get(field.message_type.full_name)
    if known is not None:
        return known
    shape = _shape(hint)
    return lambda message: read(shape, message)


def _same(value: Any) -> Any:
    return value


def _enum_name(names: EnumDescriptor, number: int) -> str:
    known = names.values_by_number.get(number)
    if known is None:
        return str(number)
    return known.name if number else ""


_KNOWN: dict[str, Callable[[Any], Any]] = {
    "google.protobuf.Value": values.to_python,
    "google.protobuf.Struct": values.struct_to_python,
    "google.protobuf.Timestamp": lambda timestamp: timestamp.ToDatetime(UTC),
    "google.protobuf.Duration": lambda duration: duration.ToNanoseconds() / 1e9,
}


def _may_be_none(hint: Any) -> bool:
    return hint is Any or type(None) in get_args(hint)


def _shape(hint: Any) -> Any:
    """The dataclass in a type hint: itself, of an optional, or of the items of a tuple."""
    if get_origin(hint) in (Union, UnionType, tuple):
        return next(shape for shape in map(_shape, get_args(hint)) if dataclasses.is_dataclass(shape))
    return hint


def to_json(found: Any) -> Any:
    """Turn a model, or many, into what `json` can write: names as REST writes them, moments in RFC 3339.

    Members that are not set are left out. Free JSON is sorted: protobuf keeps no order of its members.
    """
    if dataclasses.is_dataclass(found) and not isinstance(found, type):
        public = [field.name for field in dataclasses.fields(found) if not field.name.startswith("_")]
        members = ((camel(name), _member(found, name)) for name in public)
        return {name: value for name, value in members if value is not None}
    if isinstance(found, datetime):
        return found.isoformat().replace("+00:00", "Z")
    if isinstance(found, list | tuple):
        return [to_json(item) for item in found]
    if isinstance(found, Mapping):
        return {name: to_json(found[name]) for name in sorted(found)}
    return found


def _member(found: Any, name: str) -> Any:
    value = getattr(found, name)
    return f"{value:g}s" if name in _DURATIONS and isinstance(value, float) else to_json(value)


_DURATIONS = ("timeout", "duration")


def camel(name: str) -> str:
    """A name as REST writes it: `max_steps` is `maxSteps`."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
