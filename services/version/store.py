"""All SQL of the version room.

Owns how versions are kept and found. It decides nothing: what an action leads to is a function that it is given, and
it runs it under the lock that orders all changes to the versions of an agent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from retinue_core.db import Connection, Database
from retinue_core.ids import is_id
from services.version.domain.life import Change, Event, Found, Sought
from services.version.domain.numbers import LONGEST_NUMBER
from services.version.domain.telling import Untold
from services.version.domain.version import Note, Page, Version

Decide = Callable[[Found], Change]
"""Gets what there is; returns what it leads to, or raises why it leads to nothing."""

_COLUMNS = """v.id, v.organization_id, v.agent_id, v.version, v.ordinal, v.status, v.content, v.digest, v.changelog,
    v.agent_name, v.created_by, v.frozen_etag, v.published_at, v.created_at, v.status_reason, v.status_changed_at,
    v.recorded_at is not null as recorded, v.id = h.current_id as current"""
_SELECT = f"select {_COLUMNS} from versions v join heads h using (agent_id)"
_CURRENT = f"{_SELECT} where v.agent_id = %(agent_id)s and v.id = h.current_id"
_BY_NUMBER = f"{_SELECT} where v.agent_id = %(agent_id)s and v.version = %(version)s"
_BY_DIGEST = f"{_SELECT} where v.agent_id = %(agent_id)s and v.digest = %(digest)s order by v.ordinal desc limit 1"
_NEWEST = f"{_SELECT} where v.agent_id = %(agent_id)s order by v.ordinal desc limit 1"
_PAGE = f"""
{_SELECT} where v.agent_id = %(agent_id)s and v.ordinal < %(before)s order by v.ordinal desc limit %(rows)s
"""
_LOCK = """
insert into heads (agent_id, organization_id) values (%(agent_id)s, %(organization_id)s)
on conflict (agent_id) do update set organization_id = excluded.organization_id
"""
_INSERT = """
insert into versions (id, organization_id, agent_id, version, ordinal, status, content, digest, changelog, agent_name,
    created_by, frozen_etag, published_at, created_at)
values (%(id)s, %(organization_id)s, %(agent_id)s, %(version)s, %(ordinal)s, %(status)s, %(content)s, %(digest)s,
    %(changelog)s, %(agent_name)s, %(created_by)s, %(frozen_etag)s, %(published_at)s, %(created_at)s)
"""
_SET_STATUS = """
update versions set status = %(status)s, status_reason = %(status_reason)s, status_changed_at = %(status_changed_at)s
where id = %(id)s
"""
_MAKE_CURRENT = "update heads set current_id = %(id)s, moves = moves + 1 where agent_id = %(agent_id)s"
_INSERT_EVENT = """
insert into version_events (agent_id, number, organization_id, kind, version, previous, reason, actor, at)
select %(agent_id)s, coalesce(max(number), 0) + 1, %(organization_id)s, %(kind)s, %(version)s, %(previous)s, %(reason)s,
    %(actor)s, %(at)s
from version_events where agent_id = %(agent_id)s
"""
_EVENTS = """
select kind, version, previous, reason, actor, at, number from version_events
where agent_id = %(agent_id)s and number < %(before)s order by number desc limit %(rows)s
"""
_TAKE_HEAD = """
update heads h set tell_tried_at = now()
where h.agent_id = %(agent_id)s and h.tell_tried_at < now() - make_interval(secs => %(seconds)s)
    and (h.told < h.moves or exists (select from versions v where v.agent_id = h.agent_id and v.recorded_at is null))
returning h.agent_id, h.organization_id, h.moves, h.told, h.current_id
"""
_TAKE_HEADS = """
with due as (
    select agent_id from heads where told < moves union select agent_id from versions where recorded_at is null
), taken as (
    select h.agent_id from heads h join due using (agent_id)
    where h.tell_tried_at < now() - make_interval(secs => %(seconds)s)
    order by h.tell_tried_at limit %(rows)s for update of h skip locked
)
update heads h set tell_tried_at = now() from taken where h.agent_id = taken.agent_id
returning h.agent_id, h.organization_id, h.moves, h.told, h.current_id
"""
_UNTOLD = f"""
{_SELECT} where v.agent_id = any(%s) and (v.recorded_at is null or v.id = h.current_id) order by v.ordinal
"""
_RECORDED = "update versions set recorded_at = now() where id = any(%s) and recorded_at is null"
_TOLD = """
update heads set told = greatest(told, %(moves)s), tell_tried_at = '-infinity' where agent_id = %(agent_id)s
"""
_NOTE = "select version, changelog, created_by, created_at from notes where agent_id = %s"
_KEEP_NOTE = """
insert into notes (agent_id, organization_id, version, changelog, created_by, created_at)
values (%(agent_id)s, %(organization_id)s, %(version)s, %(changelog)s, %(created_by)s, %(created_at)s)
on conflict (agent_id) do update set version = excluded.version, changelog = excluded.changelog,
    created_by = excluded.created_by, created_at = excluded.created_at
