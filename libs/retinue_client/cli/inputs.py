"""The input of an execution, as it is typed.

Owns `--input` (JSON, `@file`, or `-` for standard input) and `-i name=value`. It refuses what is not JSON where JSON is
asked for, and to be told both a whole input and its members.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from retinue_client.errors import InvalidArgumentError, Kind, Problem

_JSON_NAMES = {str: "string", bool: "boolean", int: "integer", float: "number"}


def read_input(whole: str, members: Sequence[str], schema: Mapping[str, Any] | None) -> Any:
    """The input that the options stand for; None where there are none.

    `name=value` is a text where `schema` says so or there is none, else JSON; `name:=value` is always JSON. Raises
    INVALID_INPUT.
    """
    if whole and members:
        raise _invalid("give the input as a whole with --input, or by its members with -i, not both")
    if whole:
        return _json(_content(whole), "--input")
    properties = (schema or {}).get("properties", {})
    return dict(_member(member, properties) for member in members) if members else None


def _member(member: str, properties: Mapping[str, Any]) -> tuple[str, Any]:
    name, equals, value = member.partition("=")
    if not equals or not name.rstrip(":"):
        raise _invalid(f"-i takes name=value, or name:=value for JSON, not {member!r}")
    if name.endswith(":"):
        return name[:-1], _json(value, f"-i {name[:-1]}")
    kinds = _kinds(properties.get(name))
    if not kinds or "string" in kinds:
        return name, value
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        raise _invalid(f"-i {name} takes {' or '.join(kinds)} as JSON, not {value!r}") from None


def _kinds(schema: Any) -> list[str]:
    """The types that the schema of a member asks for; none where it does not say."""
    if not isinstance(schema, Mapping):
        return []
    options = [option for option in schema.get("anyOf", [schema]) if isinstance(option, Mapping)]
    found = [kind for option in options for kind in _named(option)]
    return list(dict.fromkeys(found))


def _named(schema: Mapping[str, Any]) -> list[str]:
    kind = schema.get("type")
    if kind is None and schema.get("enum"):
        return [_JSON_NAMES.get(type(value), "null") for value in schema["enum"]]
    return [kind] if isinstance(kind, str) else list(kind or [])


def _content(whole: str) -> str:
    try:
        if whole == "-":
            return sys.stdin.read()
        return Path(whole[1:]).read_text() if whole.startswith("@") else whole
    except (OSError, UnicodeDecodeError) as error:
        raise _invalid(f"{whole} cannot be read: {error}") from None


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        reason = f"{error.msg} at line {error.lineno}, column {error.colno}"
        raise _invalid(f"{where} is not JSON: {reason}; texts stand in double quotes") from None


def _invalid(reason: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        Kind.INVALID_ARGUMENT,
        "INVALID_INPUT",
        f"The input cannot be used: {reason}.",
        problems=(Problem("input", reason),),
    )
