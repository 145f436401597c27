"""The version room in the test's own process, beside a real agent room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from retinue.agent.v1 import agent_service_pb2
from retinue.agent.v1.agent_pb2 import Agent
from retinue.version.v1 import version_service_pb2 as pb
from retinue.version.v1.version_pb2 import AgentVersion, VersionComparison, VersionEvent
from retinue.version.v1.version_service_pb2_grpc import VersionServiceStub, add_VersionServiceServicer_to_server
from retinue_core.clock import SystemClock
from retinue_core.db import Answers, Database
from retinue_core.events import Events
from retinue_core.identity import Identity
from retinue_core.rpc.client import Peer
from retinue_core.rpc.door import Door
from retinue_core.rpc.server import Server
from retinue_core.telemetry import Telemetry
from services.version.clients import AgentClient
from services.version.service import VersionService
from services.version.store import Store
from tests.integration.agent.room import Keys, Room, echo

AGENTS = agent_service_pb2.DESCRIPTOR.services_by_name["AgentService"]


@dataclass(frozen=True, slots=True)
class Rooms:
    """Both rooms, and what people do with them."""

    agents: Room
    versions: Room
    store: Store
    client: AgentClient

    async def create(self, who: Identity, **fields: Any) -> Agent:
        agent: Agent = (await self.agents.call(who, "CreateAgent", agent=echo(**fields))).agent
        return agent

    async def get(self, who: Identity, agent_id: str) -> Agent:
        agent: Agent = (await self.agents.call(who, "GetAgent", agent_id=agent_id)).agent
        return agent

    async def edit(self, who: Identity, agent_id: str, **fields: Any) -> Agent:
        agent: Agent = (await self.agents.call(who, "UpdateAgent", agent_id=agent_id, agent=fields)).agent
        return agent

    async def publish(self, who: Identity, agent_id: str, version: str = "draft", **more: Any) -> AgentVersion:
        answer = await self.versions.call(who, "PublishVersion", agent_id=agent_id, version=version, **more)
        published: AgentVersion = answer.version
        return published

    async def version(self, who: Identity, agent_id: str, version: str) -> AgentVersion:
        answer = await self.versions.call(who, "GetVersion", agent_id=agent_id, version=version)
        found: AgentVersion = answer.version
        return found

    async def listed(self, who: Identity, agent_id: str, **page: Any) -> list[AgentVersion]:
        return list((await self.versions.call(who, "ListVersions", agent_id=agent_id, **page)).versions)

    async def act(self, who: Identity, action: str, agent_id: str, version: str, reason: str = "") -> AgentVersion:
        """Deprecate, archive, or roll back to a version."""
        method = {"deprecate": "DeprecateVersion", "archive": "ArchiveVersion", "rollback": "RollbackAgent"}[action]
        answer = await self.versions.call(who, method, agent_id=agent_id, version=version, reason=reason)
        changed: AgentVersion = answer.version
        return changed

    async def history(self, who: Identity, agent_id: str, **page: Any) -> list[tuple[str, str, str]]:
        """What happened, the oldest first: kind, version, and what was current before."""
        found = (await self.versions.call(who, "ListVersionEvents", agent_id=agent_id, **page)).events
        kind = VersionEvent.Kind.Name
        return [(kind(event.kind), event.version, event.previous_version) for event in reversed(found)]

    async def compare(self, who: Identity, agent_id: str, old: str, new: str) -> VersionComparison:
        versions = {"from": old, "to": new}
        answer = await self.versions.call(who, "CompareVersions", agent_id=agent_id, **versions)
        comparison: VersionComparison = answer.comparison
        return comparison

    async def released(self, who: Identity, *texts: str, **fields: Any) -> str:
        """Create an agent, publish a version for each text (1.0.0, 1.0.1, …), and return its id."""
        agent = await self.create(who, instructions=texts[0], **fields)
        await self.publish(who, agent.id)
        for text in texts[1:]:
            await self.edit(who, agent.id, instructions=text)
            await self.publish(who, agent.id)
        return agent.id

    async def resolve(self, organization_id: str, agent_id: str, version: str = "") -> pb.ResolveVersionResponse:
        execution = Identity(organization_id, "execution", kind="service")
        answer: pb.ResolveVersionResponse = await self.versions.call(
            execution, "ResolveVersion", organization_id=organization_id, agent_id=agent_id, version=version
        )
        return answer


@asynccontextmanager
async def serve_versions(agents: Room, database_url: str, nats_url: str, keys: Keys) -> AsyncIterator[Rooms]:
    database = Database(database_url, "version")
    await database.open()
    peer = Peer(agents.address, keys.signer("version"), AGENTS)
    store, client = Store(database), AgentClient(peer)
    async with Events(nats_url, "version") as events:
        server = Server("127.0.0.1:0", Door(keys.verifier(), Telemetry("version"), answers=Answers(database)))
        service = VersionService(store, client, events, SystemClock())
        server.add(add_VersionServiceServicer_to_server, service, pb.DESCRIPTOR)
        await server.start()
        room = Room(f"127.0.0.1:{server.port}", VersionServiceStub, pb, keys)
        yield Rooms(agents, room, store, client)
        await room.channel.close()
        await server.stop(0)
    await peer.close()
    await database.close()


async def together(*calls: Any) -> list[Any]:
    """Make calls at once; what a call raises takes the place of its answer."""
    return await asyncio.gather(*calls, return_exceptions=True)
