"""What callers hand in, as protos: free JSON, and the definition of an agent.

Owns both conversions and what is wrong with what was handed in, all of it at once, each with its place. What a value
may be is for the agent service to judge; here it only has to fit its field.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, time, timedelta
from typing import Any, TypedDict

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration

from retinue.agent.v1 import agent_pb2
from retinue_client.errors import InvalidArgumentError, Kind, Problem
from retinue_client.models import TriggerMode, Visibility
from retinue_client.reading import camel
from retinue_client.signatures import Signature, SignatureError, signature
from retinue_core import values

_SECONDS = re.compile(r"(\d+(?:\.\d{1,9})?)s\Z")
_DEEPEST = 64
_EXACT = 2**53
_AGENT = agent_pb2.Agent.DESCRIPTOR
READ_ONLY = frozenset(
    ("id", "organization_id", "created_by", "current_version", "draft_version", "created_at", "updated_at")
)
"""What only the service writes; it may be handed in, as it was read, and is left alone."""

DEFAULTS: Mapping[str, Any] = {
    "max_steps": 20,
    "max_retries": 3,
    "visibility": "PRIVATE",
    "trigger_mode": "MANUAL",
    "active": True,
}
"""What None stands for in fields that cannot be empty; in the others it empties them."""


class AgentFields(TypedDict, total=False):
    """What the owner of an agent decides. `timeout` is in seconds, a timedelta, or a text such as `30s`."""

    name: str
    description: str | None
    instructions: str | None
    model: str
    tools: list[str] | tuple[str, ...] | None
    input_schema: Mapping[str, Any] | None
    output_schema: Mapping[str, Any] | None
    max_steps: int | None
    timeout: float | str | timedelta | None
    max_retries: int | None
    model_settings: Mapping[str, Any] | None
    department: str | None
    project: str | None
    tags: list[str] | tuple[str, ...] | None
    metadata: Mapping[str, Any] | None
    visibility: Visibility | None
    trigger_mode: TriggerMode | None
    trigger_config: Mapping[str, Any] | None
    active: bool | None
    etag: str


@dataclass(frozen=True, slots=True)
class Definition:
    """The definition of an agent as it travels, and the fields it says something about."""

    message: agent_pb2.Agent
    paths: tuple[str, ...]


def definition(given: Mapping[str, Any]) -> Definition:
    """Turn the fields of an agent, by either of their names, into a definition. `signature` stands for both schemas.

    Raises INVALID_AGENT_CONFIG with everything that does not fit.
    """
    problems: list[Problem] = []
    message, paths = agent_pb2.Agent(), []
    for name, value in _spelled_out(given, problems).items():
        field = _AGENT.fields_by_name.get(name) or _AGENT.fields_by_camelcase_name.get(name)
        if field is None:
            problems.append(Problem(name, f"agents have no such field{_closest(name)}"))
        elif field.name not in READ_ONLY:
            try:
                _fill(message, field, DEFAULTS.get(field.name) if value is None else value)
            except _UnfitError as reason:
                problems.append(Problem(name + reason.place, reason.text))
            paths.append(field.name)
    if problems:
        listed = "; ".join(f"{problem.field}: {problem.message}" for problem in problems)
        raise _invalid("INVALID_AGENT_CONFIG", f"The definition does not fit an agent: {listed}.", problems)
    return Definition(message, tuple(paths))


def input_value(given: Any) -> Any:
    """Turn Python into JSON's own types: days and moments become ISO 8601 texts. Raises INVALID_INPUT."""
    try:
        return _json(given, 0)
    except _UnfitError as reason:
        problem = Problem(f"input{reason.place}", reason.text)
        raise _invalid(
            "INVALID_INPUT", f"The input cannot be sent: {problem.field} {problem.message}.", [problem]
        ) from None


def duration(seconds: float | timedelta) -> Duration:
    """Seconds as they travel."""
    message = Duration()
    found = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
    message.FromNanoseconds(round(found * 1e9))
    return message


def enum_number(field: str, enum: Any, name: str | None) -> Any:
    """The number of an enum's value by its name; 0 for None. Raises INVALID_ARGUMENT with the names there are."""
    numbers = {known: number for known, number in enum.items() if number}
    if name is None or name.upper() in numbers:
        return 0 if name is None else numbers[name.upper()]
    problem = Problem(field, f"must be one of {', '.join(numbers)}, not {_shown(name)}")
    raise _invalid("INVALID_ARGUMENT", f"{field} {problem.message}.", [problem])


