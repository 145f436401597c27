"""Accepting an execution: resolve what runs, check the input, reserve, commit, and hand it to a worker.

Owns the order of these, and the rule that nothing is answered before it is committed.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from retinue.agent.v1 import agent_pb2
from retinue.quota.v1 import quota_pb2
from retinue_core import ids, telemetry
from retinue_core.errors import Kind as ErrorKind
from retinue_core.errors import RetinueError, exhausted, not_found, precondition
from retinue_core.events import Events
from retinue_core.identity import Identity, may_change, may_see
from services.execution.clients import Reservations, Resolved, Versions
from services.execution.convert import created_entry, started_entry, to_new_entry
from services.execution.dispatch import assign, first_entries, unused
from services.execution.domain import Execution, Status, TimeLimits, deadline, time_allowed
from services.execution.journal import Journal
from services.execution.matching import Attachment, Matcher
from services.execution.store import Executions
from services.execution.store.executions import NewExecution

_DRAFT = "draft"
_KNOWN_SPECS = 50_000

Grant = quota_pb2.Grant


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a caller wants to be run. `timeout` is in seconds, 0 when it was not said."""

    agent_id: str
    input: object
    input_json: str
    version: str = ""
    priority: int = 2
    timeout: float = 0.0
    inline: bool = False
    conversation_id: str = ""
    project_id: str = ""
    metadata_json: str = ""
    idempotency_key: str = ""
    fingerprint: bytes = b""


class Acceptor:
    """Accepts executions."""

    def __init__(
        self,
        versions: Versions,
        reservations: Reservations,
        executions: Executions,
        journal: Journal,
        matcher: Matcher,
        events: Events,
        *,
        most_waiting: int,
    ) -> None:
        self._most_waiting = most_waiting
        self._versions = versions
        self._reservations = reservations
        self._executions = executions
        self._journal = journal
        self._matcher = matcher
        self._events = events
        self._limits = TimeLimits()
        self._kept: OrderedDict[tuple[str, bytes], None] = OrderedDict()

    async def plan(self, identity: Identity, wish: Wish) -> tuple[Execution, Resolved, float]:
        """Check a wish; returns the execution it would be, what it would run, and its time in seconds."""
        resolved = await self._versions.resolve(identity.organization_id, wish.agent_id, wish.version)
        _check_right(identity, resolved, wish)
        resolved.check_input(wish.input)
        seconds = time_allowed(self._limits, wish.timeout, resolved.timeout, inline=wish.inline)
        await self._keep(identity.organization_id, resolved)
        now = datetime.now(UTC)
        execution = Execution(
            id=ids.new_id(),
            organization_id=identity.organization_id,
            agent_id=wish.agent_id,
            agent_name=resolved.version.agent_name,
            agent_version=_DRAFT if wish.version == _DRAFT else resolved.version.version,
            spec_digest=resolved.digest,
            status=Status.PENDING,
            input_json=wish.input_json,
            created_by=identity.subject,
            created_at=now,
            deadline_at=deadline(now, seconds),
            priority=wish.priority,
            conversation_id=wish.conversation_id,
            project_id=wish.project_id,
            metadata_json=wish.metadata_json,
            idempotency_key=wish.idempotency_key,
            fingerprint=wish.fingerprint,
            traceparent=telemetry.current(),
            last_sequence=1,
        )
        return execution, resolved, seconds

    async def accept(self, execution: Execution, resolved: Resolved, seconds: float) -> Execution:
        """Commit an execution that was planned, given to a worker at once if one is free; returns it as accepted.

        It is carried to its end: a caller that may go away shields it.
        """
        if self._journal.creations_waiting >= self._most_waiting:
            raise exhausted("OVERLOADED", "More executions are being accepted than the database takes.", retry_after=1)
        attachment = None if self._matcher.backlog else self._matcher.take(execution.pool)
        if attachment is None:
            return await self._queue(execution, seconds, "a free worker")
        running = replace(
            execution, status=Status.RUNNING, attempt=1, fence=1, session_id=attachment.id, last_sequence=2
        )
        try:
            grant = await self._reserve(running)
        except BaseException:
            self._matcher.give_up(attachment)
            raise
        if grant is None:
            self._matcher.give_up(attachment)
            return await self._queue(execution, seconds, "quota")
        return await self._match(running, resolved.spec, seconds, attachment, grant)

    async def _match(
        self,
        running: Execution,
        spec: agent_pb2.AgentSpec,
        seconds: float,
        attachment: Attachment,
        grant: Grant,
    ) -> Execution:
        created, started = created_entry(running), started_entry(1, attachment.worker)
        new = NewExecution(running, seconds, to_new_entry(created).body, to_new_entry(started).body)
        try:
            now = await self._journal.create(new)
        except BaseException:
            self._matcher.give_up(attachment)
            # What cannot be given back now, for quota is away as well, ends with its deadline.
            await self._reservations.settle([unused(running)])
            raise
        running = replace(running, created_at=now, started_at=now, deadline_at=deadline(now, seconds))
        assignment = assign(running, spec, first_entries(created, started, now), grant, now)
        # A worker that left meanwhile is found by the look for sessions that nobody has.
        self._matcher.assign(attachment, running, assignment)
        return running

    async def _reserve(self, running: Execution) -> Grant | None:
        """The grant to run on at once; None when the execution has to wait. Raises when the budget is used up."""
        try:
            grant = await self._reservations.reserve(running)
        except RetinueError as error:
            if error.kind in (ErrorKind.UNAVAILABLE, ErrorKind.DEADLINE_EXCEEDED):
                return None
            raise
        if grant.outcome == Grant.EXHAUSTED:
            raise exhausted(
                "RESOURCE_EXHAUSTED",
                "The budget is used up.",
                retry_after=60.0,
                actions=("Raise the quota, or wait for its window to end.",),
            )
        return grant if grant.outcome == Grant.GRANTED else None

    async def _queue(self, execution: Execution, seconds: float, waiting_for: str) -> Execution:
        pending = replace(execution, waiting_for=waiting_for)
        now = await self._journal.create(
            NewExecution(pending, seconds, to_new_entry(created_entry(pending)).body, None)
        )
        self._matcher.wake()
        await self._events.hint(f"work.{pending.pool}")
        return replace(pending, created_at=now, deadline_at=deadline(now, seconds))

    async def _keep(self, organization_id: str, resolved: Resolved) -> None:
        key = (organization_id, resolved.digest)
        if key not in self._kept:
            await self._executions.keep_spec(organization_id, resolved.digest, resolved.spec_bytes)
            self._kept[key] = None
            if len(self._kept) > _KNOWN_SPECS:
                self._kept.popitem(last=False)


def _check_right(identity: Identity, resolved: Resolved, wish: Wish) -> None:
    visibility = agent_pb2.Agent.Visibility.Name(resolved.visibility)
    if not may_see(identity, resolved.organization_id, resolved.owner_id, visibility):
        raise not_found("agent", wish.agent_id)
    if wish.version == _DRAFT and not may_change(identity, resolved.organization_id, resolved.owner_id):
        raise not_found("version", _DRAFT)
    if not resolved.active:
        raise precondition(
            "AGENT_INACTIVE",
            "The agent takes no new executions.",
            details={"agentId": wish.agent_id},
            actions=("Set `active` to true on the agent.",),
        )
