"""Proto to domain and back, for agents.

Owns the defaults that the proto promises, and which fields an update may name. It judges no values; validation does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct

from retinue.agent.v1 import agent_pb2, agent_service_pb2
from retinue_core import values
from retinue_core.errors import Problem, invalid
from services.agent.domain.agent import Agent, Definition, Spec, merged
from services.agent.domain.findings import Finding, closest
from services.agent.domain.known import DEFAULT_MAX_RETRIES, DEFAULT_MAX_STEPS
from services.agent.domain.validation import camel

_OUTPUT_ONLY = frozenset(
    ("id", "organization_id", "created_by", "current_version", "draft_version", "etag", "created_at", "updated_at")
)
_EXAMPLE = "Name fields as they are sent, for example `maxSteps`."
Read = Callable[[Any], Any]


def _text(name: str) -> Read:
    return lambda message: getattr(message, name).strip()


def _raw(name: str) -> Read:
    return lambda message: getattr(message, name)


def _words(name: str) -> Read:
    return lambda message: tuple(dict.fromkeys(word.strip() for word in getattr(message, name)))


def _struct(name: str) -> Read:
    return lambda message: values.struct_to_python(getattr(message, name)) if message.HasField(name) else None


def _visibility(message: Any) -> str:
    return _enum_name(agent_pb2.Agent.Visibility, message.visibility, "visibility") if message.visibility else "PRIVATE"


def _trigger_mode(message: Any) -> str:
    mode = message.trigger_mode
    return _enum_name(agent_pb2.Agent.TriggerMode, mode, "triggerMode") if mode else "MANUAL"


_SPEC: dict[str, Read] = {
    "instructions": _raw("instructions"),
    "model": _text("model"),
    "tools": lambda message: tuple(tool.strip() for tool in message.tools),
    "input_schema": _struct("input_schema"),
    "output_schema": _struct("output_schema"),
    "max_steps": lambda message: message.max_steps or DEFAULT_MAX_STEPS,
    "timeout": lambda message: seconds(message.timeout) if message.HasField("timeout") else None,
    "max_retries": lambda message: message.max_retries,
    "model_settings": _struct("model_settings"),
}
_FIELDS: dict[str, Read] = _SPEC | {
    "max_retries": lambda message: message.max_retries if message.HasField("max_retries") else DEFAULT_MAX_RETRIES,
    "name": _text("name"),
    "description": _raw("description"),
    "department": _text("department"),
    "project": _text("project"),
    "tags": _words("tags"),
    "metadata": _struct("metadata"),
    "visibility": _visibility,
    "trigger_mode": _trigger_mode,
    "trigger_config": _struct("trigger_config"),
    "active": lambda message: message.active if message.HasField("active") else True,
}
_CAMEL = {camel(name): name for name in (*_FIELDS, *_OUTPUT_ONLY)}


def definition(message: agent_pb2.Agent) -> Definition:
    """The definition that a message holds, with defaults for what it does not say."""
    return merged(Definition(), {name: read(message) for name, read in _FIELDS.items()})


def changes(request: agent_service_pb2.UpdateAgentRequest) -> Mapping[str, Any]:
    """The fields that an update changes, and their new values.

    Without a mask these are the fields that are set. What only the service writes may be named, and is left alone, so
    that an agent can be sent back as it was read. Raises INVALID_ARGUMENT for a field that agents do not have.
    """
    paths = list(request.update_mask.paths) or [field.name for field, _ in request.agent.ListFields()]
    names = _FIELDS if "*" in paths else _named(paths)
    return {name: _FIELDS[name](request.agent) for name in names}


def spec(message: agent_pb2.AgentSpec) -> Spec:
    """The spec that a message of version holds; it says everything, so nothing has a default but the steps."""
    return Spec(**{name: read(message) for name, read in _SPEC.items()})


def agent(kept: Agent) -> agent_pb2.Agent:
    """The message for an agent."""
    wanted, spec = kept.definition, kept.definition.spec
    message = agent_pb2.Agent(
        id=kept.id,
        organization_id=kept.organization_id,
        created_by=kept.owner_id,
        name=wanted.name,
        description=wanted.description,
        instructions=spec.instructions,
        model=spec.model,
        tools=spec.tools,
        input_schema=_to_struct(spec.input_schema),
        output_schema=_to_struct(spec.output_schema),
        max_steps=spec.max_steps,
        timeout=duration(spec.timeout),
        max_retries=spec.max_retries,
        model_settings=_to_struct(spec.model_settings),
        department=wanted.department,
        project=wanted.project,
        tags=wanted.tags,
        metadata=_to_struct(wanted.metadata),
        visibility=agent_pb2.Agent.Visibility.Value(wanted.visibility),
        trigger_mode=agent_pb2.Agent.TriggerMode.Value(wanted.trigger_mode),
        trigger_config=_to_struct(wanted.trigger_config),
        active=wanted.active,
        current_version=kept.current_version,
        draft_version=kept.draft_version,
        etag=kept.etag,
    )
    message.created_at.FromDatetime(kept.created_at)
    message.updated_at.FromDatetime(kept.updated_at)
    return message


def findings(found: Iterable[Finding]) -> agent_service_pb2.ValidateAgentResponse:
    """The answer to a check."""
    problem = agent_service_pb2.ValidateAgentResponse.Problem
    problems = [problem(field=one.field, message=one.message, suggestion=one.suggestion) for one in found]
    return agent_service_pb2.ValidateAgentResponse(valid=not problems, problems=problems)


def event(kept: Agent) -> bytes:
    """What goes with a hint that an agent changed."""
    return json.dumps({"agentId": kept.id, "etag": kept.etag, "currentVersion": kept.current_version}).encode()


def seconds(message: Duration) -> float:
    """A duration in seconds."""
    return float(message.seconds + message.nanos / 1e9)


def duration(value: float | None) -> Duration | None:
    """Seconds as a duration."""
    if value is None:
        return None
    message = Duration()
    message.FromNanoseconds(round(value * 1e9))
    return message


def _to_struct(value: dict[str, Any] | None) -> Struct | None:
    return None if value is None else values.to_struct(value)


def _named(paths: list[str]) -> list[str]:
    unknown = [path for path in paths if path not in _FIELDS and path not in _OUTPUT_ONLY and path not in _CAMEL]
    if unknown:
        problems = [f"{path!r} is not a field. {closest(path, [*_CAMEL], _EXAMPLE)}" for path in unknown]
        raise invalid(
            "The update mask names fields that agents do not have.",
            *(Problem("updateMask", problem) for problem in problems),
        )
    return [name for name in (_CAMEL.get(path, path) for path in paths) if name in _FIELDS]


def _enum_name(enum: Any, number: int, field: str) -> str:
    if number not in enum.values():
        raise invalid(f"There is no {field} {number}.", Problem(field, "must be one of " + ", ".join(enum.keys()[1:])))
    return str(enum.Name(number))
