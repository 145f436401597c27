"""Who holds what: sessions of workers, claims, and taking back what a lost worker held.

Lease time is the database's clock. Statements that touch several executions skip those that somebody else has locked,
so that they never wait for each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from retinue_core.db import Database
from retinue_core.db.schema import EVERY_ORGANIZATION
from services.execution.domain import Execution, Failure, Kind
from services.execution.store.rows import (
    BOOKED,
    CHANGED,
    COLUMNS,
    JOURNALED,
    UNSETTLED,
    Changed,
    to_changed,
    to_execution,
)

_ATTACH = """
insert into sessions (id, worker, pool, slots, expires_at)
values (%(id)s, %(worker)s, %(pool)s, %(slots)s, now() + %(lease)s * interval '1 second')
"""

# A session belongs to the stream that has its epoch; what another stream says of it is old.
_RENEW = """
update sessions s set expires_at = now() + %(lease)s * interval '1 second'
from unnest(%(ids)s::uuid[], %(epochs)s::integer[]) as i(id, epoch)
where s.id = i.id and s.epoch = i.epoch returning s.id
"""

_ADOPT = """
update sessions set epoch = epoch + 1, slots = %(slots)s, expires_at = now() + %(lease)s * interval '1 second'
where id = %(id)s and worker = %(worker)s and pool = %(pool)s returning epoch
"""

_KEPT = f"""
select {COLUMNS}, pause_body is not null as wanted from executions
where status = 'RUNNING' and session_id = %(session_id)s
    and (id, fence) in (select * from unnest(%(ids)s::uuid[], %(fences)s::bigint[]))
"""

# Deleting the row decides: whoever comes back later finds no session to go on with.
_END = """
delete from sessions where id = %(id)s and epoch = %(epoch)s and (not %(lapsed)s or expires_at < now()) returning id
"""

_LOST = """
select id, worker, pool, epoch from sessions where expires_at < now()
union all
select distinct e.session_id, '', e.pool, 0 from executions e
where e.status = 'RUNNING' and not exists (select from sessions s where s.id = e.session_id)
limit 100
"""

_STRAYS = """
select e.id, e.session_id, e.fence from unnest(%(ids)s::uuid[], %(epochs)s::integer[]) as i(id, epoch)
join sessions s on s.id = i.id and s.epoch = i.epoch
join executions e on e.session_id = s.id
where e.status = 'RUNNING' and e.id <> all(%(held)s::uuid[]) limit 500
"""

_CANDIDATES = f"""
select {COLUMNS} from executions
where status = 'PENDING' and pool = %(pool)s and available_at <= now() and deadline_at > now()
    and created_by <> all(%(busy)s::text[])
order by priority desc, id limit %(limit)s
"""

_CLAIM = (
    f"""
with i as (
    select * from unnest(%(ids)s::uuid[], %(fences)s::bigint[], %(session_ids)s::uuid[], %(bodies)s::bytea[])
    as i(id, fence, session_id, body))
, b as (
    select e.id from executions e join i on i.id = e.id
    where e.status = 'PENDING' and e.fence = i.fence for update of e skip locked)
, u as (
    update executions e set
        status = 'RUNNING', session_id = i.session_id, fence = e.fence + 1, attempt = e.attempt + 1,
        last_sequence = e.last_sequence + 1, started_at = coalesce(e.started_at, now()), waiting_for = ''
    from i join b on b.id = i.id where e.id = i.id
    returning e.*, '{Kind.STARTED}' as kind, i.body)
"""
    + JOURNALED
    + f"select {CHANGED} from u"
)

# An execution that is given back is claimable again, unless it has lost too many workers.
_GIVE_BACK = (
    f"""
with b as (
    select id, fence as held_fence, attempt >= %(most)s and pause_body is null as given_up, pause_body from executions
    where status = 'RUNNING' and session_id = %(session_id)s and (%(id)s::uuid is null or id = %(id)s)
        and (%(fence)s::bigint is null or fence = %(fence)s) and id <> all(%(kept)s::uuid[])
    limit %(limit)s for update skip locked)
