"""The RPCs of the version room: ask, decide, keep, tell, convert.

Owns the order of these steps. An agent that the caller may not see does not exist for the caller, and neither do its
versions.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from retinue.version.v1 import version_service_pb2 as pb
from retinue.version.v1 import version_service_pb2_grpc
from retinue_core.clock import Clock
from retinue_core.errors import RetinueError
from retinue_core.events import Events
from retinue_core.ids import new_id
from retinue_core.pages import page_size
from retinue_core.rpc.call import caller
from services.version import convert, domain
from services.version.clients import AgentClient
from services.version.domain import DRAFT, Head, Note, Version
from services.version.store import Store

log = logging.getLogger(__name__)


class VersionService(version_service_pb2_grpc.VersionServiceServicer):
    """Publishes, finds and resolves versions."""

    def __init__(self, store: Store, agents: AgentClient, events: Events, clock: Clock) -> None:
        self._store = store
        self._agents = agents
        self._events = events
        self._clock = clock

    async def CreateVersion(self, request: pb.CreateVersionRequest, context: Any) -> pb.CreateVersionResponse:
        """Open a draft from a frozen version."""
        who, head = caller(), await self._changeable(request.agent_id)
        domain.check_changelog(request.changelog)
        source = await self._source(head, getattr(request, "from"))
        newest = await self._store.newest(head.organization_id, head.agent_id) or source
        number = domain.next_number(request.version, newest)
        opened = await self._agents.open_draft(head, number, source.content)
        note = Note(number, request.changelog, who.subject, self._clock.now())
        await self._store.keep_note(head.organization_id, head.agent_id, note)
        return pb.CreateVersionResponse(version=convert.version(await self._version(opened, DRAFT)))

    async def ListVersions(self, request: pb.ListVersionsRequest, context: Any) -> pb.ListVersionsResponse:
        """List the draft, then what is frozen, the newest first."""
        head = await self._visible(request.agent_id)
        page = domain.page(head.agent_id, page_size(request.page_size), request.page_token)
        draft = await self._draft(head) if page.first else None
        frozen = await self._store.page(head.organization_id, page)
        versions, token = domain.listed(page, draft, frozen)
        return pb.ListVersionsResponse(versions=map(convert.version, versions), next_page_token=token)

    async def GetVersion(self, request: pb.GetVersionRequest, context: Any) -> pb.GetVersionResponse:
        """Read a version by its number, or the draft."""
        head = await self._visible(request.agent_id)
        return pb.GetVersionResponse(version=convert.version(await self._version(head, request.version)))

    async def PublishVersion(self, request: pb.PublishVersionRequest, context: Any) -> pb.PublishVersionResponse:
        """Freeze the draft and make it current."""
        who, head = caller(), await self._changeable(request.agent_id)
        domain.check_asked(request.version)
        domain.check_changelog(request.changelog)
        await self._agents.check(head)
        note = await self._store.note(head.organization_id, head.agent_id)
        candidate = domain.candidate(head, note, new_id(), request.changelog, who, self._clock.now())
        decide = partial(domain.published, candidate, request.version)
        asked = candidate.version if request.version == DRAFT else request.version
        published, new = await self._store.publish(candidate, asked, decide)
        if new:
            await self._tell(published)
        if not published.recorded:
            await self._record(published)
        return pb.PublishVersionResponse(version=convert.version(published))

    async def ResolveVersion(self, request: pb.ResolveVersionRequest, context: Any) -> pb.ResolveVersionResponse:
        """Say which version runs, and what decides who may run it."""
        head = await self._agents.get(request.organization_id, request.agent_id)
        if request.version == DRAFT:
            version = await self._version(head, DRAFT)
        else:
            found = await self._store.find(head.organization_id, head.agent_id, request.version)
            version = domain.runnable(found, request.version, head.agent_id)
        return pb.ResolveVersionResponse(
            version=convert.version(version),
            owner_id=head.owner_id,
            visibility=convert.visibility(head.visibility),
            active=head.active,
            organization_id=head.organization_id,
        )

    async def _visible(self, agent_id: str) -> Head:
        who = caller()
        head = await self._agents.get(who.organization_id, agent_id)
        domain.check_visible(head, who)
        return head

    async def _changeable(self, agent_id: str) -> Head:
        who = caller()
        head = await self._agents.get(who.organization_id, agent_id)
        domain.check_changeable(head, who)
        return head

    async def _draft(self, head: Head) -> Version | None:
        """The draft, unless its number is frozen by now and the agent room has not heard of it yet."""
        if not head.draft_version or await self._store.find(head.organization_id, head.agent_id, head.draft_version):
            return None
        return domain.draft(head, await self._store.note(head.organization_id, head.agent_id))

    async def _version(self, head: Head, asked: str) -> Version:
        found = None
        if asked != DRAFT:
            found = await self._store.find(head.organization_id, head.agent_id, asked)
        if found is None and asked in (DRAFT, head.draft_version):
            found = await self._draft(head)
        if found is None:
            raise domain.version_not_found(asked)
        return found

    async def _source(self, head: Head, asked: str) -> Version:
        found = await self._store.find(head.organization_id, head.agent_id, asked)
        if found is None:
            raise domain.version_not_found(asked) if asked else domain.not_published(head.agent_id)
        return found

    async def _tell(self, version: Version) -> None:
        subject = f"agents.{version.organization_id}.{version.agent_id}.published"
        await self._events.hint(subject, convert.event(version))

    async def _record(self, version: Version) -> None:
        """Tell the agent room. The version is committed: when this fails, the sweep tells it later."""
        try:
            await self._agents.record(version)
        except RetinueError as error:
            log.warning("agent %s is not told of version %s yet: %s", version.agent_id, version.version, error)
        else:
            await self._store.recorded(version)
