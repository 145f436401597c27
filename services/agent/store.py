"""All SQL of the agent room.

Owns how agents are kept and found. It decides nothing: what becomes of an agent is a function that it is given, and
it runs it between a locking read and the write.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from psycopg import sql
from psycopg.errors import UniqueViolation
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from retinue_core.db import Connection, Database
from retinue_core.errors import not_found
from retinue_core.filters import Condition
from retinue_core.ids import is_id
from services.agent.domain.agent import SPEC_FIELDS, Agent, Definition, Spec, duplicate_name
from services.agent.domain.filters import search_words
from services.agent.domain.listing import Order, Query, Reach, name_key, terms

_COLUMNS = (
    *("id", "organization_id", "owner_id", "name", "name_key", "description", "department", "project", "tags"),
    *("metadata", "visibility", "trigger_mode", "trigger_config", "active", "model", "spec"),
    *("current_version", "latest_version", "draft_version", "draft_revision", "draft_edited", "revision"),
    *("created_at", "updated_at", "deleted_at"),
)
_NAMES = sql.SQL(", ").join(map(sql.Identifier, _COLUMNS))
_INSERT = sql.SQL("insert into agents ({}) values ({})").format(
    _NAMES, sql.SQL(", ").join(map(sql.Placeholder, _COLUMNS))
)
_UPDATE = sql.SQL("update agents set {} where id = %(id)s").format(
    sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(column), sql.Placeholder(column))
        for column in _COLUMNS
        if column not in ("id", "organization_id", "owner_id", "created_at")
    )
)
_FIND = sql.SQL("select {} from agents where id = %(id)s and deleted_at is null").format(_NAMES)
_LOCK = sql.SQL("{} for no key update").format(_FIND)
_CLEAR_TERMS = "delete from terms where agent_id = %s"
_ADD_TERMS = """
insert into terms (agent_id, organization_id, kind, term, public)
select %(agent_id)s, %(organization_id)s, kind, term, %(public)s
from unnest(%(kinds)s::text[], %(terms)s::text[]) as found (kind, term)
"""

Decide = Callable[[Agent], Agent]
"""Says what becomes of an agent, or raises why nothing may."""


class Store:
    """The agents of all organisations; every call names the organisation whose rows it may touch."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def insert(self, agent: Agent) -> None:
        """Keep a new agent. Raises DUPLICATE_AGENT_NAME."""
        async with self._database.tenant(agent.organization_id) as connection:
            await _write(connection, _INSERT, agent)
            await _write_terms(connection, agent)

    async def find(self, organization_id: str, agent_id: str) -> Agent:
        """Read an agent of the organisation, or a public one of another. Raises AGENT_NOT_FOUND."""
        async with self._database.tenant(organization_id) as connection:
            return await _one(connection, _FIND, agent_id)

    async def change(
        self, organization_id: str, agent_id: str, decide: Callable[[Agent], Agent]
    ) -> tuple[Agent, Agent]:
        """Read an agent, lock it, and keep what `decide` makes of it; returns it as it was and as it is.

        Raises AGENT_NOT_FOUND, DUPLICATE_AGENT_NAME, and what `decide` raises.
        """
        async with self._database.tenant(organization_id) as connection:
            before = await _one(connection, _LOCK, agent_id)
            after = decide(before)
            if after != before:
                await _write(connection, _UPDATE, after)
            if _found_by(after) != _found_by(before):
                await connection.execute(_CLEAR_TERMS, [agent_id])
                await _write_terms(connection, after)
            return before, after

    async def page(self, query: Query) -> list[Agent]:
        """Read the agents of a page, and one more if there is a page behind it."""
        async with self._database.tenant(query.reach.organization_id) as connection:
            # Never prepared: a generic plan knows neither the page's length nor how rare what is looked for is.
            cursor = await connection.execute(*page_statement(query), prepare=False)
            return [_agent(row) for row in await cursor.fetchall()]


def page_statement(query: Query) -> tuple[sql.Composed, dict[str, Any]]:
    """The statement behind a page, and its parameters.

    What the caller may see is read in parts that share no row, each in order from an index of its own and each no
    longer than a page.
    """
    reach, order = query.reach, query.order
    values: dict[str, Any] = {"organization": reach.organization_id, "subject": reach.subject, "rows": query.size + 1}
    tail = sql.SQL("order by {0} {1}, id {1} limit %(rows)s").format(
        _sort_column(order), sql.SQL("desc" if order.descending else "asc")
    )
    after = _after(query, values)
    parts = []
    for part, of_terms in _parts(reach):
        conditions = [_condition(condition, at, of_terms, values) for at, condition in enumerate(query.conditions)]
        where = sql.SQL(" and ").join([sql.SQL("deleted_at is null"), part, *conditions, *after])
        parts.append(sql.SQL("(select {} from agents where {} {})").format(_NAMES, where, tail))
    return sql.SQL("{} {}").format(sql.SQL(" union all ").join(parts), tail), values


