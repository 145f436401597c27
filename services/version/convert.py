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
from retinue_core import values
from services.version.domain.compare import Comparison, Difference
from services.version.domain.life import Event
from services.version.domain.version import Head, Json, Version

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
        status_reason=kept.status_reason,
    )
    if kept.published_at is not None:
        message.published_at.FromDatetime(kept.published_at)
    if kept.created_at is not None:
        message.created_at.FromDatetime(kept.created_at)
    if kept.status_changed_at is not None:
        message.status_changed_at.FromDatetime(kept.status_changed_at)
    return message


def happened(event: Event) -> version_pb2.VersionEvent:
    """The message for something that happened."""
    message = version_pb2.VersionEvent(
        kind=version_pb2.VersionEvent.Kind.Value(event.kind),
        version=event.version,
        previous_version=event.previous,
        reason=event.reason,
        created_by=event.actor,
    )
    message.created_at.FromDatetime(event.at)
    return message


def comparison(found: Comparison) -> version_pb2.VersionComparison:
    """The message for a comparison."""
    answer = version_pb2.VersionComparison
    return answer(
        from_version=found.old_version,
        to_version=found.new_version,
        differs=found.differs,
        changes=map(_change, found.differences),
        instructions_diff=found.text,
        json_patch=map(values.to_struct, found.patch),
        bump=answer.Bump.Value(found.bump.name),
        proposed_version=found.proposed,
        reasons=[
            answer.Reason(path=reason.path, bump=answer.Bump.Value(reason.bump.name), message=reason.message)
            for reason in found.reasons
        ],
    )


def _change(difference: Difference) -> version_pb2.VersionComparison.Change:
    change = version_pb2.VersionComparison.Change
    return change(
        path=difference.path,
        kind=change.Kind.Value(difference.kind),
        old=None if difference.kind == "ADDED" else values.from_python(difference.old),
        new=None if difference.kind == "REMOVED" else values.from_python(difference.new),
    )


def visibility(name: str) -> agent_pb2.Agent.Visibility.ValueType:
    """The enum value of a visibility."""
    return agent_pb2.Agent.Visibility.Value(name)


def event(kept: Version) -> bytes:
    """What goes with a hint that something happened to a version."""
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
