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


async def sweep(store: Store, agents: AgentClient, seconds: float) -> int:
    """Record once whatever nobody has tried to record for some seconds; returns how many were recorded."""
    versions = await store.take_unrecorded(seconds, _AT_ONCE)
    return sum([await _record(store, agents, version) for version in versions])


async def run(store: Store, agents: AgentClient, *, seconds: float) -> None:
    """Sweep for ever, with a pause of some seconds."""
    while True:
        try:
            await sweep(store, agents, seconds)
        except RetinueError as error:
            log.warning("the sweep for unrecorded versions failed: %s", error)
        await asyncio.sleep(seconds)


async def _record(store: Store, agents: AgentClient, version: Version) -> bool:
    try:
        await agents.record(version)
    except RetinueError as error:
        if error.kind is not Kind.NOT_FOUND:
            log.warning("agent %s is not told of version %s yet: %s", version.agent_id, version.version, error)
            return False
        # The agent was deleted meanwhile; there is nobody to tell.
    await store.recorded(version)
    return True
