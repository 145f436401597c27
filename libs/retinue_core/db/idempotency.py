"""Answers to requests that carry an idempotency key, kept for a day.

Owns the table `idempotency`, which every room that takes such requests has in its own schema. A key belongs to one
caller: two users may choose the same one.
"""

from __future__ import annotations

import asyncio
import logging

from retinue_core.db.database import Database
from retinue_core.db.schema import EVERY_ORGANIZATION, tenant_table
from retinue_core.errors import RetinueError
from retinue_core.rpc.idempotency import Key, State

_LOG = logging.getLogger(__name__)
_SWEEP_SECONDS = 3_600.0

_TABLE = """
create table idempotency (
    organization_id uuid not null,
    subject text not null,
    key text not null,
    fingerprint bytea not null,
    response bytea,
    locked_until timestamptz not null,
    created_at timestamptz not null default now(),
    primary key (organization_id, subject, key)
)
"""

# A key that is a day old is free again; so is one whose request died without an answer, for the same request. Who
# took it and did not hear so may take it again.
_BEGIN = """
with begun as (
    insert into idempotency as known (organization_id, subject, key, fingerprint, locked_until, holder)
    values (%(organization_id)s, %(subject)s, %(key)s, %(fingerprint)s, now() + %(seconds)s * interval '1 second',
        %(holder)s)
    on conflict (organization_id, subject, key) do update set
        fingerprint = excluded.fingerprint, response = null, locked_until = excluded.locked_until, created_at = now(),
        holder = excluded.holder
    where known.created_at < now() - interval '24 hours'
        or (known.response is null and known.locked_until < now() and known.fingerprint = excluded.fingerprint)
        or (known.response is null and known.holder = excluded.holder)
    returning 1)
select exists (select from begun) as begun, known.fingerprint, known.response
from (select 1) one left join idempotency known
    on known.organization_id = %(organization_id)s and known.subject = %(subject)s and known.key = %(key)s
"""

_FINISH = """
update idempotency set response = %(response)s
where organization_id = %(organization_id)s and subject = %(subject)s and key = %(key)s and holder = %(holder)s
"""

_FORGET = """
delete from idempotency
where organization_id = %(organization_id)s and subject = %(subject)s and key = %(key)s and holder = %(holder)s
    and response is null
"""

_SWEEP = "delete from idempotency where created_at < now() - interval '25 hours'"


def idempotency_table() -> list[str]:
    """Return the statements that make the table, for a room's migration."""
    return [
        _TABLE,
        "create index idempotency_by_age on idempotency using brin (created_at)",
        *tenant_table("idempotency"),
    ]


class Answers:
    """The answers of one room."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, key: Key, seconds: float) -> tuple[State, bytes]:
        """Take a key for a request that ends within some seconds, or say what is known of it, with its answer.

        Asked again by the same holder, because the answer was lost, it says the same.
        """
        parameters = _parameters(key) | {"fingerprint": key.fingerprint, "seconds": seconds}
        [row] = await self._database.statement(key.organization_id, _BEGIN, parameters)
        if row["begun"] or row["fingerprint"] is None:
            return (State.NEW, b"") if row["begun"] else (State.BUSY, b"")
        if bytes(row["fingerprint"]) != key.fingerprint:
            return State.OTHER, b""
        return (State.BUSY, b"") if row["response"] is None else (State.ANSWERED, bytes(row["response"]))

    async def finish(self, key: Key, response: bytes) -> None:
        """Keep the answer."""
        await self._database.statement(key.organization_id, _FINISH, _parameters(key) | {"response": response})

    async def forget(self, key: Key) -> None:
        """Free a key whose request failed."""
        await self._database.statement(key.organization_id, _FORGET, _parameters(key))

    async def sweep(self) -> None:
        """Forget what is older than a day."""
        await self._database.statement(EVERY_ORGANIZATION, _SWEEP)

    async def run(self) -> None:
        """Sweep once an hour, for ever: one of the loops of a room that keeps answers."""
        while True:
            try:
                await self.sweep()
            except RetinueError as error:
                _LOG.warning("old answers are not forgotten yet: %s", error)
            await asyncio.sleep(_SWEEP_SECONDS)


def _parameters(key: Key) -> dict[str, object]:
    return {"organization_id": key.organization_id, "subject": key.subject, "key": key.key, "holder": key.holder}