, u as (
    update executions e set
        status = case when b.given_up then 'FAILED' when b.pause_body is not null then 'PAUSED' else 'PENDING' end,
        paused_at = case when b.pause_body is not null then now() end, pause_body = null, waiting_for = '',
        fence = e.fence + 1, last_sequence = e.last_sequence + 1,
        completed_at = case when b.given_up then now() end,
        error_code = case when b.given_up then %(error_code)s end,
        error_message = case when b.given_up then %(error_message)s end,
        error_retryable = case when b.given_up then false end,
        error_details = case when b.given_up then '{{}}'::jsonb end
    from b where e.id = b.id
    returning e.*, b.held_fence,
        case when b.given_up then '{Kind.FAILED}' when b.pause_body is not null then '{Kind.PAUSED}'
            else '{Kind.RECOVERED}' end as kind,
        case when b.given_up then %(failed_body)s::bytea
            else coalesce(b.pause_body, %(recovered_body)s::bytea) end as body)
"""
    + JOURNALED
    + UNSETTLED
    + f"select {CHANGED} from u"
)

_BOOK = f"update executions set booked = {BOOKED} where id = any(%(ids)s::uuid[])"
_DEMAND = "select count(*) as demand from executions where pool = %(pool)s and status in ('PENDING', 'RUNNING')"


@dataclass(frozen=True, slots=True)
class Session:
    """A worker's attachment, as its row says. `epoch` counts its streams; zero is a session that nobody has."""

    id: str
    worker: str
    pool: str
    slots: int = 0
    epoch: int = 1


@dataclass(frozen=True, slots=True)
class Claim:
    """A wish to give an execution, as it was seen at a fence, to a session."""

    execution_id: str
    fence: int
    session_id: str
    started_body: bytes


@dataclass(frozen=True, slots=True)
class GivingBack:
    """What a session gives back: everything but `kept`, or one execution at a fence; with the entries that say so."""

    session_id: str
    execution_id: str | None
    most_attempts: int
    failure: Failure
    failed_body: bytes
    recovered_body: bytes
    fence: int | None = None
    kept: tuple[str, ...] = ()
    limit: int = 500


@dataclass(frozen=True, slots=True)
class Kept:
    """An execution that a worker goes on with; `wanted` says that somebody waits for it to be handed back."""

    execution: Execution
    wanted: bool


@dataclass(frozen=True, slots=True)
class Adopted:
    """A session that goes on: its new epoch, what its worker keeps, and what was given back."""

    epoch: int
    kept: list[Kept]
    given_back: list[Changed]


@dataclass(frozen=True, slots=True)
class Stray:
    """An execution at a fence that a session has in the database only."""

    execution_id: str
    session_id: str
    fence: int