class _UnfitError(Exception):
    """Why a value does not fit, and where in it."""

    def __init__(self, text: str, place: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.place = place

    def inside(self, place: str) -> _UnfitError:
        return _UnfitError(self.text, place + self.place)


def _spelled_out(given: Mapping[str, Any], problems: list[Problem]) -> dict[str, Any]:
    fields = {str(name): value for name, value in given.items()}
    compact = fields.pop("signature", None)
    if compact is None:
        return fields
    twice = [name for name in ("input_schema", "inputSchema", "output_schema", "outputSchema") if name in fields]
    if twice:
        problems.append(Problem("signature", f"says what {twice[0]} says too; keep one of them"))
    try:
        found = compact if isinstance(compact, Signature) else signature(str(compact))
    except SignatureError as error:
        problems.extend(error.problems)
        return fields
    return fields | {"input_schema": found.input_schema, "output_schema": found.output_schema}


def _fill(message: agent_pb2.Agent, field: FieldDescriptor, value: Any) -> None:
    if value is None:
        return
    if field.is_repeated:
        getattr(message, field.name).extend(_words(value))
    elif field.enum_type is not None:
        setattr(message, field.name, _enum(field, value))
    elif field.message_type is None:
        setattr(message, field.name, _SCALARS[field.type](value))
    elif field.message_type.full_name == "google.protobuf.Duration":
        message.timeout.CopyFrom(_duration(value))
    else:
        getattr(message, field.name).CopyFrom(_struct(value))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _UnfitError(f"must be text, not {_shown(value)}")
    return str(_json(value, 0))


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 2**31:
        raise _UnfitError(f"must be a whole number, not {_shown(value)}")
    return value


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _UnfitError(f"must be true or false, not {_shown(value)}")
    return value


_SCALARS: dict[int, Callable[[Any], Any]] = {
    FieldDescriptor.TYPE_STRING: _text,
    FieldDescriptor.TYPE_INT32: _whole,
    FieldDescriptor.TYPE_BOOL: _truth,
}


def _words(value: Any) -> list[str]:
    if not isinstance(value, list | tuple):
        raise _UnfitError(f"must be a list of texts, not {_shown(value)}")
    found = []
    for index, item in enumerate(value):
        try:
            found.append(_text(item))
        except _UnfitError as reason:
            raise reason.inside(f"[{index}]") from None
    return found


def _enum(field: FieldDescriptor, value: Any) -> int:
    assert field.enum_type is not None
    names = {known.name: known.number for known in field.enum_type.values if known.number}
    if not isinstance(value, str) or value.upper() not in names:
        raise _UnfitError(f"must be one of {', '.join(names)}, not {_shown(value)}")
    return int(names[value.upper()])


def _duration(value: Any) -> Duration:
    if isinstance(value, str) and (found := _SECONDS.match(value)):
        value = float(found[1])
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1e9:
        raise _UnfitError(f"must be a number of seconds, or a text like 30s, not {_shown(value)}")
    return duration(value)


def _struct(value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise _UnfitError(f"must be an object, not {_shown(value)}")
    return values.to_struct(_json(value, 0))


def _json(value: Any, depth: int) -> Any:
    if depth > _DEEPEST:
        raise _UnfitError(f"is nested more than {_DEEPEST} deep")
    if isinstance(value, Mapping):
        return {_json(str(key), depth): _at(f".{key}", item, depth) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_at(f"[{index}]", item, depth) for index, item in enumerate(value)]
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, str):
        return _whole_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise _UnfitError(f"must be a number that JSON has, not {value}")
    if isinstance(value, int) and abs(value) > _EXACT:
        raise _UnfitError("must be sent as text: numbers beyond 2**53 are not exact in JSON")
    if value is None or isinstance(value, int | float):
        return value
    raise _UnfitError(f"must be something that JSON has, not {type(value).__name__}")


def _at(place: str, item: Any, depth: int) -> Any:
    try:
        return _json(item, depth + 1)
    except _UnfitError as reason:
        raise reason.inside(place) from None


def _whole_text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _UnfitError("holds half a character (a lone surrogate)") from None
    return str(value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _closest(name: str) -> str:
    found = difflib.get_close_matches(camel(name), [*_AGENT.fields_by_camelcase_name, "signature"], 1)
    return f"; did you mean {found[0]}?" if found else ""


def _invalid(code: str, message: str, problems: list[Problem]) -> InvalidArgumentError:
    return InvalidArgumentError(Kind.INVALID_ARGUMENT, code, message, problems=tuple(problems))
