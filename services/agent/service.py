"""The RPCs of the agent room: convert, decide, keep, tell, convert back.

Owns the order of these steps and nothing else. It refuses an agent to those who may not see it as if it were not
there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retinue.agent.v1 import agent_service_pb2 as pb
from retinue.agent.v1 import agent_service_pb2_grpc
from retinue_core.clock import Clock
from retinue_core.events import Events
from retinue_core.ids import new_id
from retinue_core.rpc.call import caller
from services.agent import convert
from services.agent.domain import agent as life
from services.agent.domain import listing, validation
from services.agent.domain.agent import Agent
from services.agent.store import Store


class AgentService(agent_service_pb2_grpc.AgentServiceServicer):
    """Creates, finds and changes agents and their drafts."""

    def __init__(self, store: Store, events: Events, clock: Clock) -> None:
        self._store = store
        self._events = events
        self._clock = clock

    async def CreateAgent(self, request: pb.CreateAgentRequest, context: Any) -> pb.CreateAgentResponse:
        """Create an agent with a first draft."""
        who, now = caller(), self._clock.now()
        definition = convert.definition(request.agent)
        validation.check(definition)
        created = Agent(new_id(), who.organization_id, who.subject, definition, created_at=now, updated_at=now)
        await self._store.insert(created)
        await self._tell(created, "updated")
        return pb.CreateAgentResponse(agent=convert.agent(created))

    async def GetAgent(self, request: pb.GetAgentRequest, context: Any) -> pb.GetAgentResponse:
        """Read an agent."""
        who = caller()
        found = await self._store.find(who.organization_id, request.agent_id)
        life.check_visible(found, who)
        return pb.GetAgentResponse(agent=convert.agent(found))

    async def ListAgents(self, request: pb.ListAgentsRequest, context: Any) -> pb.ListAgentsResponse:
        """List the agents that the caller may see."""
        asked = listing.query(caller(), request.page_size, request.page_token, request.filter, request.order_by)
        found = await self._store.page(asked)
        token = listing.next_token(asked, found)
        return pb.ListAgentsResponse(agents=map(convert.agent, found[: asked.size]), next_page_token=token)

    async def UpdateAgent(self, request: pb.UpdateAgentRequest, context: Any) -> pb.UpdateAgentResponse:
        """Change an agent, and its draft if what is versioned changes."""
        who, now, changes = caller(), self._clock.now(), convert.changes(request)

        def decide(agent: Agent) -> Agent:
            life.check_changeable(agent, who)
            definition = life.merged(agent.definition, changes)
            validation.check(definition, changes)
            return life.updated(agent, definition, request.agent.etag, now)

        changed = await self._change(who.organization_id, request.agent_id, decide, "updated")
        return pb.UpdateAgentResponse(agent=convert.agent(changed))

    async def DeleteAgent(self, request: pb.DeleteAgentRequest, context: Any) -> pb.DeleteAgentResponse:
        """Delete an agent; its row stays, and its name is free."""
        who, now = caller(), self._clock.now()

        def decide(agent: Agent) -> Agent:
            life.check_changeable(agent, who)
            return life.deleted(agent, now)

        await self._change(who.organization_id, request.agent_id, decide, "deleted")
        return pb.DeleteAgentResponse()

    async def ValidateAgent(self, request: pb.ValidateAgentRequest, context: Any) -> pb.ValidateAgentResponse:
        """Check a definition and save nothing."""
        return convert.findings(validation.validate(convert.definition(request.agent)))

    async def RecordPublished(self, request: pb.RecordPublishedRequest, context: Any) -> pb.RecordPublishedResponse:
        """Record that the draft became a published version."""
        now = self._clock.now()

        def decide(agent: Agent) -> Agent:
            return life.published(agent, request.version, request.frozen_etag, now)

        await self._change(request.organization_id, request.agent_id, decide, "updated")
        return pb.RecordPublishedResponse()

    async def OpenDraft(self, request: pb.OpenDraftRequest, context: Any) -> pb.OpenDraftResponse:
        """Open a draft with given content."""
        spec, now = convert.spec(request.spec), self._clock.now()

        def decide(agent: Agent) -> Agent:
            return life.draft_opened(agent, request.version, spec, now)

        opened = await self._change(request.organization_id, request.agent_id, decide, "updated")
        return pb.OpenDraftResponse(agent=convert.agent(opened))

    async def _change(self, organization_id: str, agent_id: str, decide: Callable[[Agent], Agent], what: str) -> Agent:
        before, after = await self._store.change(organization_id, agent_id, decide)
        if after != before:
            await self._tell(after, what)
        return after

    async def _tell(self, agent: Agent, what: str) -> None:
        await self._events.hint(f"agents.{agent.organization_id}.{agent.id}.{what}", convert.event(agent))
