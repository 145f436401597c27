"""Migrations of a room, on real PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from retinue_core.db import migrate
from retinue_core.db.migrate import rooms
from retinue_core.embedded import EmbeddedPostgres
from retinue_core.errors import RetinueError


def revision(url: str) -> str:
    with psycopg.connect(url) as connection:
        row = connection.execute("select version_num from retinue_probe.alembic_version").fetchone()
    assert row is not None
    return str(row[0])


def test_migrating_again_changes_nothing(probe_url: str) -> None:
    migrate(probe_url, "probe")
    assert revision(probe_url) == "0001"


def test_a_new_revision_is_applied(probe_url: str, second_revision: str) -> None:
    migrate(probe_url, "probe")
    assert revision(probe_url) == second_revision


def test_replicas_may_start_together(empty_database_url: str, probe_room: Path, second_revision: str) -> None:
    # Alembic keeps its context in globals, so replicas are processes here as they are in life.
    program = (
        "import sys, services; services.__path__.append(sys.argv[2]);"
        "from retinue_core.db import migrate; migrate(sys.argv[1], 'probe')"
    )
    command = [sys.executable, "-c", program, empty_database_url, str(probe_room.parent.parent)]
    with ThreadPoolExecutor() as pool:
        ends = [*pool.map(lambda _: subprocess.run(command, capture_output=True, text=True, check=False), range(3))]
    assert [(end.returncode, end.stderr) for end in ends] == [(0, "")] * 3
    assert revision(empty_database_url) == second_revision


def test_a_schema_newer_than_the_code_is_left_alone(probe_url: str, probe_room: Path, second_revision: str) -> None:
    migrate(probe_url, "probe")
    (probe_room / "versions" / "0002_colour.py").unlink()
    migrate(probe_url, "probe")
    assert revision(probe_url) == second_revision


def test_the_role_cannot_rewrite_the_history_of_migrations(probe_url: str) -> None:
    with (
        psycopg.connect(probe_url, options="-c role=retinue_probe -c search_path=retinue_probe") as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("update alembic_version set version_num = '0000'")


def test_a_role_sees_no_other_room(probe_url: str) -> None:
    with psycopg.connect(probe_url, autocommit=True) as connection:
        connection.execute("create schema retinue_secret; create table retinue_secret.tokens (hash text)")
    with (
        psycopg.connect(probe_url, options="-c role=retinue_probe") as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("select * from retinue_secret.tokens")


def test_an_unreachable_database_is_one_clear_error(probe_room: Path) -> None:
    with pytest.raises(RetinueError, match="cannot be reached"):
        migrate("postgresql://nobody@127.0.0.1:1/nothing", "probe")


def test_a_url_that_is_none_is_refused_without_repeating_it(probe_room: Path) -> None:
    with pytest.raises(RetinueError) as caught:
        migrate("secret-password", "probe")
    assert "secret-password" not in caught.value.message


class TestOrdinaryUser:
    """An operator's database user is no superuser: it may create roles, and schemas in its database."""

    @pytest.fixture
    def server(self, tmp_path: Path) -> Iterator[EmbeddedPostgres]:
        server = EmbeddedPostgres(tmp_path / "postgres")
        server.start()
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("create role operator login")
        yield server
        server.stop()

    def test_it_migrates_and_rooms_work(self, server: EmbeddedPostgres, probe_room: Path, second_revision: str) -> None:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("alter role operator createrole; grant create on database retinue to operator")
        url = server.url.replace("postgres@", "operator@")
        for _ in range(2):
            migrate(url, "probe")
        assert revision(url) == second_revision
        with psycopg.connect(url, options="-c role=retinue_probe -c search_path=retinue_probe") as connection:
            assert connection.execute("select count(*) from things").fetchone() == (0,)

    def test_without_the_right_it_is_told_which_is_missing(self, server: EmbeddedPostgres, probe_room: Path) -> None:
        with pytest.raises(RetinueError, match="Give it CREATEROLE"):
            migrate(server.url.replace("postgres@", "operator@"), "probe")


def test_every_migration_of_the_suite_has_its_revision_in_its_name() -> None:
    folders = [Path("services") / room / "migrations" / "versions" for room in rooms()]
    for path in (path for folder in folders for path in folder.glob("*.py")):
        assert f'revision = "{path.name[:4]}"' in path.read_text().replace("revision: str =", "revision ="), path
