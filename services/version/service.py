"""The RPCs of the version room: ask, decide, keep, tell, convert.

Owns the order of these steps. An agent that the caller may not see does not exist for the caller, and neither do its
versions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from retinue.version.v1 import version_service_pb2 as pb
from retinue.version.v1 import version_service_pb2_grpc
from retinue_core.clock import Clock
from retinue_core.events import Events
from retinue_core.ids import new_id
from retinue_core.pages import page_size
from retinue_core.rpc.call import caller
from services.version import convert
from services.version.clients import AgentClient
from services.version.domain import life
from services.version.domain import version as versions
from services.version.domain.compare import compare
from services.version.domain.life import Action, Change, Found, Sought
from services.version.domain.numbers import next_number
from services.version.domain.version import DRAFT, LONGEST_CHANGELOG, LONGEST_REASON, Head, Note, Version
from services.version.recovery import Teller
from services.version.store import Decide, Store

Naming = pb.DeprecateVersionRequest | pb.ArchiveVersionRequest | pb.RollbackAgentRequest


class VersionService(version_service_pb2_grpc.VersionServiceServicer):
    """Publishes, finds, compares, retires and resolves versions."""

    def __init__(self, store: Store, agents: AgentClient, events: Events, clock: Clock) -> None:
        self._store = store
        self._agents = agents
        self._teller = Teller(store, agents)
        self._events = events
        self._clock = clock

    async def CreateVersion(self, request: pb.CreateVersionRequest, context: Any) -> pb.CreateVersionResponse:
        """Open a draft from a frozen version."""
        who, head = caller(), await self._changeable(request.agent_id)
        versions.check_text("changelog", request.changelog, LONGEST_CHANGELOG)
        source = await self._source(head, getattr(request, "from"))
        newest = await self._store.newest(head.organization_id, head.agent_id) or source
        number = next_number(request.version, newest.version)
        opened = await self._agents.open_draft(head, number, source.content)
        note = Note(number, request.changelog, who.subject, self._clock.now())
        await self._store.keep_note(head.organization_id, head.agent_id, note)
        return pb.CreateVersionResponse(version=convert.version(await self._version(opened, DRAFT)))

    async def ListVersions(self, request: pb.ListVersionsRequest, context: Any) -> pb.ListVersionsResponse:
        """List the draft, then what is frozen, the newest first."""
        head = await self._visible(request.agent_id)
        page = versions.page(head.agent_id, page_size(request.page_size), request.page_token)
        draft = await self._draft(head) if page.first else None
        frozen = await self._store.page(head.organization_id, page)
        shown, token = versions.listed(page, draft, frozen)
        return pb.ListVersionsResponse(versions=map(convert.version, shown), next_page_token=token)

    async def GetVersion(self, request: pb.GetVersionRequest, context: Any) -> pb.GetVersionResponse:
        """Read a version by its number, or the draft."""
        head = await self._visible(request.agent_id)
        return pb.GetVersionResponse(version=convert.version(await self._version(head, request.version)))

    async def PublishVersion(self, request: pb.PublishVersionRequest, context: Any) -> pb.PublishVersionResponse:
        """Freeze the draft and make it current."""
        who, head = caller(), await self._changeable(request.agent_id)
        versions.check_asked(request.version)
        versions.check_text("changelog", request.changelog, LONGEST_CHANGELOG)
        await self._agents.check(head)
        note = await self._store.note(head.organization_id, head.agent_id)
        candidate = versions.candidate(head, note, new_id(), request.changelog, who, self._clock.now())
        asked = candidate.version if request.version == DRAFT else request.version
        decide = partial(life.published, candidate, request.version)
        version = await self._change(head, Sought(asked, candidate.digest), decide)
        return pb.PublishVersionResponse(version=convert.version(version))

    async def DeprecateVersion(self, request: pb.DeprecateVersionRequest, context: Any) -> pb.DeprecateVersionResponse:
        """Let a version run with a warning only."""
        version = await self._act(request, partial(life.retired, "deprecate"))
        return pb.DeprecateVersionResponse(version=convert.version(version))

    async def ArchiveVersion(self, request: pb.ArchiveVersionRequest, context: Any) -> pb.ArchiveVersionResponse:
        """Let a version run no more."""
        version = await self._act(request, partial(life.retired, "archive"))
        return pb.ArchiveVersionResponse(version=convert.version(version))

    async def RollbackAgent(self, request: pb.RollbackAgentRequest, context: Any) -> pb.RollbackAgentResponse:
        """Make a published version current again."""
        version = await self._act(request, life.rolled_back)
        return pb.RollbackAgentResponse(version=convert.version(version))

    async def CompareVersions(self, request: pb.CompareVersionsRequest, context: Any) -> pb.CompareVersionsResponse:
        """Say what changed from one version to another."""
        head = await self._visible(request.agent_id)
        old = await self._version(head, getattr(request, "from"))
        new = await self._version(head, request.to)
        newest = await self._store.newest(head.organization_id, head.agent_id)
        # Large contents take a while, and others are served meanwhile.
        found = await asyncio.to_thread(compare, old, new, newest.version if newest else "")
        return pb.CompareVersionsResponse(comparison=convert.comparison(found))

    async def ListVersionEvents(
        self, request: pb.ListVersionEventsRequest, context: Any
    ) -> pb.ListVersionEventsResponse:
        """List what happened to the versions of an agent, the newest first."""
        head = await self._visible(request.agent_id)
        page = versions.page(head.agent_id, page_size(request.page_size), request.page_token, "history")
        found = await self._store.events(head.organization_id, page)
        shown = found[: page.size]
        token = versions.next_page(page, shown[-1].number) if len(found) > page.size else ""
        return pb.ListVersionEventsResponse(events=map(convert.happened, shown), next_page_token=token)

    async def ResolveVersion(self, request: pb.ResolveVersionRequest, context: Any) -> pb.ResolveVersionResponse:
        """Say which version runs, and what decides who may run it."""
        head = await self._agents.get(request.organization_id, request.agent_id)
        if request.version == DRAFT:
            version = await self._version(head, DRAFT)
        else:
            found = await self._store.find(head.organization_id, head.agent_id, request.version)
            version = life.runnable(found, request.version, head.agent_id)
        return pb.ResolveVersionResponse(
            version=convert.version(version),
            owner_id=head.owner_id,
            visibility=convert.visibility(head.visibility),
            active=head.active,
            organization_id=head.organization_id,
            warning=life.warning(version),
        )

    async def _act(self, request: Naming, decide: Callable[[Action, str, Found], Change]) -> Version:
        """Do something to the version that a request names, for the reason it says."""
        who, head = caller(), await self._changeable(request.agent_id)
        versions.check_asked(request.version)
        versions.check_text("reason", request.reason, LONGEST_REASON)
        done = Action(request.version, who.subject, request.reason, self._clock.now())
        return await self._change(head, Sought(request.version), partial(decide, done, head.draft_version))

    async def _change(self, head: Head, sought: Sought, decide: Decide) -> Version:
        """Commit what a decision leads to, then tell whoever remembers, and the agent room."""
        change = await self._store.change(head.organization_id, head.agent_id, sought, decide)
        if change.event is not None:
            subject = f"agents.{head.organization_id}.{head.agent_id}.{change.event.kind.lower()}"
            await self._events.hint(subject, convert.event(change.version))
        await self._teller.tell(head.organization_id, head.agent_id)
        return change.version

    async def _visible(self, agent_id: str) -> Head:
        who = caller()
        head = await self._agents.get(who.organization_id, agent_id)
        versions.check_visible(head, who)
        return head

    async def _changeable(self, agent_id: str) -> Head:
        who = caller()
        head = await self._agents.get(who.organization_id, agent_id)
        versions.check_changeable(head, who)
        return head

    async def _draft(self, head: Head) -> Version | None:
        """The draft, unless its number is frozen by now and the agent room has not heard of it yet."""
        if not head.draft_version or await self._store.find(head.organization_id, head.agent_id, head.draft_version):
            return None
        return versions.draft(head, await self._store.note(head.organization_id, head.agent_id))

    async def _version(self, head: Head, asked: str) -> Version:
        found = None
        if asked != DRAFT:
            found = await self._store.find(head.organization_id, head.agent_id, asked)
        if found is None and asked in (DRAFT, head.draft_version):
            found = await self._draft(head)
        if found is None:
            raise versions.version_not_found(asked)
        return found

    async def _source(self, head: Head, asked: str) -> Version:
        found = await self._store.find(head.organization_id, head.agent_id, asked)
        if found is None:
            raise versions.version_not_found(asked) if asked else versions.not_published(head.agent_id)
        return found
