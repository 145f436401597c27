"""Single values: the proto3 JSON mapping of numbers, strings, bytes, booleans and enums.

Owns the conversion of one value each way. Refuses NaN and infinities on the way in (no
field of this API has a meaning for them) and enum numbers that have no name.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

from services.gateway.transcode.problems import RefusedError, kind_of

Convert = Callable[[Any], Any]
"""One JSON value to one field value (or back); raises RefusedError."""

_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_LONGEST_NUMBER = 40
_NULL = "google.protobuf.NullValue"
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_FLOAT_MAX = 3.4028235e38  # rounds to the largest 32-bit float
_FLOAT = struct.Struct("<f")


def integer_in(low: int, high: int) -> Convert:
    """Accepts numbers without a fraction, also as strings, from `low` to `high`."""

    def convert(value: Any) -> int:
        number = value if type(value) is int else _whole(value)
        if low <= number <= high:
            return number
        raise RefusedError(f"must be from {low} to {high}")

    return convert


def _whole(value: Any) -> int:
    if type(value) is str and len(value) <= _LONGEST_NUMBER:
        if _INTEGER.fullmatch(value):
            return int(value)
        if _NUMBER.fullmatch(value):
            value = float(value)
    if type(value) is float and value.is_integer():
        return int(value)
    if type(value) is float:
        raise RefusedError("must be a whole number, without a fraction")
    raise RefusedError(f"must be a whole number, not {_shown(value)}")


def float_in(high: float) -> Convert:
    """Accepts finite numbers, also as strings, no larger than `high`."""

    def convert(value: Any) -> float:
        if type(value) is str and len(value) <= _LONGEST_NUMBER and _NUMBER.fullmatch(value):
            value = float(value)
        if type(value) is not float and type(value) is not int:
            raise RefusedError(f"must be a number, not {_shown(value)}")
        if -high <= value <= high:
            return float(value)
        raise RefusedError("must be a finite number that the field can hold")

    return convert


def bool_in(value: Any) -> bool:
    """Accepts true and false only."""
    if value is True or value is False:
        return bool(value)
    raise RefusedError(f"must be true or false, not {_shown(value)}")


def string_in(value: Any) -> str:
    """Accepts strings only."""
    if type(value) is str:
        return value
    raise RefusedError(f"must be a string, not {kind_of(value)}")


def bytes_in(value: Any) -> bytes:
    """Accepts standard and URL-safe base64, with or without padding."""
    if type(value) is not str:
        raise RefusedError(f"must be a base64 string, not {kind_of(value)}")
    text = value.replace("-", "+").replace("_", "/")
    if not _BASE64.fullmatch(text):
        raise RefusedError("must be base64 (RFC 4648)")
    try:
        return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))
    except binascii.Error:
        raise RefusedError("must be base64 (RFC 4648); its end is cut off") from None


def enum_in(descriptor: EnumDescriptor) -> Convert:
    """Accepts the names of `descriptor`, and the numbers that have a name."""
    if descriptor.full_name == _NULL:
        return _null_in
    by_name = {value.name: value.number for value in descriptor.values}
    numbers = frozenset(by_name.values())

    def convert(value: Any) -> int:
        number = by_name.get(value) if type(value) is str else None
        if number is None and type(value) is int and value in numbers:
            number = value
        if number is None:
            raise RefusedError(_no_such_name(value, list(by_name)))
        return number

    return convert


def _null_in(value: Any) -> int:
    if value is None or value == "NULL_VALUE":
        return 0
    raise RefusedError("must be null")


def _no_such_name(value: Any, names: list[str]) -> str:
    near = get_close_matches(value.upper(), names, 1) if type(value) is str else []
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"must be one of {', '.join(names)}, not {_shown(value)}{hint}"


def _shown(value: Any) -> str:
    if type(value) is str and len(value) <= _LONGEST_NUMBER:
        return f'"{value}"'
    return kind_of(value)


def float_out(value: float) -> float | str:
    """A double; NaN and infinities by their names."""
    return value if math.isfinite(value) else _named(value)


def single_out(value: float) -> float | str:
    """A 32-bit float in as few digits as bring the same bits back."""
    if not math.isfinite(value):
        return _named(value)
    for digits in (6, 7, 8):
        short = float(f"{value:.{digits}g}")
        if abs(short) <= _FLOAT_MAX and _FLOAT.pack(short) == _FLOAT.pack(value):
            return short
    return float(f"{value:.9g}")


def _named(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def bytes_out(value: bytes) -> str:
    """Standard base64 with padding."""
    return base64.b64encode(value).decode("ascii")


def enum_out(descriptor: EnumDescriptor) -> Convert:
    """The name of a number; a number without a name as itself; NullValue as null."""
    if descriptor.full_name == _NULL:
        return lambda _: None
    names = {value.number: value.name for value in reversed(descriptor.values)}

    def convert(number: Any) -> Any:
        return names.get(number, number)

    return convert


_F = FieldDescriptor
_INT32 = integer_in(-(2**31), 2**31 - 1)
_INT64 = integer_in(-(2**63), 2**63 - 1)
_UINT32 = integer_in(0, 2**32 - 1)
_UINT64 = integer_in(0, 2**64 - 1)

_IN: dict[int, Convert] = {
    _F.TYPE_INT32: _INT32,
    _F.TYPE_SINT32: _INT32,
    _F.TYPE_SFIXED32: _INT32,
    _F.TYPE_INT64: _INT64,
    _F.TYPE_SINT64: _INT64,
    _F.TYPE_SFIXED64: _INT64,
    _F.TYPE_UINT32: _UINT32,
    _F.TYPE_FIXED32: _UINT32,
    _F.TYPE_UINT64: _UINT64,
    _F.TYPE_FIXED64: _UINT64,
    _F.TYPE_DOUBLE: float_in(1.7976931348623157e308),
    _F.TYPE_FLOAT: float_in(_FLOAT_MAX),
    _F.TYPE_BOOL: bool_in,
    _F.TYPE_STRING: string_in,
    _F.TYPE_BYTES: bytes_in,
}

_OUT: dict[int, Convert] = {
    _F.TYPE_INT64: str,
    _F.TYPE_SINT64: str,
    _F.TYPE_SFIXED64: str,
    _F.TYPE_UINT64: str,
    _F.TYPE_FIXED64: str,
    _F.TYPE_DOUBLE: float_out,
    _F.TYPE_FLOAT: single_out,
    _F.TYPE_BYTES: bytes_out,
}


def scalar_in(field: FieldDescriptor) -> Convert:
    """How a value of `field` (no message) is read from JSON."""
    if field.enum_type is not None:
        return enum_in(field.enum_type)
    return _IN[field.type]


def scalar_out(field: FieldDescriptor) -> Convert | None:
    """How a value of `field` (no message) is written; None where it is JSON already."""
    if field.enum_type is not None:
        return enum_out(field.enum_type)
    return _OUT.get(field.type)
