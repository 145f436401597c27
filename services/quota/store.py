"""All SQL of the quota room.

Owns how batches reach the functions of the migrations, one round trip each, and how limits and the ledger are read.
It decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import orjson
from psycopg import sql
from psycopg.rows import DictRow

from retinue_core.db import Database
from retinue_core.db.schema import EVERY_ORGANIZATION
from retinue_core.ids import new_id
from services.quota.domain import (
    PERIOD,
    Answer,
    Booked,
    Extension,
    Overrun,
    Quota,
    Reservation,
    Settlement,
    Use,
)

_ANSWERS = """
select ordinal, outcome, tokens, cost_micros, credits, unlimited, (roof).limit_id, (roof).level,
    (roof).limit_subject_id as subject_id, (roof).metric, (roof).period, (roof).ceiling, (roof).used, (roof).reserved,
    (roof).source
"""
_RESERVE = f"{_ANSWERS} from reserve(%s)"
_EXTEND = f"{_ANSWERS} from extend(%s)"
_SETTLE = "select reservation_id, tokens, cost_micros, credits from settle(%s)"
_LEARN = """
insert into organizations (organization_id, plan, learnt_at) values (%s, %s, now())
on conflict (organization_id) do update set plan = excluded.plan, learnt_at = excluded.learnt_at
"""
_MEET = """
insert into organizations (organization_id, plan, learnt_at) values (%s, %s, '-infinity') on conflict do nothing
"""
_QUOTAS = """
with every as (
    select id, level, subject_id, metric, period, ceiling, 'organization' as source
    from limits where organization_id = %(organization_id)s
    union all
    select p.id, p.level, '', p.metric, p.period, p.ceiling, 'plan'
    from organizations o join plan_limits p using (plan)
    where o.organization_id = %(organization_id)s and not exists (
        select from limits l where l.organization_id = o.organization_id and l.level = p.level and l.subject_id = ''
        and l.metric = p.metric and l.period = p.period
    )
)
select e.id::text as limit_id, e.level, e.subject_id, e.metric, e.period, e.ceiling, e.source,
    counted(c, e.metric, e.period, clock_timestamp()) as used, held(c, e.metric) as reserved
from every e
left join counters c on c.organization_id = %(organization_id)s and c.level = e.level
    and c.subject_id = e.subject_id and (e.level = 'ORGANIZATION' or e.subject_id <> '')
order by e.level, e.subject_id, e.metric, e.period
"""
_SET_QUOTA = """
with put as (
    insert into limits (id, organization_id, level, subject_id, metric, period, ceiling)
    values (%(id)s, %(organization_id)s, %(level)s, %(subject_id)s, %(metric)s, %(window)s, %(limit)s)
    on conflict (organization_id, level, subject_id, metric, period) do update set ceiling = excluded.ceiling
    returning id, level, subject_id, metric, period, ceiling
)
select p.id::text as limit_id, p.level, p.subject_id, p.metric, p.period, p.ceiling, 'organization' as source,
    counted(c, p.metric, p.period, clock_timestamp()) as used, held(c, p.metric) as reserved
from put p
left join counters c on c.organization_id = %(organization_id)s and c.level = p.level
    and c.subject_id = p.subject_id and (p.level = 'ORGANIZATION' or p.subject_id <> '')
"""
_PERIOD = """
select coalesce(%(start)s::timestamptz, asked.until - %(period)s::interval) as since, asked.until
from (select coalesce(%(end)s::timestamptz, greatest(now(), %(start)s::timestamptz)) as until) asked
"""
_USAGE = """
select {} as key, count(*) filter (where ended <> '') as executions,
    sum(input_tokens)::bigint as input_tokens, sum(output_tokens)::bigint as output_tokens,
    sum(cost_micros)::bigint as cost_micros, sum(credits)::bigint as credits,
    sum(steps)::bigint as steps, sum(tool_calls)::bigint as tool_calls
