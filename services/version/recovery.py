"""The agent room is told what was published and what is current, sooner or later.

Owns the telling, and the sweep that ends what a crash, or an agent room that did not answer, left untold. Of an agent
only one tells at a time, so that nothing old arrives behind something new. One that fails is tried again later and
blocks no other.
"""

from __future__ import annotations

import asyncio
import logging

from retinue_core.errors import Kind, RetinueError
from services.version.clients import AgentClient
from services.version.domain.telling import Untold
from services.version.store import Store

log = logging.getLogger(__name__)

_AT_ONCE = 50
_SECONDS = 5.0  # between two sweeps
_ALONE = 10.0  # seconds in which nobody else tells of an agent, and
_LONGEST = 8.0  # seconds after which an attempt ends for certain


class Teller:
    """Tells the agent room of one agent's versions."""

    def __init__(self, store: Store, agents: AgentClient) -> None:
        self._store = store
        self._agents = agents

    async def tell(self, organization_id: str, agent_id: str) -> None:
        """Tell what is committed. It never fails: what cannot be told now is told by the sweep."""
        try:
            while untold := await self._store.take_untold(organization_id, agent_id, _ALONE):
                if not await self.hand_over(untold):
                    return
        except RetinueError as error:
            log.warning("agent %s is not told of its versions yet: %s", agent_id, error)

    async def hand_over(self, untold: Untold) -> bool:
        """Tell what was taken, and keep that it was told; returns whether it was."""
        try:
            async with asyncio.timeout(_LONGEST):
                for version in untold.unrecorded:
                    await self._agents.record(version)
                if untold.current is not None and untold.current_must_be_told:
                    await self._agents.make_current(untold.current)
        except (RetinueError, TimeoutError) as error:
            if not (isinstance(error, RetinueError) and error.kind is Kind.NOT_FOUND):
                log.warning("agent %s is not told of its versions yet: %s", untold.agent_id, error)
                return False
            # The agent was deleted meanwhile; there is nobody to tell.
        await self._store.told(untold)
        return True


class Sweep:
    """Tells whatever nobody has tried to tell for some seconds."""

    def __init__(self, store: Store, agents: AgentClient, seconds: float = _ALONE) -> None:
        self._store = store
        self._teller = Teller(store, agents)
        self._seconds = seconds

    async def run(self) -> None:
        """Sweep for ever."""
        while True:
            try:
                await self.once()
            except RetinueError as error:
                log.warning("the sweep for untold versions failed: %s", error)
            await asyncio.sleep(_SECONDS)

    async def once(self) -> int:
        """Sweep once; returns of how many agents the agent room was told."""
        taken = await self._store.take_all_untold(self._seconds, _AT_ONCE)
        return sum([await self._teller.hand_over(untold) for untold in taken])
