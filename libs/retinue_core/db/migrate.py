"""Bringing the schema of each room to its newest revision.

Owns roles, schemas, grants and the order of things when several replicas start together: one migrates, the others wait
for it. A room's revisions are `services/<room>/migrations/versions/NNNN_<what>.py` with NNNN as their revision id, and
its `env.py` calls `retinue_core.db.environment.run`. It refuses to go back: a schema newer than the code is left
alone, since a rolling restart runs both side by side.

`python -m retinue_core.db.migrate [ROOM...]` migrates the named rooms, or all. PostgreSQL 16 is the oldest it knows.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from retinue_core.config import load, setting
from retinue_core.db.schema import EVERY_ORGANIZATION, SCOPE_SETTING, role_name, schema_name
from retinue_core.errors import RetinueError, invalid, precondition, unavailable

_LOG = logging.getLogger(__name__)
_LOCK = 0x7265_7469_6E75_65  # "retinue"; the advisory lock that one migrating replica holds
_LOCK_TIMEOUT = "120s"


@dataclass(frozen=True, slots=True)
class MigrationSettings:
    """What `python -m retinue_core.db.migrate` reads from the environment."""

    database_url: str = setting("RETINUE_DATABASE_URL", "The PostgreSQL database, as a role that may create roles.")


def rooms() -> list[str]:
    """Return the rooms that have migrations."""
    spec = importlib.util.find_spec("services")
    places = spec.submodule_search_locations if spec else None
    return sorted(path.parent.parent.name for place in places or () for path in Path(place).glob("*/migrations/env.py"))


def migrate(url: str, room: str) -> None:
    """Bring one room's schema to its newest revision; safe to call again and from many processes at once."""
    migrate_all(url, [room])


def migrate_all(url: str, names: Sequence[str]) -> None:
    """Bring several rooms' schemas to their newest revisions over one connection.

    Raises RetinueError (DATABASE_UNAVAILABLE) when the database cannot be reached or does not allow it.
    """
    scripts = {room: _scripts(room) for room in names}
    try:
        with _connect(url) as connection:
            if all(_current(connection, room) >= _newest(scripts[room]) for room in names):
                return
            connection.execute(sql.SQL("set lock_timeout = {}").format(_LOCK_TIMEOUT))
            connection.execute("select pg_advisory_lock(%s)", [_LOCK])
            connection.execute("reset lock_timeout")
            for room in names:
                if _current(connection, room) < _newest(scripts[room]):
                    _prepare(connection, room)
                    _upgrade(url, room, scripts[room])
                    _grant(connection, room)
                    _LOG.info("schema %s is at revision %s", schema_name(room), _newest(scripts[room]))
    except psycopg.OperationalError as error:
        raise unavailable(
            f"The database cannot be reached: {_one_line(error)} Start it, or correct RETINUE_DATABASE_URL.",
            code="DATABASE_UNAVAILABLE",
        ) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise precondition(
            "DATABASE_FORBIDDEN",
            f"The user of RETINUE_DATABASE_URL may not do what migrations do: {_one_line(error)} "
            "Give it CREATEROLE, and CREATE on the database.",
        ) from error


def _connect(url: str) -> psycopg.Connection:
    try:
        return psycopg.connect(url, autocommit=True, connect_timeout=5)
    except psycopg.ProgrammingError:
        # The text holds a password, perhaps; it is not repeated.
        raise invalid("RETINUE_DATABASE_URL is not the URL of a PostgreSQL database.") from None


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if text.endswith((".", "?")) else f"{text}."


def _scripts(room: str) -> Path:
    spec = importlib.util.find_spec(f"services.{room}")
    for place in (spec.submodule_search_locations if spec else None) or ():
        folder = Path(place, "migrations")
        if (folder / "env.py").is_file():
            return folder
    raise ValueError(f"there is no room {room!r} with migrations")


def _newest(scripts: Path) -> str:
    return max((path.name[:4] for path in scripts.glob("versions/[0-9]*.py")), default="")


def _current(connection: psycopg.Connection, room: str) -> str:
    """Read the revision a room is at, without Alembic: importing it is most of what an idle start would cost."""
    table = f"{schema_name(room)}.alembic_version"
    found = connection.execute("select to_regclass(%s) is not null", [table]).fetchone()
    if not found or not found[0]:
        return ""
    row = connection.execute(
        sql.SQL("select max(version_num) from {}").format(sql.Identifier(*table.split(".")))
    ).fetchone()
    return str(row[0] or "") if row else ""


def _prepare(connection: psycopg.Connection, room: str) -> None:
    """Make the role and the schema of a room; both may exist."""
    role, schema = sql.Identifier(role_name(room)), sql.Identifier(schema_name(room))
    if not connection.execute("select 1 from pg_roles where rolname = %s", [role_name(room)]).fetchone():
        connection.execute(sql.SQL("create role {} nologin").format(role))
    row = connection.execute("select pg_has_role(%s, 'set')", [role_name(room)]).fetchone()
    if not row or not row[0]:
        connection.execute(sql.SQL("grant {} to current_user").format(role))
    for statement in (
        "create schema if not exists {schema}",
        "grant usage on schema {schema} to {role}",
    ):
        connection.execute(sql.SQL(statement).format(role=role, schema=schema))


def _upgrade(url: str, room: str, scripts: Path) -> None:
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import NullPool, create_engine

    # An owner that is no superuser is bound by row-level security too, and a migration may have to change rows.
    options = f"-c search_path={schema_name(room)} -c {SCOPE_SETTING}={EVERY_ORGANIZATION}"
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(url, options=options), poolclass=NullPool
    )
    config = Config(attributes={"schema": schema_name(room)})
    # Alembic reads this as an INI value, in which a percent sign has a meaning.
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _grant(connection: psycopg.Connection, room: str) -> None:
    """Let the role of a room work with what is in its schema, and not change it."""
    role, schema = sql.Identifier(role_name(room)), sql.Identifier(schema_name(room))
    for statement in (
        "grant select, insert, update, delete on all tables in schema {schema} to {role}",
        "grant usage on all sequences in schema {schema} to {role}",
        "grant execute on all functions in schema {schema} to {role}",
        "revoke insert, update, delete on {schema}.alembic_version from {role}",
    ):
        connection.execute(sql.SQL(statement).format(role=role, schema=schema))


def main() -> None:
    """Migrate from the command line; a failure is one line and exit status 1."""
    try:
        migrate_all(load(MigrationSettings, os.environ).database_url, sys.argv[1:] or rooms())
    except (RetinueError, ValueError) as error:
        raise SystemExit(f"migration failed: {error}") from None


if __name__ == "__main__":
    main()
