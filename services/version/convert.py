"""Proto to domain and back, for versions.

Owns the JSON form of what an agent runs: the proto3 JSON of `AgentSpec`, in which a field at its default is left out
and a whole number has no fraction.
"""

from __future__ import annotations

import json
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict

from retinue.agent.v1 import agent_pb2
from retinue.version.v1 import version_pb2
from services.version.domain import Head, Json, Version

_EXACT = 2**53


def head(message: agent_pb2.Agent) -> Head:
    """What the agent room told of an agent."""
    return Head(
        agent_id=message.id,
        organization_id=message.organization_id,
        owner_id=message.created_by,
        name=message.name,
        visibility=agent_pb2.Agent.Visibility.Name(message.visibility),
        active=message.active,
        draft_version=message.draft_version,
        etag=message.etag,
        content=content(_spec_of(message)),
    )


def content(message: agent_pb2.AgentSpec) -> Json:
    """A spec as JSON."""
    found = _whole(MessageToDict(message))
    assert isinstance(found, dict)
    return found


def spec(content: Json) -> agent_pb2.AgentSpec:
    """JSON as a spec; what a newer release wrote and this one does not know is left out."""
    return ParseDict(content, agent_pb2.AgentSpec(), ignore_unknown_fields=True)


def to_check(head: Head) -> agent_pb2.Agent:
    """The agent as far as it is versioned, for the agent room to check."""
    return ParseDict({**head.content, "name": head.name}, agent_pb2.Agent(), ignore_unknown_fields=True)


def version(kept: Version) -> version_pb2.AgentVersion:
    """The message for a version."""
    message = version_pb2.AgentVersion(
        id=kept.id,
        agent_id=kept.agent_id,
        version=kept.version,
        status=version_pb2.AgentVersion.Status.Value(kept.status),
        spec=spec(kept.content),
        changelog=kept.changelog,
        current=kept.current,
        digest=kept.digest,
        created_by=kept.created_by,
        agent_name=kept.agent_name,
    )
    if kept.published_at is not None:
        message.published_at.FromDatetime(kept.published_at)
    if kept.created_at is not None:
        message.created_at.FromDatetime(kept.created_at)
    return message


def visibility(name: str) -> agent_pb2.Agent.Visibility.ValueType:
    """The enum value of a visibility."""
    return agent_pb2.Agent.Visibility.Value(name)


def event(kept: Version) -> bytes:
    """What goes with a hint that a version was published."""
    return json.dumps({"agentId": kept.agent_id, "version": kept.version}).encode()


def _spec_of(message: agent_pb2.Agent) -> agent_pb2.AgentSpec:
    found = agent_pb2.AgentSpec(
        instructions=message.instructions,
        model=message.model,
        tools=message.tools,
        max_steps=message.max_steps,
        max_retries=message.max_retries,
    )
    for name in ("input_schema", "output_schema", "timeout", "model_settings"):
        if message.HasField(name):
            getattr(found, name).CopyFrom(getattr(message, name))
    return found


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT:
        return int(value)
    return value
