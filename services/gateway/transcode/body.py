"""The door: the bytes of a request body to JSON, or all reasons why not.

Refuses bodies that are too large, not JSON, nested too deeply, ambiguous (a key twice), or that
hold what the stores and protocols behind cannot: null bytes, lone surrogates, NaN, infinities.
The fast way never leaves C; only a body that is refused is read a second time for its paths.
"""

from __future__ import annotations

import json
import math
from contextlib import suppress
from typing import Any

import orjson

from retinue_core.errors import RetinueError, invalid
from services.gateway.transcode.problems import Problems, TooManyError, join

MOST_PROTO_LEVELS = 90
"""protobuf parsers stop at 100 levels; ten are left for the messages that carry a Value."""

_LEVELS: dict[type, int] = {dict: 3, list: 2}
"""What one JSON object or list costs as Struct or ListValue."""

_SURE = MOST_PROTO_LEVELS // _LEVELS[dict]
_MOST_OBJECTS = MOST_PROTO_LEVELS // _LEVELS[dict]
_MOST_LISTS = MOST_PROTO_LEVELS // _LEVELS[list]


def parse(body: bytes) -> Any:
    """The JSON value in `body`; raises RetinueError with the position or the field paths."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _unreadable(body, error) from None
    if body.count(b"{") + body.count(b"[") > _SURE and _is_deep(value):
        raise _too_deep(_deep_path(value))
    if b"\\u0000" in body:
        _raise_if(_unwanted(value))
    if _may_repeat(body, value):
        _raise_if(_repeats(body))
    return value


def too_large(limit: int) -> RetinueError:
    """The error for a body of more than `limit` bytes."""
    return invalid(
        f"The body is larger than {limit} bytes; send less, or store the data and send a link.",
        code="BODY_TOO_LARGE",
    )


def _may_repeat(body: bytes, value: Any) -> bool:
    """Whether `body` may hold a key twice; False is certain.

    Parsing keeps one of two equal keys, and with it one colon less. Only an escaped colon
    could hide that, so a body with one is always read again.
    """
    return b"\\u003" in body or body.count(b":") != orjson.dumps(value).count(b":")


def _is_deep(value: Any) -> bool:
    """Goes level by level over objects and lists only, so that neither depth nor width is dear."""
    level = [(value, _LEVELS.get(type(value), 0))]
    while level:
        below = []
        for item, levels in level:
            if levels > MOST_PROTO_LEVELS:
                return True
            members = item.values() if type(item) is dict else item if type(item) is list else ()
            below += [(member, levels + _LEVELS[type(member)]) for member in members if type(member) in _LEVELS]
        level = below
    return False


def _deep_path(value: Any) -> str:
    """The path of a member that is too deep, of a value that is."""
    level = [(value, "", _LEVELS.get(type(value), 0))]
    for item, at, levels in level:
        if levels > MOST_PROTO_LEVELS:
            return at
        members = item.items() if type(item) is dict else enumerate(item) if type(item) is list else ()
        for key, member in members:
            path = join(at, key) if type(key) is str else f"{at}[{key}]"
            level.append((member, path, levels + _LEVELS.get(type(member), 0)))
    return ""


def _too_deep(at: str) -> RetinueError:
    problems = Problems()
    problems.add(at, f"is nested deeper than {_MOST_OBJECTS} objects or {_MOST_LISTS} lists; flatten it")
    return invalid("The body is nested too deeply.", *problems.found, code="BODY_TOO_DEEP")


def _unreadable(body: bytes, error: orjson.JSONDecodeError) -> RetinueError:
    """What kept the fast parser from reading `body`, with paths where it is more than syntax."""
    try:
        lenient = json.loads(body.decode("utf-8"))
    except RecursionError:
        return _too_deep("")
    except ValueError:
        return invalid(
            f"The body is not valid JSON: {error.msg} at line {error.lineno} column {error.colno}.",
            code="INVALID_JSON",
            actions=("Send one JSON value (RFC 8259) in UTF-8.",),
        )
    if _is_deep(lenient):
        return _too_deep(_deep_path(lenient))
    return _refusal(_unwanted(lenient))


def _unwanted(value: Any) -> Problems:
    """What a JSON parser may let through and this API does not: in keys, strings and numbers."""
    problems = Problems()
    with suppress(TooManyError):
        _walk(value, "", problems)
    return problems


def _walk(value: Any, at: str, problems: Problems) -> None:
    if type(value) is dict:
        for key, item in value.items():
            path = join(at, _printable(key))
            _check_text(key, path, problems)
            _walk(item, path, problems)
    elif type(value) is list:
        for index, item in enumerate(value):
            _walk(item, f"{at}[{index}]", problems)
    elif type(value) is str:
        _check_text(value, at, problems)
    elif type(value) is float and not math.isfinite(value):
        problems.add(at, "must be a finite number that a 64-bit float can hold")


def _check_text(text: str, at: str, problems: Problems) -> None:
    if "\x00" in text:
        problems.add(at, "must not hold a null byte (\\u0000); remove it")
    if any("\ud800" <= character <= "\udfff" for character in text):
        problems.add(at, "must not hold half of a surrogate pair; send whole characters")


def _printable(text: str) -> str:
    """`text` as an answer can repeat it: null bytes and lone surrogates escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\x00", "\\u0000")


class _Members(dict[str, Any]):
    """A JSON object that remembers which of its keys came again."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.repeated: list[str] = []
        if len(self) < len(pairs):
            seen: set[str] = set()
            for key, _ in pairs:
                if key in seen:
                    self.repeated.append(key)
                seen.add(key)


def _repeats(body: bytes) -> Problems:
    problems = Problems()
    with suppress(TooManyError):
        _walk_repeats(json.loads(body, object_pairs_hook=_Members), "", problems)
    return problems


def _walk_repeats(value: Any, at: str, problems: Problems) -> None:
    if isinstance(value, _Members):
        for key in value.repeated:
            problems.add(join(at, key), "is given twice in one object; send it once")
        for key, item in value.items():
            _walk_repeats(item, join(at, key), problems)
    elif type(value) is list:
        for index, item in enumerate(value):
            _walk_repeats(item, f"{at}[{index}]", problems)


def _raise_if(problems: Problems) -> None:
    if problems:
        raise _refusal(problems)


def _refusal(problems: Problems) -> RetinueError:
    return invalid(
        "The body holds values that cannot be taken.", *problems.found, actions=("Correct the fields that are named.",)
    )