def _parts(reach: Reach) -> list[tuple[sql.SQL, sql.SQL]]:
    """The parts of what may be seen, each as conditions on agents and on terms."""
    here = sql.SQL("organization_id = %(organization)s")
    public = sql.SQL("visibility = 'PUBLIC' and organization_id <> %(organization)s"), sql.SQL("public")
    if reach.everything:
        return [(here, here), public]
    own = sql.SQL("organization_id = %(organization)s and owner_id = %(subject)s")
    shared = sql.SQL(
        "organization_id = %(organization)s and owner_id <> %(subject)s and visibility in ('ORGANIZATION', 'PUBLIC')"
    )
    return [(own, here), (shared, here), public]


def _sort_column(order: Order) -> sql.Identifier:
    return sql.Identifier("name_key" if order.field == "name" else order.field)


def _after(query: Query, values: dict[str, Any]) -> list[sql.Composed]:
    if query.after is None:
        return []
    values["after"], values["after_id"] = query.after
    beyond = sql.SQL("<" if query.order.descending else ">")
    return [sql.SQL("({}, id) {} (%(after)s, %(after_id)s::uuid)").format(_sort_column(query.order), beyond)]


def _condition(condition: Condition, at: int, of_terms: sql.SQL, values: dict[str, Any]) -> sql.Composable:
    if condition.search:
        words = enumerate(search_words(condition.value))
        return sql.SQL(" and ").join([_prefix(f"value_{at}_{n}", word, of_terms, values) for n, word in words])
    name = f"value_{at}"
    values[name] = condition.value
    if condition.field == "tag":
        return sql.SQL("id in (select agent_id from terms where {} and kind = 'tag' and term = {})").format(
            of_terms, sql.Placeholder(name)
        )
    if condition.field == "name":
        values[name] = name_key(condition.value)
    if condition.field == "active":
        return sql.SQL("active" if condition.value == "true" else "not active")
    column = "name_key" if condition.field == "name" else condition.field
    return sql.SQL("{} = {}").format(sql.Identifier(column), sql.Placeholder(name))


def _prefix(name: str, word: str, of_terms: sql.SQL, values: dict[str, Any]) -> sql.Composed:
    values[name], values[f"{name}_end"] = word, word + "\U0010ffff"
    return sql.SQL("id in (select agent_id from terms where {} and kind = 'word' and term >= {} and term < {})").format(
        of_terms, sql.Placeholder(name), sql.Placeholder(f"{name}_end")
    )


async def _one(connection: Connection, statement: sql.Composed, agent_id: str) -> Agent:
    row = None
    if is_id(agent_id):
        row = await (await connection.execute(statement, {"id": agent_id})).fetchone()
    if row is None:
        raise not_found("agent", agent_id)
    return _agent(row)


async def _write(connection: Connection, statement: sql.Composed, agent: Agent) -> None:
    try:
        await connection.execute(statement, _values(agent))
    except UniqueViolation as error:
        if error.diag.constraint_name != "agents_name":
            raise
        raise duplicate_name(agent.definition.name) from None


async def _write_terms(connection: Connection, agent: Agent) -> None:
    found, public = _found_by(agent)
    if not found:
        return
    kinds, words = zip(*sorted(found), strict=True)
    values = {"agent_id": agent.id, "organization_id": agent.organization_id, "public": public}
    await connection.execute(_ADD_TERMS, values | {"kinds": list(kinds), "terms": list(words)})


def _found_by(agent: Agent) -> tuple[frozenset[tuple[str, str]], bool]:
    if agent.deleted_at is not None:
        return frozenset(), False
    return terms(agent.definition), agent.definition.visibility == "PUBLIC"


def _values(agent: Agent) -> dict[str, Any]:
    definition, spec = agent.definition, agent.definition.spec
    values = {column: getattr(agent, column) for column in _COLUMNS if hasattr(agent, column)}
    values |= {column: getattr(definition, column) for column in _COLUMNS if hasattr(definition, column)}
    return values | {
        "name_key": name_key(definition.name),
        "tags": list(definition.tags),
        "metadata": _json(definition.metadata),
        "trigger_config": _json(definition.trigger_config),
        "model": spec.model,
        "spec": Jsonb(asdict(spec)),
    }


def _json(value: Any) -> Jsonb | None:
    return None if value is None else Jsonb(value)


def _agent(row: DictRow) -> Agent:
    spec = {name: value for name, value in row["spec"].items() if name in SPEC_FIELDS}
    of_definition = ("name", "description", "department", "project", "metadata", "visibility")
    of_agent = ("owner_id", "current_version", "latest_version", "draft_version", "draft_revision", "draft_edited")
    return Agent(
        id=str(row["id"]),
        organization_id=str(row["organization_id"]),
        definition=Definition(
            spec=Spec(**spec | {"tools": tuple(spec["tools"])}),
            tags=tuple(row["tags"]),
            trigger_mode=row["trigger_mode"],
            trigger_config=row["trigger_config"],
            active=row["active"],
            **{name: row[name] for name in of_definition},
        ),
        revision=row["revision"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        deleted_at=row["deleted_at"],
        **{name: row[name] for name in of_agent},
    )
