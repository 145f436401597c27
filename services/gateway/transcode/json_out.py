"""Messages to JSON: one closure per message type, compiled on first use.

Owns the shape of every response body. Fields without presence are always written, so that
clients see zeros and empty lists; messages and optional fields that are not set are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from services.gateway.transcode import dynamic, masks, times
from services.gateway.transcode.scalars import Convert, scalar_out

Print = Callable[[Any], Any]
"""A message to the JSON value that stands for it."""

_Step = Callable[[Any, dict[str, Any]], None]


class Printer:
    """Compiles and keeps the closures that write messages; `pool` resolves what Any holds."""

    def __init__(self, pool: DescriptorPool) -> None:
        self._pool = pool
        self._prints: dict[str, Print] = {
            "google.protobuf.Timestamp": times.print_timestamp,
            "google.protobuf.Duration": times.print_duration,
            "google.protobuf.FieldMask": masks.print_mask,
            "google.protobuf.Struct": dynamic.print_struct,
            "google.protobuf.Value": dynamic.print_value,
            "google.protobuf.ListValue": dynamic.print_list,
            "google.protobuf.Any": self._print_any,
        }

    def printer(self, descriptor: Descriptor) -> Print:
        """The closure for `descriptor`."""
        name = descriptor.full_name
        found = self._prints.get(name)
        if found is None:
            found = _wrapper(descriptor) if is_wrapper(descriptor) else self._message(descriptor)
            self._prints[name] = found
        return found

    def field_printer(self, field: FieldDescriptor) -> Print:
        """The closure that writes one field of a message as if it stood alone; None where it is not set."""
        step = self._step(field)

        def write(message: Any) -> Any:
            out: dict[str, Any] = {}
            step(message, out)
            return out.get(field.json_name)

        return write

    def _message(self, descriptor: Descriptor) -> Print:
        steps: list[_Step] = []

        def write(message: Any) -> dict[str, Any]:
            out: dict[str, Any] = {}
            for step in steps:
                step(message, out)
            return out

        # Known before its fields are compiled, so that a message may contain itself.
        self._prints[descriptor.full_name] = write
        steps.extend(self._step(field) for field in descriptor.fields)
        return write

    def _step(self, field: FieldDescriptor) -> _Step:
        if is_map(field):
            return self._map_step(field)
        convert = self._convert(field)
        if field.is_repeated:
            return _list_step(field, convert)
        return _optional_step(field, convert) if field.has_presence else _plain_step(field, convert)

    def _convert(self, field: FieldDescriptor) -> Convert | None:
        if field.message_type is not None:
            return self.printer(field.message_type)
        return scalar_out(field)

    def _map_step(self, field: FieldDescriptor) -> _Step:
        name, key = field.name, field.json_name
        entry = map_entry(field)
        of_key = _bool_key if entry["key"].type == FieldDescriptor.TYPE_BOOL else str
        of_value = self._convert(entry["value"]) or _same

        def step(message: Any, out: dict[str, Any]) -> None:
            items = getattr(message, name)
            out[key] = {of_key(item): of_value(items[item]) for item in items}

        return step

    def _print_any(self, message: Any) -> dict[str, Any]:
        if not message.type_url:
            return {}
        descriptor = self._pool.FindMessageTypeByName(message.type_url.rpartition("/")[2])
        inner: Message = GetMessageClass(descriptor).FromString(message.value)
        written = self.printer(descriptor)(inner)
        head = {"@type": message.type_url}
        return head | written if is_plain(descriptor) else head | {"value": written}


def _plain_step(field: FieldDescriptor, convert: Convert | None) -> _Step:
    name, key = field.name, field.json_name
    if convert is None:

        def copy(message: Any, out: dict[str, Any]) -> None:
            out[key] = getattr(message, name)

        return copy

    def step(message: Any, out: dict[str, Any]) -> None:
        out[key] = convert(getattr(message, name))

    return step


def _optional_step(field: FieldDescriptor, convert: Convert | None) -> _Step:
    name, key = field.name, field.json_name
    of_value = convert or _same

    def step(message: Any, out: dict[str, Any]) -> None:
        if message.HasField(name):
            out[key] = of_value(getattr(message, name))

    return step


def _list_step(field: FieldDescriptor, convert: Convert | None) -> _Step:
    name, key = field.name, field.json_name
    if convert is None:

        def copy(message: Any, out: dict[str, Any]) -> None:
            out[key] = list(getattr(message, name))

        return copy

    def step(message: Any, out: dict[str, Any]) -> None:
        out[key] = [convert(item) for item in getattr(message, name)]

    return step


def _wrapper(descriptor: Descriptor) -> Print:
    convert = scalar_out(descriptor.fields_by_name["value"]) or _same
    return lambda message: convert(message.value)


def _bool_key(key: bool) -> str:
    return "true" if key else "false"


def _same(value: Any) -> Any:
    return value


def is_map(field: FieldDescriptor) -> bool:
    """Whether `field` is a map."""
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def map_entry(field: FieldDescriptor) -> Mapping[str, FieldDescriptor]:
    """The `key` and `value` of a map field."""
    entry = field.message_type
    assert entry is not None
    return entry.fields_by_name


def is_wrapper(descriptor: Descriptor) -> bool:
    """Whether the message is StringValue or another of its kind."""
    return descriptor.file.name == "google/protobuf/wrappers.proto"


def is_plain(descriptor: Descriptor) -> bool:
    """Whether the message is written as an object of its own fields."""
    if descriptor.full_name == "google.protobuf.Empty":
        return False
    return descriptor.file.package != "google.protobuf" or descriptor.file.name in (
        "google/protobuf/descriptor.proto",
        "google/protobuf/type.proto",
        "google/protobuf/api.proto",
        "google/protobuf/source_context.proto",
    )
