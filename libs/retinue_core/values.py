"""Free JSON as protobuf carries it: `Value` and `Struct` to and from plain Python.

Owns these conversions, which are hot: `google.protobuf.json_format` takes ten times as long. A number without a
fraction comes back as an int, as JSON's own text would; beyond 2**53 a number is what a double keeps of it. What is
not JSON, or more than a double or UTF-8 can hold, is refused.
"""

from __future__ import annotations

import math
from typing import Any

from google.protobuf import struct_pb2

from retinue_core.errors import RetinueError, invalid

_EXACT = 2**53
_UNFIT = (ValueError, TypeError, OverflowError, RecursionError)


def to_python(value: struct_pb2.Value) -> Any:
    """Turn a Value into plain Python; one that is not set is None."""
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() and abs(number) <= _EXACT else number
    if kind == "struct_value":
        return struct_to_python(value.struct_value)
    if kind == "list_value":
        return [to_python(item) for item in value.list_value.values]
    return value.bool_value if kind == "bool_value" else None


def struct_to_python(struct: struct_pb2.Struct) -> dict[str, Any]:
    """Turn a Struct into a dict."""
    return {key: to_python(item) for key, item in struct.fields.items()}


def from_python(found: Any) -> struct_pb2.Value:
    """Turn plain Python, as JSON has it, into a Value. Raises INVALID_JSON."""
    value = struct_pb2.Value()
    try:
        _fill(value, found)
    except _UNFIT:
        raise _refusal() from None
    return value


def to_struct(found: dict[str, Any]) -> struct_pb2.Struct:
    """Turn a dict into a Struct. Raises INVALID_JSON."""
    struct = struct_pb2.Struct()
    try:
        for key, item in found.items():
            _fill(struct.fields[key], item)
    except _UNFIT:
        raise _refusal() from None
    return struct


def _refusal() -> RetinueError:
    return invalid("A value is not JSON, or more than JSON carries.", code="INVALID_JSON")


def _fill(value: struct_pb2.Value, found: Any) -> None:
    if isinstance(found, str):
        value.string_value = found
    elif found is None:
        value.null_value = struct_pb2.NULL_VALUE
    elif isinstance(found, bool):
        value.bool_value = found
    elif isinstance(found, int | float):
        if not math.isfinite(found):
            raise ValueError
        value.number_value = found
    elif isinstance(found, dict):
        value.struct_value.SetInParent()
        for key, item in found.items():
            _fill(value.struct_value.fields[key], item)
    else:
        value.list_value.SetInParent()
        for item in found:
            _fill(value.list_value.values.add(), item)