from ledger where organization_id = %(organization_id)s and booked_at >= %(since)s and booked_at < %(until)s
group by 1 order by sum(cost_micros) desc, sum(input_tokens + output_tokens) desc, key
"""
_KEYS = {"AGENT": "agent_id", "USER": "user_id", "PROJECT": "project_id"}
_DUE = """
select distinct organization_id::text from reservations where expired_at is null and expires_at <= clock_timestamp()
"""
_EXPIRE = "select expire(%s, %s) as expired"
_FORGET_EXPIRED = "delete from reservations where expired_at < clock_timestamp() - make_interval(secs => %s)"

Key = tuple[str, ...]


class Store:
    """Limits, reservations and the ledger of all organisations."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def learn(self, organization_id: str, plan: str) -> None:
        """Keep the plan of an organisation. It must be learnt, or met, before anything is booked for it."""
        await self._database.statement(EVERY_ORGANIZATION, _LEARN, [organization_id, plan])

    async def meet(self, organization_id: str, plan: str) -> None:
        """Keep the plan of an organisation unless one is known."""
        await self._database.statement(EVERY_ORGANIZATION, _MEET, [organization_id, plan])

    async def reserve(self, batch: Sequence[Reservation]) -> dict[Key, Answer]:
        """Hold back; answers by key."""
        return await self._hold(_RESERVE, batch)

    async def extend(self, batch: Sequence[Extension]) -> dict[Key, Answer]:
        """Hold back more; answers by key."""
        return await self._hold(_EXTEND, batch)

    async def settle(self, batch: Sequence[Settlement]) -> list[Overrun]:
        """Book what reservations came to and give back the rest; returns those that came to more than was held."""
        rows = await self._database.statement(EVERY_ORGANIZATION, _SETTLE, [_json(batch)])
        return [Overrun(**row) for row in rows]

    async def quotas(self, organization_id: str) -> list[Quota]:
        """Read the limits of an organisation, those of its plan included."""
        rows = await self._database.statement(organization_id, _QUOTAS, {"organization_id": organization_id})
        return [_quota(row) for row in rows]

    async def set_quota(self, organization_id: str, quota: Quota) -> Quota:
        """Keep a limit in place of the one with the same level, subject, metric and window."""
        values = asdict(quota) | {"id": new_id(), "organization_id": organization_id}
        [row] = await self._database.statement(organization_id, _SET_QUOTA, values)
        return _quota(row)

    async def usage(
        self, organization_id: str, start: datetime | None, end: datetime | None, group: str
    ) -> tuple[datetime, datetime, list[Use]]:
        """Read what was used in a period, in one group or by agent, user or project; returns the period too."""
        values: dict[str, Any] = {"start": start, "end": end, "period": PERIOD}
        async with self._database.tenant(organization_id) as connection:
            [asked] = await (await connection.execute(_PERIOD, values)).fetchall()
            key = sql.Identifier(_KEYS[group]) if group else sql.Literal("")
            cursor = await connection.execute(sql.SQL(_USAGE).format(key), asked | {"organization_id": organization_id})
            return asked["since"], asked["until"], [Use(**row) for row in await cursor.fetchall()]

    async def due(self) -> list[str]:
        """Name the organisations that have reservations which are over."""
        rows = await self._database.statement(EVERY_ORGANIZATION, _DUE)
        return [row["organization_id"] for row in rows]

    async def expire(self, organization_id: str, most: int) -> int:
        """Give back reservations of an organisation that are over, `most` at most; returns how many."""
        [row] = await self._database.statement(EVERY_ORGANIZATION, _EXPIRE, [organization_id, most])
        return int(row["expired"])

    async def forget_expired(self, seconds: float) -> None:
        """Delete what expired longer ago than some seconds."""
        await self._database.statement(EVERY_ORGANIZATION, _FORGET_EXPIRED, [seconds])

    async def _hold(self, statement: str, batch: Sequence[Reservation | Extension]) -> dict[Key, Answer]:
        rows = await self._database.statement(EVERY_ORGANIZATION, statement, [_json(batch)])
        return {batch[row["ordinal"] - 1].key: _answer(row) for row in rows}


def _json(batch: Sequence[Booked]) -> str:
    # One parameter, read by the names of its fields: cheaper on both sides than an array for each column.
    return orjson.dumps(batch).decode()


def _answer(row: DictRow) -> Answer:
    if row["limit_id"] is not None:
        return Answer(row["outcome"], limit=_quota(row))
    free = row["unlimited"]
    return Answer(
        row["outcome"],
        tokens=-1 if free & 1 else row["tokens"],
        cost_micros=-1 if free & 2 else row["cost_micros"],
        credits=-1 if free & 4 else row["credits"],
    )


def _quota(row: DictRow) -> Quota:
    return Quota(
        id=str(row["limit_id"]),
        level=row["level"],
        subject_id=row["subject_id"],
        metric=row["metric"],
        window=row["period"],
        limit=row["ceiling"],
        source=row["source"],
        used=row["used"],
        reserved=row["reserved"],
    )
