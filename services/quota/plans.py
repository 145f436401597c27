"""Which plan an organisation is on, as the quota room knows it.

Owns asking access, once and then every few minutes, and the rule for when access does not answer: an organisation that
nobody knows is held to the default plan until access says otherwise. It refuses to hold up a booking for a refresh.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from contextvars import Context
from typing import Protocol

from retinue_core.clock import Clock
from retinue_core.errors import RetinueError
from services.quota.domain import DEFAULT_PLAN, PLANS, plan_or_default
from services.quota.store import Store

log = logging.getLogger(__name__)

REFRESH_SECONDS = 300.0
RETRY_SECONDS = 5.0


class PlanSource(Protocol):
    """Says which plan an organisation is on."""

    async def plan(self, organization_id: str) -> str:
        """Name the plan; raises RetinueError when it cannot."""


class Plans:
    """Makes sure that the plan of an organisation is in the database before anything is booked for it."""

    def __init__(self, store: Store, source: PlanSource, clock: Clock) -> None:
        self._store = store
        self._source = source
        self._clock = clock
        self._due: dict[str, float] = {}
        self._learning: dict[str, asyncio.Task[None]] = {}

    async def ensure(self, organization_ids: Iterable[str]) -> None:
        """Wait for what is not known yet, and refresh in the background what has become old."""
        now = self._clock.monotonic()
        unknown = []
        for organization_id in organization_ids:
            due = self._due.get(organization_id)
            if due is None or due <= now:
                task = self._learn(organization_id)
                if due is None:
                    unknown.append(task)
        for task in unknown:
            await asyncio.shield(task)

    def _learn(self, organization_id: str) -> asyncio.Task[None]:
        task = self._learning.get(organization_id)
        if task is None:
            # Not in the caller's context: its deadline and its trace end with its call.
            task = asyncio.create_task(self._ask(organization_id), context=Context())
            self._learning[organization_id] = task
            task.add_done_callback(lambda done: self._learnt(organization_id, done))
        return task

    def _learnt(self, organization_id: str, task: asyncio.Task[None]) -> None:
        del self._learning[organization_id]
        if not task.cancelled() and (error := task.exception()):
            log.warning("the plan of %s is not refreshed: %s", organization_id, error)

    async def _ask(self, organization_id: str) -> None:
        try:
            plan = await self._source.plan(organization_id)
        except RetinueError as error:
            log.warning("access does not say the plan of %s: %s", organization_id, error)
            await self._store.meet(organization_id, DEFAULT_PLAN)
            self._due[organization_id] = self._clock.monotonic() + RETRY_SECONDS
            return
        if plan not in PLANS:
            log.warning("%s is on the plan %r, which has no limits here: %r holds", organization_id, plan, DEFAULT_PLAN)
        await self._store.learn(organization_id, plan_or_default(plan))
        self._due[organization_id] = self._clock.monotonic() + REFRESH_SECONDS
