"""Agents: made, found, changed, and run by their own name.

Owns `client.agents` and the agent that it gives out. An agent may be named by itself, by its id or by its name.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Unpack

from google.protobuf.field_mask_pb2 import FieldMask

from retinue.agent.v1 import agent_pb2
from retinue.agent.v1 import agent_service_pb2 as pb
from retinue_client.errors import NotFoundError
from retinue_client.models import AgentVersion, Finding, Json, TriggerMode, Visibility
from retinue_client.paging import pages, quoted
from retinue_client.reading import read
from retinue_client.result import Result
from retinue_client.signatures import Signature, from_schemas
from retinue_client.wire import Wire
from retinue_client.writing import AgentFields, definition
from retinue_core.errors import not_found
from retinue_core.ids import is_id

UNSAID: Any = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """An agent as it was read: its draft where it has one, else its newest published content.

    `timeout` is in seconds. `current_version` runs by default and is empty before the first publish; `draft_version`
    is empty when there is no draft.
    """

    id: str
    name: str
    description: str
    instructions: str
    model: str
    tools: tuple[str, ...]
    input_schema: dict[str, Json] | None
    output_schema: dict[str, Json] | None
    max_steps: int
    timeout: float | None
    max_retries: int | None
    model_settings: dict[str, Json] | None
    department: str
    project: str
    tags: tuple[str, ...]
    metadata: dict[str, Json] | None
    visibility: Visibility
    trigger_mode: TriggerMode
    trigger_config: dict[str, Json] | None
    active: bool | None
    current_version: str
    draft_version: str
    etag: str
    organization_id: str
    created_by: str
    created_at: datetime | None
    updated_at: datetime | None
    _client: Any = field(repr=False, compare=False)

    @property
    def signature(self) -> Signature | None:
        """The signature behind its schemas; None where a signature cannot say what they say."""
        return from_schemas(self.input_schema, self.output_schema)

    async def execute(self, input: Json = UNSAID, /, **fields: Json) -> Result:
        """Run it and wait for its answer. The input is either one value or the members of an object.

        Raises ExecutionFailedError when it ends without an output. `client.executions.run` takes options too.
        """
        if input is not UNSAID and fields:
            raise TypeError("give the input as one value or as members, not as both")
        given = fields if input is UNSAID else input
        result: Result = await self._client.executions.run(self, given)
        return result

    async def publish(self, changelog: str = "") -> AgentVersion:
        """Freeze its draft as the version that runs."""
        version: AgentVersion = await self._client.versions.publish(self, changelog=changelog)
        return version


class Agents:
    """`client.agents`."""

    def __init__(self, wire: Wire, client: Any) -> None:
        """Call over a wire; `client` is what the agents that are given out run with."""
        self._wire = wire
        self._client = client

    async def create(self, *, signature: str | Signature | None = None, **fields: Unpack[AgentFields]) -> Agent:
        """Create an agent with a first draft; it needs a `name` and a `model`. `signature` stands for both schemas.

        Raises INVALID_AGENT_CONFIG with everything that is wrong, and DUPLICATE_AGENT_NAME.
        """
        wanted = definition(_with(signature, fields))
        request = pb.CreateAgentRequest(agent=wanted.message)
        return self._agent((await self._wire.call("agent", "CreateAgent", request, keyed=True)).agent)

    async def get(self, agent: str) -> Agent:
        """Read an agent by its id or its name. Raises AGENT_NOT_FOUND."""
        if is_id(agent):
            return self._agent((await self._wire.call("agent", "GetAgent", pb.GetAgentRequest(agent_id=agent))).agent)
        return await self._named(agent)

    def list(self, *, filter: str = "", order_by: str = "", page_size: int = 0) -> AsyncIterator[Agent]:
        """Iterate over the agents that you may see, page after page.

        `filter` is like `department=sales AND name:report`; `order_by` is `name`, `created_at` or `updated_at`, with
        ` desc` behind it for the reverse.
        """
        request = pb.ListAgentsRequest(filter=filter, order_by=order_by, page_size=page_size)
        return pages(self._wire, "agent", "ListAgents", request, lambda page: map(self._agent, page.agents))

    async def update(
        self, agent: Agent | str, *, signature: str | Signature | None = None, **fields: Unpack[AgentFields]
    ) -> Agent:
        """Change the fields that are named; None takes a field back to its default.

        With `etag`, only if nobody else has changed the agent since it was read.
        """
        wanted = definition(_with(signature, fields))
        paths = [path for path in wanted.paths if path != "etag"]
        request = pb.UpdateAgentRequest(
            agent_id=await self.id_of(agent), agent=wanted.message, update_mask=FieldMask(paths=paths)
        )
        return self._agent((await self._wire.call("agent", "UpdateAgent", request, keyed=True)).agent)

    async def ensure(self, *, signature: str | Signature | None = None, **fields: Unpack[AgentFields]) -> Agent:
        """Create the agent of this `name`, or change it to what the fields say; the same again changes nothing."""
        try:
            current = await self._named(fields.get("name", ""))
        except NotFoundError:
            return await self.create(signature=signature, **fields)
        return await self.update(current, signature=signature, **fields)

    async def delete(self, agent: Agent | str) -> None:
        """Delete an agent; its executions stay readable."""
        await self._wire.call("agent", "DeleteAgent", pb.DeleteAgentRequest(agent_id=await self.id_of(agent)))

    async def validate(
        self, *, signature: str | Signature | None = None, **fields: Unpack[AgentFields]
    ) -> tuple[Finding, ...]:
        """Check a definition and save nothing; returns what is wrong with it."""
        request = pb.ValidateAgentRequest(agent=definition(_with(signature, fields)).message)
        answer = await self._wire.call("agent", "ValidateAgent", request)
        return tuple(read(Finding, problem) for problem in answer.problems)

    async def id_of(self, agent: Agent | str) -> str:
        """The id of an agent that is named by itself, by its id or by its name. Raises AGENT_NOT_FOUND."""
        if isinstance(agent, Agent):
            return agent.id
        return agent if is_id(agent) else (await self._named(agent)).id

    async def _named(self, name: str) -> Agent:
        found = [agent async for agent in self.list(filter=f"name={quoted(name)}")] if name.strip() else []
        if len(found) > 1:
            # A public agent of another organisation may have the same name.
            own = (await self._client.whoami()).organization.id
            found = [agent for agent in found if agent.organization_id == own] or found
        if len(found) != 1:
            raise _no_such_agent(name, found)
        return found[0]

    def _agent(self, message: agent_pb2.Agent) -> Agent:
        return read(Agent, message, _client=self._client)


def _with(signature: str | Signature | None, fields: AgentFields) -> dict[str, Any]:
    return dict(fields) if signature is None else {**fields, "signature": signature}


def _no_such_agent(name: str, found: list[Agent]) -> NotFoundError:
    error = not_found("agent", name)
    ids = ", ".join(agent.id for agent in found)
    message = f"Several organisations have an agent {name!r}: {ids}." if found else error.message
    actions = ("Name it by its id.",) if found else error.actions
    return NotFoundError(error.kind, error.code, message, details=error.details, actions=actions)
