"""The agent room, as the version room calls it.

Owns these calls. They go out under this room's own identity for the organisation at hand, so that a caller needs the
scopes of what it asked for and no others; who may see or change an agent is decided from the answer, by the rule that
all rooms share.
"""

from __future__ import annotations

from retinue.agent.v1 import agent_service_pb2
from retinue.agent.v1.agent_service_pb2_grpc import AgentServiceStub
from retinue_core.errors import Problem, invalid
from retinue_core.rpc.client import Peer
from services.version import convert
from services.version.domain.version import Head, Json, Version


class AgentClient:
    """Reads agents, opens their drafts, and tells what was published."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._stub = AgentServiceStub(peer.channel)

    async def get(self, organization_id: str, agent_id: str) -> Head:
        """Read an agent of an organisation, or a public one of another. Raises AGENT_NOT_FOUND."""
        request = agent_service_pb2.GetAgentRequest(agent_id=agent_id)
        answer = await self._peer.call(self._stub.GetAgent, request, organization_id=organization_id)
        return convert.head(answer.agent)

    async def check(self, head: Head) -> None:
        """Have the agent room judge the content of a head by today's rules. Raises INVALID_AGENT_CONFIG."""
        request = agent_service_pb2.ValidateAgentRequest(agent=convert.to_check(head))
        answer = await self._peer.call(self._stub.ValidateAgent, request, organization_id=head.organization_id)
        if not answer.valid:
            raise invalid(
                "The draft cannot be published as it is.",
                *(Problem(one.field, f"{one.message}. {one.suggestion}") for one in answer.problems),
                code="INVALID_AGENT_CONFIG",
                actions=("Correct the agent, then publish it again.",),
            )

    async def open_draft(self, head: Head, version: str, content: Json) -> Head:
        """Open a draft with given content. Raises VERSION_CONFLICT when edits are in the way."""
        request = agent_service_pb2.OpenDraftRequest(
            organization_id=head.organization_id,
            agent_id=head.agent_id,
            version=version,
            spec=convert.spec(content),
        )
        answer = await self._peer.call(self._stub.OpenDraft, request, organization_id=head.organization_id)
        return convert.head(answer.agent)

    async def record(self, version: Version) -> None:
        """Tell the agent room of a version that was published; telling it twice is the same as once."""
        await self._record(version, version.frozen_etag)

    async def make_current(self, version: Version) -> None:
        """Tell the agent room which version is current, wherever its draft stands."""
        await self._record(version, "")

    async def _record(self, version: Version, frozen_etag: str) -> None:
        request = agent_service_pb2.RecordPublishedRequest(
            organization_id=version.organization_id,
            agent_id=version.agent_id,
            version=version.version,
            frozen_etag=frozen_etag,
        )
        await self._peer.call(self._stub.RecordPublished, request, organization_id=version.organization_id)