"""


class Store:
    """The versions of all organisations; every call names the organisation whose rows it may touch."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, organization_id: str, agent_id: str, version: str) -> Version | None:
        """Read a frozen version by its number, or the current one when the number is empty."""
        if not is_id(agent_id) or len(version) > LONGEST_NUMBER or "\0" in version:
            return None
        statement = _BY_NUMBER if version else _CURRENT
        rows = await self._database.statement(organization_id, statement, {"agent_id": agent_id, "version": version})
        return _version(rows[0]) if rows else None

    async def newest(self, organization_id: str, agent_id: str) -> Version | None:
        """Read the version that was frozen last, which is the highest."""
        rows = await self._database.statement(organization_id, _NEWEST, {"agent_id": agent_id})
        return _version(rows[0]) if rows else None

    async def page(self, organization_id: str, page: Page) -> list[Version]:
        """Read the frozen versions of a page, newest first, and one more if there is a page behind it."""
        values = {"agent_id": page.agent_id, "before": page.before, "rows": page.size + 1}
        return [_version(row) for row in await self._database.statement(organization_id, _PAGE, values)]

    async def change(self, organization_id: str, agent_id: str, sought: Sought, decide: Decide) -> Change:
        """Do what `decide` makes of what there is, in one transaction, under the lock of the agent."""
        keys = {"agent_id": agent_id, "organization_id": organization_id}
        async with self._database.tenant(organization_id) as connection:
            await connection.execute(_LOCK, keys)
            there = await _sought(connection, keys, sought)
            newest = await _one(connection, _NEWEST, keys)
            change = decide(Found(there, newest, await _one(connection, _CURRENT, keys)))
            if change.event is not None:
                await _apply(connection, there, change.version)
                await connection.execute(_INSERT_EVENT, keys | asdict(change.event))
            return change

    async def events(self, organization_id: str, page: Page) -> list[Event]:
        """Read what happened, the newest first, and one event more if there is a page behind it."""
        values = {"agent_id": page.agent_id, "before": page.before, "rows": page.size + 1}
        return [Event(**row) for row in await self._database.statement(organization_id, _EVENTS, values)]

    async def take_untold(self, organization_id: str, agent_id: str, seconds: float) -> Untold | None:
        """Take what the agent room was not told of an agent, unless somebody took it less than some seconds ago."""
        async with self._database.tenant(organization_id) as connection:
            found = await _untold(connection, _TAKE_HEAD, {"agent_id": agent_id, "seconds": seconds})
        return found[0] if found else None

    async def take_all_untold(self, seconds: float, rows: int) -> list[Untold]:
        """Take what the agent room was not told of, for agents of whatever organisation."""
        async with self._database.system() as connection:
            return await _untold(connection, _TAKE_HEADS, {"seconds": seconds, "rows": rows})

    async def told(self, untold: Untold) -> None:
        """Keep that the agent room was told."""
        async with self._database.tenant(untold.organization_id) as connection:
            await connection.execute(_RECORDED, [[version.id for version in untold.unrecorded]])
            await connection.execute(_TOLD, {"agent_id": untold.agent_id, "moves": untold.moves})

    async def note(self, organization_id: str, agent_id: str) -> Note | None:
        """Read what was said of the draft that was opened last."""
        rows = await self._database.statement(organization_id, _NOTE, [agent_id])
        return Note(**rows[0]) if rows else None

    async def keep_note(self, organization_id: str, agent_id: str, note: Note) -> None:
        """Keep what was said of a draft, in place of what was said of the one before."""
        values = {
            "agent_id": agent_id,
            "organization_id": organization_id,
            "version": note.version,
            "changelog": note.changelog,
            "created_by": note.created_by,
            "created_at": note.created_at,
        }
        await self._database.statement(organization_id, _KEEP_NOTE, values)


async def _one(connection: Connection, statement: str, values: dict[str, Any]) -> Version | None:
    row = await (await connection.execute(statement.encode(), values)).fetchone()
    return _version(row) if row else None


async def _sought(connection: Connection, keys: dict[str, Any], sought: Sought) -> Version | None:
    if sought.number:
        return await _one(connection, _BY_NUMBER, keys | {"version": sought.number})
    return await _one(connection, _BY_DIGEST, keys | {"digest": sought.digest})


async def _apply(connection: Connection, there: Version | None, version: Version) -> None:
    if there is None:
        await connection.execute(_INSERT, _values(version))
    elif there.status != version.status:
        await connection.execute(_SET_STATUS, _values(version))
    if version.current and not (there and there.current):
        await connection.execute(_MAKE_CURRENT, {"id": version.id, "agent_id": version.agent_id})


async def _untold(connection: Connection, take: str, values: dict[str, Any]) -> list[Untold]:
    heads = await (await connection.execute(take.encode(), values)).fetchall()
    if not heads:
        return []
    rows = await (await connection.execute(_UNTOLD.encode(), [[head["agent_id"] for head in heads]])).fetchall()
    versions = [_version(row) for row in rows]
    return [_untold_of(head, [one for one in versions if one.agent_id == str(head["agent_id"])]) for head in heads]


def _untold_of(head: DictRow, versions: list[Version]) -> Untold:
    return Untold(
        agent_id=str(head["agent_id"]),
        organization_id=str(head["organization_id"]),
        moves=head["moves"],
        told=head["told"],
        current=next((version for version in versions if version.current), None),
        unrecorded=tuple(version for version in versions if not version.recorded),
    )


def _values(version: Version) -> dict[str, Any]:
    same = ("id", "organization_id", "agent_id", "version", "ordinal", "status", "digest", "changelog", "agent_name")
    made = ("created_by", "frozen_etag", "published_at", "created_at", "status_reason", "status_changed_at")
    return {name: getattr(version, name) for name in (*same, *made)} | {"content": Jsonb(version.content)}


def _version(row: DictRow) -> Version:
    ids = {name: str(row[name]) for name in ("id", "organization_id", "agent_id")}
    return Version(**row | ids)
