"""Plain JSON inside messages: Value, Struct and ListValue, both ways.

Refuses integers that a double cannot hold exactly: a client that sends the id
9007199254740993 must not read back another one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from services.gateway.transcode.problems import Problems, RefusedError, join, kind_of

_EXACT = 2**53
_TOO_PRECISE = "must be a number that a 64-bit float holds exactly; send a longer integer as a string"


def fill_value(value: Any, message: Any, at: str, problems: Problems) -> None:
    """Reads any JSON value into a Value."""
    try:
        _value(value, message)
    except RefusedError:
        _explain(value, at, problems)


def fill_struct(value: Any, message: Any, at: str, problems: Problems) -> None:
    """Reads a JSON object into a Struct."""
    if type(value) is not dict:
        problems.add(at, f"must be an object, not {kind_of(value)}")
        return
    try:
        _struct(value, message)
    except RefusedError:
        _explain(value, at, problems)


def fill_list(value: Any, message: Any, at: str, problems: Problems) -> None:
    """Reads a JSON list into a ListValue."""
    if type(value) is not list:
        problems.add(at, f"must be a list, not {kind_of(value)}")
        return
    try:
        _list(value, message)
    except RefusedError:
        _explain(value, at, problems)


def _value(value: Any, message: Any) -> None:
    kind = type(value)
    if kind is str:
        message.string_value = value
    elif kind is dict:
        _struct(value, message.struct_value)
    elif kind is int:
        message.number_value = _exact(value)
    elif kind is bool:
        message.bool_value = value
    elif kind is float:
        message.number_value = value
    elif kind is list:
        _list(value, message.list_value)
    else:
        message.null_value = 0


def _struct(value: dict[str, Any], message: Any) -> None:
    fields = message.fields
    if not value:
        message.SetInParent()
    for key, item in value.items():
        _value(item, fields[key])


def _list(value: list[Any], message: Any) -> None:
    add = message.values.add
    if not value:
        message.SetInParent()
    for item in value:
        _value(item, add())


def _exact(value: int) -> int:
    if -_EXACT <= value <= _EXACT or int(float(value)) == value:
        return value
    raise RefusedError(_TOO_PRECISE)


def _explain(value: Any, at: str, problems: Problems) -> None:
    """Names every number that was refused; the fast way stops at the first, without a path."""
    if type(value) is dict:
        for key, item in value.items():
            _explain(item, join(at, key), problems)
    elif type(value) is list:
        for index, item in enumerate(value):
            _explain(item, f"{at}[{index}]", problems)
    elif type(value) is int:
        try:
            _exact(value)
        except RefusedError as refused:
            problems.add(at, str(refused))


def print_value(message: Any) -> Any:
    """Writes a Value as the JSON it stands for; one that holds nothing as null."""
    kind = message.WhichOneof("kind")
    return _PRINTS[kind](message)


def print_struct(message: Any) -> dict[str, Any]:
    """Writes a Struct as an object."""
    fields = message.fields
    # Looking up by key is twice as fast as items(), which protobuf writes in Python.
    return {key: print_value(fields[key]) for key in fields}


def print_list(message: Any) -> list[Any]:
    """Writes a ListValue as a list."""
    return [print_value(item) for item in message.values]


def _print_number(message: Any) -> int | float | None:
    value = message.number_value
    if not math.isfinite(value):
        return None
    whole = value.is_integer() and -_EXACT <= value <= _EXACT
    return int(value) if whole and (value or math.copysign(1.0, value) > 0) else value


_PRINTS: dict[str | None, Callable[[Any], Any]] = {
    "string_value": attrgetter("string_value"),
    "bool_value": attrgetter("bool_value"),
    "number_value": _print_number,
    "struct_value": lambda message: print_struct(message.struct_value),
    "list_value": lambda message: print_list(message.list_value),
    "null_value": lambda _: None,
    None: lambda _: None,
}
