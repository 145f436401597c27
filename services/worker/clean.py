"""What may go into a journal: text that every store and every protocol behind can hold.

Owns the mending of what models and tools say: null characters and lone surrogates become the replacement character,
and JSON that is nested deeper than protobuf parsers follow is refused.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson

from services.worker.core.depth import MAX_DEPTH, deeper_than

_REPLACEMENT = "\ufffd"


def text(said: str) -> str:
    """The text without null characters and lone surrogates."""
    if "\x00" in said:
        said = said.replace("\x00", _REPLACEMENT)
    if said.isascii():
        return said
    try:
        said.encode()
    except UnicodeEncodeError:
        return said.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return said


def json_text(said: str) -> str:
    """JSON text whose strings are clean. What is not JSON stays what it is."""
    said = text(said)
    if "\\u0000" not in said and "\\ud" not in said.lower():
        return said
    try:
        return dumps(orjson.loads(said))
    except orjson.JSONDecodeError:
        return said.replace("\\u0000", "\\ufffd")


def dumps(value: Any) -> str:
    """Plain Python as clean JSON text; decimals keep their digits. Raises ValueError for what JSON cannot say."""
    try:
        encoded = orjson.dumps(value, default=_default, option=orjson.OPT_NON_STR_KEYS)
        if b"\\u0000" not in encoded:
            return encoded.decode()
        return orjson.dumps(_cleaned(value), default=_default, option=orjson.OPT_NON_STR_KEYS).decode()
    except orjson.JSONEncodeError as error:
        if "surrogates" not in str(error):
            raise ValueError(str(error)) from None
    return orjson.dumps(_cleaned(value), default=_default, option=orjson.OPT_NON_STR_KEYS).decode()


def too_deep(encoded: str) -> bool:
    """Say whether JSON text is nested too deeply."""
    most = encoded.count("{") + encoded.count("[")
    return most > MAX_DEPTH and deeper_than(MAX_DEPTH, orjson.loads(encoded))


def _default(value: Any) -> Any:
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value))
    raise TypeError


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict):
        return {text(str(key)): _cleaned(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(item) for item in value]
    return value