class Holding:
    """Sessions, claims and recoveries."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def attach(self, session: Session, lease: float) -> None:
        """Begin a session whose lease lives for some seconds."""
        parameters = asdict(session) | {"lease": lease}
        await self._database.statement(EVERY_ORGANIZATION, _ATTACH, parameters)

    async def adopt(
        self, session: Session, held: Sequence[tuple[str, int]], giving: GivingBack, lease: float, outbox_id: str
    ) -> Adopted | None:
        """Go on with a session under its next epoch; None when it is over.

        `held` are ids and fences of what its worker still runs. What of that is the session's is kept, and all else
        that it has is given back, as `giving` says. While this goes on nobody else can go on with it or end it.
        """
        parameters = asdict(session) | {"lease": lease}
        named = {"session_id": session.id, "ids": [one[0] for one in held], "fences": [one[1] for one in held]}
        async with self._database.system() as connection:
            renewed = await (await connection.execute(_ADOPT, parameters)).fetchone()
            if renewed is None:
                return None
            rows = await (await connection.execute(_KEPT, named)).fetchall()
            kept = [Kept(to_execution(row), row["wanted"]) for row in rows]
            rest = replace(giving, kept=tuple(one.execution.id for one in kept))
            return Adopted(renewed["epoch"], kept, await _give_back(connection, rest, outbox_id))

    async def end(self, session: Session, *, lapsed: bool) -> bool:
        """End a session that nobody went on with, if its lease has `lapsed` where that is the reason; says whether."""
        parameters = {"id": session.id, "epoch": session.epoch, "lapsed": lapsed}
        return bool(await self._database.statement(EVERY_ORGANIZATION, _END, parameters))

    async def renew(self, sessions: Sequence[tuple[str, int]], lease: float) -> set[str]:
        """Renew the leases of several sessions, by id and epoch, in one statement; returns those that still exist."""
        parameters = {"ids": [one[0] for one in sessions], "epochs": [one[1] for one in sessions], "lease": lease}
        rows = await self._database.statement(EVERY_ORGANIZATION, _RENEW, parameters)
        return {str(row["id"]) for row in rows}

    async def lost(self) -> list[Session]:
        """Find sessions whose lease ended, and ids of sessions that executions name and nobody has."""
        rows = await self._database.statement(EVERY_ORGANIZATION, _LOST)
        return [Session(str(row["id"]), row["worker"], row["pool"], epoch=row["epoch"]) for row in rows]

    async def strays(self, sessions: Sequence[tuple[str, int]], held: Sequence[str]) -> list[Stray]:
        """Executions that belong to sessions, by id and epoch, and are not among those that these hold."""
        parameters = {"ids": [one[0] for one in sessions], "epochs": [one[1] for one in sessions], "held": list(held)}
        rows = await self._database.statement(EVERY_ORGANIZATION, _STRAYS, parameters)
        return [Stray(str(row["id"]), str(row["session_id"]), row["fence"]) for row in rows]

    async def candidates(self, pool: str, busy: Sequence[str], limit: int) -> list[Execution]:
        """The executions that are next in a pool, except those of users who have as many running as they may."""
        parameters = {"pool": pool, "busy": list(busy), "limit": limit}
        rows = await self._database.statement(EVERY_ORGANIZATION, _CANDIDATES, parameters)
        return [to_execution(row) for row in rows]

    async def claim(self, claims: Sequence[Claim], outbox_id: str) -> list[Changed]:
        """Give executions to sessions; returns those that nobody else was quicker with, as they are now."""
        parameters = {
            "ids": [claim.execution_id for claim in claims],
            "fences": [claim.fence for claim in claims],
            "session_ids": [claim.session_id for claim in claims],
            "bodies": [claim.started_body for claim in claims],
            "outbox_id": outbox_id,
        }
        rows = await self._database.statement(EVERY_ORGANIZATION, _CLAIM, parameters)
        return [to_changed(row) for row in rows]

    async def give_back(self, giving: GivingBack, outbox_id: str) -> list[Changed]:
        """Make what a session held claimable again, under a new fence; returns it as it is now."""
        async with self._database.system() as connection:
            return await _give_back(connection, giving, outbox_id)

    async def demand(self, pool: str) -> int:
        """How many executions of a pool run or could run."""
        rows = await self._database.statement(EVERY_ORGANIZATION, _DEMAND, {"pool": pool})
        return int(rows[0]["demand"])


async def _give_back(connection: AsyncConnection[DictRow], giving: GivingBack, outbox_id: str) -> list[Changed]:
    parameters = {
        "session_id": giving.session_id,
        "id": giving.execution_id,
        "fence": giving.fence,
        "kept": list(giving.kept),
        "limit": giving.limit,
        "most": giving.most_attempts,
        "error_code": giving.failure.code,
        "error_message": giving.failure.message,
        "failed_body": giving.failed_body,
        "recovered_body": giving.recovered_body,
        "outbox_id": outbox_id,
    }
    cursor = await connection.execute(_GIVE_BACK, parameters)
    rows = await cursor.fetchall()
    if rows:
        await connection.execute(_BOOK, {"ids": [row["id"] for row in rows]})
    return [to_changed(row) for row in rows]
