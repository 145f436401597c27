"""All SQL of the version room.

Owns how versions are kept and found. It decides nothing: what a publish leads to is a function that it is given, and
it runs it under the lock that orders the publishes of an agent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from retinue_core.db import Connection, Database
from retinue_core.ids import is_id
from services.version.domain import LONGEST_NUMBER, Note, Page, Version

Decide = Callable[[Version | None, Version | None], Version]
"""Gets the version that has the number, and the newest; returns what is published, or raises why nothing is."""

_SELECT = """
select v.id, v.organization_id, v.agent_id, v.version, v.ordinal, v.status, v.content, v.digest, v.changelog,
    v.agent_name, v.created_by, v.frozen_etag, v.published_at, v.created_at,
    v.recorded_at is not null as recorded, v.id = h.current_id as current
from versions v join heads h using (agent_id)
"""
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
_MAKE_CURRENT = "update heads set current_id = %(id)s where agent_id = %(agent_id)s"
_RECORDED = "update versions set recorded_at = now() where id = %s and recorded_at is null"
_TAKE_UNRECORDED = """
update versions v set record_tried_at = now()
from (
    select id from versions where recorded_at is null and record_tried_at < now() - make_interval(secs => %(seconds)s)
    order by record_tried_at limit %(rows)s for update skip locked
) taken, heads h
where v.id = taken.id and h.agent_id = v.agent_id
returning v.id, v.organization_id, v.agent_id, v.version, v.ordinal, v.status, v.content, v.digest, v.changelog,
    v.agent_name, v.created_by, v.frozen_etag, v.published_at, v.created_at, false as recorded,
    v.id = h.current_id as current
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

    async def publish(self, candidate: Version, asked: str, decide: Decide) -> tuple[Version, bool]:
        """Freeze what `decide` makes of a candidate and make it current, in one transaction.

        Returns the version, and whether it is new. `asked` is the number to look for; when it is empty, what has
        the content of the candidate is looked for.
        """
        async with self._database.tenant(candidate.organization_id) as connection:
            keys = {
                "agent_id": candidate.agent_id,
                "organization_id": candidate.organization_id,
                "version": asked,
                "digest": candidate.digest,
            }
            await connection.execute(_LOCK, keys)
            there = await _one(connection, _BY_NUMBER if asked else _BY_DIGEST, keys)
            published = decide(there, await _one(connection, _NEWEST, keys))
            if there is not None and published.id == there.id:
                return there, False
            await connection.execute(_INSERT, _values(published))
            await connection.execute(_MAKE_CURRENT, {"id": published.id, "agent_id": published.agent_id})
            return replace(published, current=True), True

    async def recorded(self, version: Version) -> None:
        """Keep that the agent room was told of a version."""
        await self._database.statement(version.organization_id, _RECORDED, [version.id])

    async def take_unrecorded(self, seconds: float, rows: int) -> list[Version]:
        """Take versions, of whatever organisation, that nobody has tried to tell the agent room of for a while."""
        async with self._database.system() as connection:
            cursor = await connection.execute(_TAKE_UNRECORDED, {"seconds": seconds, "rows": rows})
            return [_version(row) for row in await cursor.fetchall()]

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


def _values(version: Version) -> dict[str, Any]:
    same = ("id", "organization_id", "agent_id", "version", "ordinal", "status", "digest", "changelog", "agent_name")
    made = ("created_by", "frozen_etag", "published_at", "created_at")
    return {name: getattr(version, name) for name in (*same, *made)} | {"content": Jsonb(version.content)}


def _version(row: DictRow) -> Version:
    ids = {name: str(row[name]) for name in ("id", "organization_id", "agent_id")}
    return Version(**row | ids)
