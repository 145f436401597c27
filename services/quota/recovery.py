"""Giving back reservations that nobody settled.

Owns the sweep. It waits for an organisation's lock like any booking and does not skip what is locked: an organisation
that is always busy would never be swept. One organisation that fails does not hold up another.
"""

from __future__ import annotations

import asyncio
import logging

from retinue_core.errors import RetinueError
from services.quota.store import Store

log = logging.getLogger(__name__)

AT_ONCE = 500


async def sweep(store: Store) -> int:
    """Give back everything that is over by the database's clock; returns how many reservations."""
    expired = 0
    for organization_id in await store.due():
        try:
            found = AT_ONCE
            while found == AT_ONCE:
                found = await store.expire(organization_id, AT_ONCE)
                expired += found
        except RetinueError as error:
            log.warning("expired reservations of %s are still held: %s", organization_id, error)
    return expired


async def sweep_for_ever(store: Store, *, every: float, keep: float) -> None:
    """Sweep at an interval in seconds, and forget what expired more than `keep` seconds ago; until cancelled."""
    while True:
        await asyncio.sleep(every)
        try:
            if expired := await sweep(store):
                log.warning("gave back %d reservations that nobody settled", expired)
            await store.forget_expired(keep)
        except RetinueError as error:
            log.warning("the sweep is put off: %s", error)
        except Exception:  # a loop of its own: nobody else would notice that it ended
            log.exception("the sweep failed")
