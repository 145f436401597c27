"""JSON to messages: one closure per message type, compiled on first use.

Owns what a request body may hold. Strict: an unknown field, a second spelling of a field and a
second member of a oneof are problems, never silence, and all problems of a body are collected.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from services.gateway.transcode import dynamic, masks, times
from services.gateway.transcode.json_out import is_map, is_plain, is_wrapper, map_entry
from services.gateway.transcode.problems import Problems, RefusedError, join, kind_of
from services.gateway.transcode.scalars import Convert, scalar_in

Fill = Callable[[Any, Any, str, Problems], None]
"""Reads a JSON value (at a path) into a message, adding what is wrong with it to Problems."""

FillField = Callable[[Any, Any, str, str, Problems], None]
"""Reads a JSON value (in an object at a path, under a key) into one field of a message."""

_LONGEST_GUESS = 64
_TAKES_NULL = frozenset({"google.protobuf.Value", "google.protobuf.NullValue"})


class Parser:
    """Compiles and keeps the closures that read messages; `pool` resolves what Any names."""

    def __init__(self, pool: DescriptorPool) -> None:
        self._pool = pool
        self._fills: dict[str, Fill] = {
            "google.protobuf.Timestamp": _simple(times.fill_timestamp),
            "google.protobuf.Duration": _simple(times.fill_duration),
            "google.protobuf.FieldMask": _simple(masks.fill_mask),
            "google.protobuf.Struct": dynamic.fill_struct,
            "google.protobuf.Value": dynamic.fill_value,
            "google.protobuf.ListValue": dynamic.fill_list,
            "google.protobuf.Any": self._fill_any,
        }

    def parser(self, descriptor: Descriptor) -> Fill:
        """The closure for `descriptor`."""
        name = descriptor.full_name
        found = self._fills.get(name)
        if found is None:
            found = _wrapper(descriptor) if is_wrapper(descriptor) else self._message(descriptor)
            self._fills[name] = found
        return found

    def _message(self, descriptor: Descriptor) -> Fill:
        fields: dict[str, _Field] = {}

        def fill(value: Any, message: Any, at: str, problems: Problems) -> None:
            if type(value) is not dict:
                problems.add(at, f"must be an object, not {kind_of(value)}")
                return
            chosen: dict[str, str] = {}
            for key, item in value.items():
                field = fields.get(key)
                if field is None:
                    problems.add(join(at, key), _unknown(key, descriptor))
                elif field.other is not None and field.other in value:
                    problems.add(join(at, key), f"is given twice, also as {field.other}; send it once")
                elif item is not None or field.takes_null:
                    if field.oneof is not None and chosen.setdefault(field.oneof, key) != key:
                        problems.add(join(at, key), f"cannot stand beside {chosen[field.oneof]}; send one of them")
                    field.fill(item, message, at, key, problems)

        # Known before its fields are compiled, so that a message may contain itself.
        self._fills[descriptor.full_name] = fill
        for field in descriptor.fields:
            fill_field = self.field(field)
            fields[field.json_name] = _Field(field, fill_field)
            if field.name != field.json_name:
                fields[field.name] = _Field(field, fill_field, other=field.json_name)
        return fill

    def field(self, field: FieldDescriptor) -> FillField:
        """The closure for one field of a message."""
        if is_map(field):
            return self._map(field)
        if field.message_type is not None:
            inner, null = self.parser(field.message_type), field.message_type.full_name in _TAKES_NULL
            return _message_list(field, inner, null=null) if field.is_repeated else _message_field(field, inner)
        convert = scalar_in(field)
        return _list(field, convert) if field.is_repeated else _scalar(field, convert)

    def _map(self, field: FieldDescriptor) -> FillField:
        entry = map_entry(field)
        of_key = _map_key(entry["key"])
        put = self._map_value(entry["value"])
        name = field.name

        def fill(value: Any, message: Any, at: str, key: str, problems: Problems) -> None:
            if type(value) is not dict:
                problems.add(join(at, key), f"must be an object, not {kind_of(value)}")
                return
            target, here = getattr(message, name), join(at, key)
            for text, item in value.items():
                try:
                    put(target, of_key(text), item, join(here, text), problems)
                except RefusedError as refused:
                    problems.add(join(here, text), str(refused))

        return fill

    def _map_value(self, field: FieldDescriptor) -> Callable[..., None]:
        if field.message_type is not None:
            inner = self.parser(field.message_type)
            null = field.message_type.full_name in _TAKES_NULL

            def put_message(target: Any, key: Any, item: Any, at: str, problems: Problems) -> None:
                if item is None and not null:
                    raise RefusedError("must not be null; leave the key out")
                inner(item, target[key], at, problems)

            return put_message
        convert = scalar_in(field)

        def put(target: Any, key: Any, item: Any, at: str, problems: Problems) -> None:
            target[key] = convert(item)

        return put

    def _fill_any(self, value: Any, message: Any, at: str, problems: Problems) -> None:
        url = value.get("@type") if type(value) is dict else None
        if type(url) is not str:
            problems.add(at, 'must be an object with "@type"')
            return
        try:
            descriptor = self._pool.FindMessageTypeByName(url.rpartition("/")[2])
        except KeyError:
            problems.add(join(at, "@type"), "names no message type of this API")
            return
        rest = {key: item for key, item in value.items() if key != "@type"}
        inner = GetMessageClass(descriptor)()
        body, here = (rest, at) if is_plain(descriptor) else (rest.get("value"), join(at, "value"))
        self.parser(descriptor)(body, inner, here, problems)
        message.type_url, message.value = url, inner.SerializeToString()


class _Field:
    """One field of a message: how it is filled, and what must not stand beside it."""

    __slots__ = ("fill", "oneof", "other", "takes_null")

    def __init__(self, field: FieldDescriptor, fill: FillField, other: str | None = None) -> None:
        kind = field.message_type or field.enum_type
        oneof = field.containing_oneof
        self.fill = fill
        self.other = other
        self.takes_null = kind is not None and kind.full_name in _TAKES_NULL
        self.takes_null = self.takes_null and not field.is_repeated
        self.oneof = oneof.name if oneof is not None and len(oneof.fields) > 1 else None


def _scalar(field: FieldDescriptor, convert: Convert) -> FillField:
    name = field.name

    def fill(value: Any, message: Any, at: str, key: str, problems: Problems) -> None:
        try:
            setattr(message, name, convert(value))
        except RefusedError as refused:
            problems.add(join(at, key), str(refused))

    return fill


def _message_field(field: FieldDescriptor, inner: Fill) -> FillField:
    name = field.name

    def fill(value: Any, message: Any, at: str, key: str, problems: Problems) -> None:
        target = getattr(message, name)
        inner(value, target, join(at, key), problems)
        # An empty object sets the field although it sets nothing inside.
        target.SetInParent()

    return fill


def _list(field: FieldDescriptor, convert: Convert) -> FillField:
    name = field.name

    def fill(value: Any, message: Any, at: str, key: str, problems: Problems) -> None:
        if type(value) is not list:
            problems.add(join(at, key), f"must be a list, not {kind_of(value)}")
            return
        add = getattr(message, name).append
        for index, item in enumerate(value):
            try:
                add(convert(item))
            except RefusedError as refused:
                problems.add(f"{join(at, key)}[{index}]", str(refused))

    return fill


def _message_list(field: FieldDescriptor, inner: Fill, *, null: bool) -> FillField:
    name = field.name

    def fill(value: Any, message: Any, at: str, key: str, problems: Problems) -> None:
        if type(value) is not list:
            problems.add(join(at, key), f"must be a list, not {kind_of(value)}")
            return
        target, here = getattr(message, name), join(at, key)
        for index, item in enumerate(value):
            if item is None and not null:
                problems.add(f"{here}[{index}]", "must not be null; leave the element out")
            else:
                inner(item, target.add(), f"{here}[{index}]", problems)

    return fill


def _map_key(field: FieldDescriptor) -> Convert:
    if field.type == FieldDescriptor.TYPE_BOOL:
        return _bool_key
    return scalar_in(field)


def _bool_key(text: str) -> bool:
    if text in ("true", "false"):
        return text == "true"
    raise RefusedError('must have "true" or "false" as its keys')


def _simple(fill: Callable[[Any, Any], None]) -> Fill:
    """A fill of a message that is one string, as one that collects problems."""

    def collecting(value: Any, message: Any, at: str, problems: Problems) -> None:
        try:
            fill(value, message)
        except RefusedError as refused:
            problems.add(at, str(refused))

    return collecting


def _wrapper(descriptor: Descriptor) -> Fill:
    convert = scalar_in(descriptor.fields_by_name["value"])

    def fill(value: Any, message: Any) -> None:
        message.value = convert(value)

    return _simple(fill)


def _unknown(key: str, descriptor: Descriptor) -> str:
    names = [field.json_name for field in descriptor.fields]
    near = get_close_matches(key, names, 1) if len(key) <= _LONGEST_GUESS else []
    if near:
        return f"is not a field of {descriptor.name}; did you mean {near[0]}?"
    known = f"its fields are {', '.join(names)}" if names else "it has no fields"
    return f"is not a field of {descriptor.name}; {known}"
