"""What was published and not yet recorded is recorded.

Owns the sweep that ends what a crash, or an agent room that did not answer, left half done between the commit of a
version and its record. One that fails again is tried later and blocks no other.
"""

from __future__ import annotations

import asyncio
import logging

from retinue_core.errors import Kind, RetinueError
from services.version.clients import AgentClient
from services.version.domain import Version
from services.version.store import Store

log = logging.getLogger(__name__)

_AT_ONCE = 50
_SECONDS = 5.0


class Sweep:
    """Records whatever nobody has tried to record for some seconds, and does so again after as many."""

    def __init__(self, store: Store, agents: AgentClient, seconds: float = _SECONDS) -> None:
        self._store = store
        self._agents = agents
        self._seconds = seconds

    async def run(self) -> None:
        """Sweep for ever."""
        while True:
            try:
                await self.once()
            except RetinueError as error:
                log.warning("the sweep for unrecorded versions failed: %s", error)
            await asyncio.sleep(self._seconds)

    async def once(self) -> int:
        """Sweep once; returns how many versions were recorded."""
        versions = await self._store.take_unrecorded(self._seconds, _AT_ONCE)
        return sum([await self._record(version) for version in versions])

    async def _record(self, version: Version) -> bool:
        try:
            await self._agents.record(version)
        except RetinueError as error:
            if error.kind is not Kind.NOT_FOUND:
                log.warning("agent %s is not told of version %s yet: %s", version.agent_id, version.version, error)
                return False
            # The agent was deleted meanwhile; there is nobody to tell.
        await self._store.recorded(version)
        return True
