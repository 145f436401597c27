"""Versions of agents: frozen, listed, opened again.

Owns `client.versions`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from retinue.version.v1 import version_service_pb2 as pb
from retinue_client.agents import Agent, Agents
from retinue_client.models import AgentVersion
from retinue_client.paging import pages
from retinue_client.reading import read
from retinue_client.wire import Wire

DRAFT = "draft"
"""Names the draft of an agent wherever a version is asked for."""


class Versions:
    """`client.versions`."""

    def __init__(self, wire: Wire, agents: Agents) -> None:
        """Call over a wire; `agents` knows the agents by name."""
        self._wire = wire
        self._agents = agents

    async def publish(self, agent: Agent | str, version: str = DRAFT, *, changelog: str = "") -> AgentVersion:
        """Freeze the draft under its number and make it the version that runs. Once more changes nothing."""
        request = pb.PublishVersionRequest(
            agent_id=await self._agents.id_of(agent), version=version, changelog=changelog
        )
        return read(AgentVersion, (await self._wire.call("version", "PublishVersion", request, keyed=True)).version)

    async def create(
        self, agent: Agent | str, version: str = "", *, changelog: str = "", start: str = ""
    ) -> AgentVersion:
        """Open a new draft from a frozen version: `start`, or the one that runs. `version` is the number it gets."""
        request = pb.CreateVersionRequest(
            agent_id=await self._agents.id_of(agent), version=version, changelog=changelog, **{"from": start}
        )
        return read(AgentVersion, (await self._wire.call("version", "CreateVersion", request, keyed=True)).version)

    async def get(self, agent: Agent | str, version: str) -> AgentVersion:
        """Read a version by its number; `draft` names the draft. Raises VERSION_NOT_FOUND."""
        request = pb.GetVersionRequest(agent_id=await self._agents.id_of(agent), version=version)
        return read(AgentVersion, (await self._wire.call("version", "GetVersion", request)).version)

    async def list(self, agent: Agent | str, *, page_size: int = 0) -> AsyncIterator[AgentVersion]:
        """Iterate over the versions of an agent: the draft first, then the newest."""
        request = pb.ListVersionsRequest(agent_id=await self._agents.id_of(agent), page_size=page_size)
        found = pages(
            self._wire,
            "version",
            "ListVersions",
            request,
            lambda page: (read(AgentVersion, one) for one in page.versions),
        )
        async for version in found:
            yield version
