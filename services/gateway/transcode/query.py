"""Texts outside of a body to fields: query parameters, path variables, headers.

Owns which fields a parameter can name (scalars, lists of them, times, durations, masks, wrappers,
and the members of messages by a dotted path). Unknown parameters are problems.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any
from urllib.parse import parse_qsl

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from services.gateway.transcode.json_in import Parser
from services.gateway.transcode.json_out import is_map, is_wrapper
from services.gateway.transcode.masks import fields_by_key
from services.gateway.transcode.problems import Problems, RefusedError
from services.gateway.transcode.scalars import Convert, scalar_in

_TEXTUAL = frozenset({"google.protobuf.Timestamp", "google.protobuf.Duration", "google.protobuf.FieldMask"})
_MOST_PARAMETERS = 500
_DEEPEST = 10
_LONGEST_GUESS = 64


class Query:
    """Reads the query string of one route into its request; `taken` are fields that path and body give."""

    def __init__(self, request: Descriptor, parser: Parser, taken: frozenset[str]) -> None:
        self._request = request
        self._taken = taken
        self._parser = parser
        self._leaves: dict[str, Leaf] = {
            key: Leaf((), field, parser)
            for key, field in fields_by_key(request).items()
            if field.name not in taken and is_leaf(field)
        }

    def read(self, query: bytes, message: Any, problems: Problems) -> None:
        """Reads all parameters, in the order in which they were sent."""
        try:
            pairs = parse_qsl(
                query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_PARAMETERS
            )
        except UnicodeDecodeError:
            problems.add("query", "must be percent-encoded UTF-8")
            return
        except ValueError:
            problems.add("query", f"has more than {_MOST_PARAMETERS} parameters; send less")
            return
        seen: set[str] = set()
        for key, value in pairs:
            leaf = self._leaves.get(key) or self._nested(key)
            if isinstance(leaf, str):
                problems.add(key, leaf)
            elif leaf.name in seen and not leaf.repeated:
                problems.add(key, "is given twice; send it once")
            else:
                seen.add(leaf.name)
                leaf.put(value, message, key, problems)

    def _nested(self, key: str) -> Leaf | str:
        """The leaf at a dotted path, or why there is none."""
        parts = key.split(".")
        here: Descriptor | None = self._request
        chain: list[str] = []
        for depth, part in enumerate(parts):
            field = fields_by_key(here).get(part) if here is not None else None
            if field is None or here is None or depth > _DEEPEST:
                return _unknown(part, here)
            chain.append(field.name)
            if ".".join(chain) in self._taken:
                return "is not a parameter here: the path or the body gives it"
            if depth == len(parts) - 1:
                return Leaf(tuple(chain[:-1]), field, self._parser) if is_leaf(field) else _cannot(field)
            here = field.message_type if not field.is_repeated and not is_leaf(field) else None
        return _unknown(key, self._request)


class Leaf:
    """A field that one text can set, inside the messages named by `chain`."""

    __slots__ = ("_chain", "_convert", "_field", "_fill", "_oneof", "name", "repeated")

    def __init__(self, chain: tuple[str, ...], field: FieldDescriptor, parser: Parser) -> None:
        self.name = ".".join((*chain, field.name))
        self.repeated = field.is_repeated
        self._chain = chain
        self._field = field.name
        kind = field.message_type
        self._convert = _text_in(field) if kind is None else _wrapped_in(kind)
        self._fill = parser.parser(kind) if kind is not None else None
        oneof = field.containing_oneof
        self._oneof = oneof.name if oneof is not None and len(oneof.fields) > 1 else None

    def put(self, text: str, message: Any, at: str, problems: Problems) -> None:
        """Sets the field; what is wrong with `text` is a problem at `at`."""
        if "\x00" in text:
            problems.add(at, "must not hold a null byte; remove it")
            return
        target = self.holder(message)
        if self._oneof is not None and target.WhichOneof(self._oneof) not in (None, self._field):
            problems.add(at, f"cannot stand beside {target.WhichOneof(self._oneof)}; send one of them")
            return
        try:
            value = self._convert(text)
        except RefusedError as refused:
            problems.add(at, str(refused))
            return
        if self._fill is not None:
            inner = getattr(target, self._field)
            self._fill(value, inner.add() if self.repeated else inner, at, problems)
        elif self.repeated:
            getattr(target, self._field).append(value)
        else:
            setattr(target, self._field, value)

    def holder(self, message: Any) -> Any:
        """The message that holds the field."""
        for name in self._chain:
            message = getattr(message, name)
        return message

    def get(self, message: Any) -> Any:
        """The value of the field; its default where it is not set."""
        return getattr(self.holder(message), self._field)


def is_leaf(field: FieldDescriptor) -> bool:
    """Whether one text can set the field."""
    kind = field.message_type
    if kind is None:
        return True
    return not is_map(field) and (kind.full_name in _TEXTUAL or is_wrapper(kind))


def _text_in(field: FieldDescriptor) -> Convert:
    if field.type == FieldDescriptor.TYPE_BOOL:
        return _bool
    convert = scalar_in(field)
    if field.enum_type is None:
        return convert
    return lambda text: convert(int(text) if text.isdecimal() and len(text) < 10 else text)


def _wrapped_in(message: Descriptor) -> Convert:
    """What a text must become before the parser of a well-known message takes it."""
    value = message.fields_by_name.get("value") if is_wrapper(message) else None
    return _bool if value is not None and value.type == FieldDescriptor.TYPE_BOOL else _same


def _bool(text: str) -> bool:
    if text in ("true", "false"):
        return text == "true"
    raise RefusedError(f'must be true or false, not "{text[:40]}"')


def _same(text: str) -> str:
    return text


def _cannot(field: FieldDescriptor) -> str:
    kind = field.message_type
    inside = kind is not None and not field.is_repeated and kind.file.package != "google.protobuf"
    if inside and kind is not None:
        return f"is an object; name one of its fields, such as {field.json_name}.{kind.fields[0].json_name}"
    return "cannot be sent as a parameter"


def _unknown(key: str, message: Descriptor | None) -> str:
    names = [field.json_name for field in message.fields] if message is not None else []
    near = get_close_matches(key, names, 1) if len(key) <= _LONGEST_GUESS else []
    return f"is not a parameter; did you mean {near[0]}?" if near else "is not a parameter of this route"
