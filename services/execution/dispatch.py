"""Giving executions to workers: at once when one is accepted, from the queue when a slot gets free.

Owns the order of the queue (priority, then age) and the rule that an execution runs only on a reservation. The queue
itself is a partial index in PostgreSQL.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from retinue.agent.v1 import agent_pb2
from retinue.execution.v1 import worker_pb2
from retinue.quota.v1 import quota_pb2
from retinue_core.errors import RetinueError
from services.execution.clients import Reservations
from services.execution.convert import JournalEntry, from_stored, numbered, started_entry, timestamp, to_new_entry
from services.execution.domain import Execution
from services.execution.journal import until_known
from services.execution.matching import Attachment, Matcher
from services.execution.relay import Relay
from services.execution.store import Executions, Holding, Journals
from services.execution.store.holding import Claim
from services.execution.store.journal import new_outbox_id
from services.execution.store.outbox import Owed
from services.execution.store.rows import Changed

log = logging.getLogger(__name__)

_LOOK = 1.0
_PAGE = 200
_BUSY = 1.0

Grant = quota_pb2.Grant
Promises = dict[str, tuple[Execution, Attachment]]


class Dispatcher:
    """Claims what is next for the free slots of this replica."""

    def __init__(
        self,
        matcher: Matcher,
        holding: Holding,
        journals: Journals,
        executions: Executions,
        relay: Relay,
        reservations: Reservations,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._matcher = matcher
        self._holding = holding
        self._journals = journals
        self._executions = executions
        self._relay = relay
        self._reservations = reservations
        self._monotonic = monotonic
        self._busy: dict[str, float] = {}

    def settled(self) -> None:
        """Reservations were settled: users who had as many running as they may can go on."""
        if self._busy:
            self._busy.clear()
            self._matcher.wake()

    async def run(self) -> None:
        """Dispatch, for ever: when there may be work, and once a second in case a hint was lost."""
        while True:
            await self._matcher.work(_LOOK)
            try:
                for pool in self._matcher.pools():
                    while await self._dispatch(pool):
                        pass
            except RetinueError as error:
                log.info("dispatch waits: %s", error)

    async def _dispatch(self, pool: str) -> bool:
        """Claim once; says whether there may be more to claim at once."""
        free = min(self._matcher.free(pool), _PAGE)
        if free <= 0:
            return False
        candidates = await self._holding.candidates(pool, self._busy_users(), free)
        if not candidates:
            self._matcher.backlog = bool(self._busy)
            return False
        self._matcher.backlog = True
        promises = self._promise(pool, candidates)
        try:
            granted = await self._reserve(promises)
        except BaseException:
            self._give_up(promises, set())
            raise
        await self._claim(promises, granted)
        return len(candidates) == free or len(granted) < len(candidates)

    def _busy_users(self) -> list[str]:
        now = self._monotonic()
        self._busy = {user: until for user, until in self._busy.items() if until > now}
        return list(self._busy)

    def _promise(self, pool: str, candidates: Sequence[Execution]) -> Promises:
        """Promise each candidate a slot, for as long as there are any; as it would be with that slot."""
        promises: Promises = {}
        for execution in candidates:
            attachment = self._matcher.take(pool)
            if attachment is None:
                break
            wanted = replace(execution, fence=execution.fence + 1, session_id=attachment.id)
            promises[execution.id] = (wanted, attachment)
        return promises

    async def _reserve(self, promises: Promises) -> dict[str, Grant]:
        wanted = [execution for execution, _ in promises.values()]
        grants = await asyncio.gather(*(self._reservations.reserve(execution) for execution in wanted))
        granted: dict[str, Grant] = {}
        for execution, grant in zip(wanted, grants, strict=True):
            if grant.outcome == Grant.GRANTED:
                granted[execution.id] = grant
            else:
                self._busy[execution.created_by] = self._monotonic() + _BUSY
        return granted

    async def _claim(self, promises: Promises, granted: dict[str, Grant]) -> None:
        claims = [_claim_of(*promises[execution_id]) for execution_id in granted]
        outbox_id = new_outbox_id()
        try:
            changes = await self._holding.claim(claims, outbox_id) if claims else []
        except BaseException:
            # If it was committed all the same, the look for strays finds what nobody was told of.
            self._give_up(promises, set())
            raise
        claimed = {change.execution.id for change in changes}
        self._give_up(promises, claimed)
        self._relay.changed(outbox_id, changes)
        await self._assign(changes, promises, granted)
        # A reservation carries the session in its name: giving this one back leaves that of another replica alone,
        # which was quicker with the same execution.
        lost = [unused(promises[execution_id][0]) for execution_id in granted if execution_id not in claimed]
        if lost:
            await self._reservations.settle(lost)

    def _give_up(self, promises: Promises, kept: set[str]) -> None:
        for execution_id, (_, attachment) in promises.items():
            if execution_id not in kept:
                self._matcher.give_up(attachment)

    async def _assign(
        self,
        changes: Sequence[Changed],
        promises: Promises,
        granted: dict[str, Grant],
    ) -> None:
        if not changes:
            return
        executions = [change.execution for change in changes]
        digests = list({(execution.organization_id, execution.spec_digest) for execution in executions})
        specs = await until_known(lambda: self._executions.specs(digests))
        journals = await until_known(lambda: self._journals.read_many([execution.id for execution in executions]))
        for change in changes:
            execution = change.execution
            spec = agent_pb2.AgentSpec.FromString(specs[execution.organization_id, execution.spec_digest])
            assignment = assign(
                execution,
                spec,
                [from_stored(entry) for entry in journals[execution.id]],
                granted[execution.id],
                change.recorded_at,
            )
            self._matcher.assign(promises[execution.id][1], execution, assignment)


def _claim_of(wanted: Execution, attachment: Attachment) -> Claim:
    body = to_new_entry(started_entry(wanted.attempt + 1, attachment.worker)).body
    return Claim(wanted.id, wanted.fence - 1, attachment.id, body)


def assign(
    execution: Execution,
    spec: agent_pb2.AgentSpec,
    journal: Sequence[JournalEntry],
    grant: Grant,
    now: datetime,
) -> worker_pb2.Assignment:
    """What a worker is told about an execution it is given. `now` is the database's time of the claim."""
    return worker_pb2.Assignment(
        execution_id=execution.id,
        fence=execution.fence,
        organization_id=execution.organization_id,
        agent_id=execution.agent_id,
        agent_name=execution.agent_name,
        agent_version=execution.agent_version,
        spec=spec,
        input_json=execution.input_json,
        journal=journal,
        deadline=timestamp(execution.deadline_at),
        remaining_ms=max(0, int((execution.deadline_at - now).total_seconds() * 1000)),
        traceparent=execution.traceparent,
        budget_tokens=grant.tokens,
        budget_cost_micros=grant.cost_micros,
        attempt=execution.attempt,
        created_by=execution.created_by,
    )


def first_entries(created: JournalEntry, started: JournalEntry, now: datetime) -> list[JournalEntry]:
    """The journal of an execution that was accepted and given to a worker at once."""
    return [numbered(created, 1, now), numbered(started, 2, now)]


def unused(execution: Execution) -> Owed:
    """The settlement of a reservation that nothing ran on."""
    return Owed(execution.reservation_id, execution.organization_id, 0, 0, 0, 0, 0, 0, "")
