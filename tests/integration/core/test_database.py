"""Transactions, scopes and recovery of `retinue_core.db.Database`, on real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from retinue_core.db import Database, migrate
from retinue_core.embedded import EmbeddedPostgres
from retinue_core.errors import Kind, RetinueError

ONE, OTHER = str(uuid4()), str(uuid4())
INSERT = "insert into things (id, organization_id, name) values (%s, %s, %s)"


@pytest.fixture
async def database(probe_url: str) -> AsyncIterator[Database]:
    database = Database(probe_url, "probe", max_size=2, acquire_timeout=2)
    await database.open()
    yield database
    await database.close()


async def count(database: Database) -> int:
    rows = await database.statement("*", "select count(*) as found from things")
    return int(rows[0]["found"])


async def test_a_tenant_sees_only_its_own_rows(database: Database) -> None:
    for number, organization in enumerate((ONE, OTHER)):
        async with database.tenant(organization) as connection:
            await connection.execute(INSERT, [number, organization, "x"])

    async with database.tenant(ONE) as connection:
        rows = await (await connection.execute("select organization_id from things")).fetchall()

    assert [str(row["organization_id"]) for row in rows] == [ONE]
    assert await count(database) == 2


async def test_a_tenant_cannot_write_for_another(database: Database) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with database.tenant(ONE) as connection:
            await connection.execute(INSERT, [1, OTHER, "x"])
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await database.statement(ONE, INSERT, [1, OTHER, "x"])
    assert await count(database) == 0


async def test_no_scope_is_left_on_a_connection(database: Database) -> None:
    await database.statement(ONE, INSERT, [1, ONE, "x"])
    async with database.system() as connection:
        await connection.execute(b"COMMIT")
        rows = await (await connection.execute("select * from things")).fetchall()
        await connection.execute(b"BEGIN")
    assert rows == []


async def test_an_organization_that_is_no_uuid_is_refused(database: Database) -> None:
    with pytest.raises(ValueError, match="badly formed"):
        database.tenant("'; drop table things; --")


async def test_the_room_works_as_a_role_that_owns_nothing(database: Database) -> None:
    async with database.system() as connection:
        row = await (await connection.execute("select current_user as name")).fetchone()
    assert row == {"name": "retinue_probe"}
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with database.system() as connection:
            await connection.execute("drop table things")


async def test_an_error_rolls_everything_back(database: Database) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation):
        async with database.tenant(ONE) as connection:
            await connection.execute(INSERT, [1, ONE, "x"])
            await connection.execute(INSERT, [1, ONE, "x"])
    assert await count(database) == 0


async def test_a_swallowed_error_is_not_taken_for_a_commit(database: Database) -> None:
    with pytest.raises(RuntimeError, match="nothing was committed"):
        async with database.tenant(ONE) as connection:
            await connection.execute(INSERT, [1, ONE, "x"])
            with pytest.raises(psycopg.errors.UniqueViolation):
                await connection.execute(INSERT, [1, ONE, "x"])
    assert await count(database) == 0


async def test_a_savepoint_saves_the_transaction(database: Database) -> None:
    async with database.tenant(ONE) as connection:
        await connection.execute(INSERT, [1, ONE, "x"])
        with pytest.raises(psycopg.errors.UniqueViolation):
            async with connection.transaction():
                await connection.execute(INSERT, [1, ONE, "x"])
    assert await count(database) == 1


@pytest.mark.parametrize("one_trip", [True, False])
async def test_a_cancelled_query_does_not_poison_the_pool(database: Database, probe_url: str, one_trip: bool) -> None:
    wait = "select pg_advisory_lock(7)"

    async def query() -> None:
        if one_trip:
            await database.statement("*", wait)
        else:
            async with database.system() as connection:
                await connection.execute(wait)

    async def waiting() -> int:
        rows = await database.statement("*", "select count(*) as found from pg_locks where not granted")
        return int(rows[0]["found"])

    with psycopg.connect(probe_url) as holder:
        holder.execute(wait)
        for _ in range(3):  # more often than the pool has connections
            task = asyncio.create_task(query())
            while await waiting() == 0:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await waiting() == 0
    assert await count(database) == 0


async def test_waiting_for_a_connection_is_bounded(database: Database) -> None:
    organization_id = str(uuid4())
    async with database.system(), database.system():
        with pytest.raises(RetinueError) as caught:
            await database.statement(organization_id, "select 1")
    assert (caught.value.kind, caught.value.code) == (Kind.UNAVAILABLE, "DATABASE_UNAVAILABLE")
    await database.ping()


async def test_options_of_the_url_are_kept(probe_url: str) -> None:
    database = Database(f"{probe_url}&options=-c%20work_mem%3D5MB", "probe")
    await database.open()
    rows = await database.statement("*", "select current_setting('work_mem') as memory, current_user as name")
    await database.close()
    assert rows == [{"memory": "5MB", "name": "retinue_probe"}]


class TestRestart:
    """The server goes away and comes back. It is this class's own, so that no other test notices."""

    @pytest.fixture
    def server(self, tmp_path: Path) -> Iterator[EmbeddedPostgres]:
        server = EmbeddedPostgres(tmp_path / "postgres")
        server.start()
        yield server
        server.stop()

    @pytest.fixture
    async def database(self, server: EmbeddedPostgres, probe_room: Path) -> AsyncIterator[Database]:
        migrate(server.url, "probe")
        database = Database(server.url, "probe", min_size=3, max_size=3, acquire_timeout=20)
        await database.open()
        await asyncio.gather(*(database.ping() for _ in range(9)))
        yield database
        await database.close()

    @pytest.mark.parametrize("crash", [False, True])
    async def test_no_caller_gets_a_broken_connection(
        self, server: EmbeddedPostgres, database: Database, crash: bool
    ) -> None:
        (server.kill if crash else server.stop)()
        server.start()
        for number in range(4):
            await database.statement(ONE, INSERT, [number, ONE, "x"])
            async with database.tenant(ONE) as connection:
                await connection.execute(INSERT, [10 + number, ONE, "x"])
        assert await count(database) == 8

    async def test_who_waits_while_the_server_is_away_is_served_when_it_is_back(
        self, server: EmbeddedPostgres, database: Database
    ) -> None:
        server.stop()
        waiting = [asyncio.create_task(database.ping()) for _ in range(5)]
        await asyncio.sleep(0)
        server.start()
        await asyncio.gather(*waiting)

    async def test_a_server_that_stays_away_is_a_typed_error(self, server: EmbeddedPostgres, probe_room: Path) -> None:
        database = Database(server.url, "probe", acquire_timeout=0.2)
        server.stop()
        await database.open()
        with pytest.raises(RetinueError) as caught:
            await database.ping()
        await database.close()
        assert caught.value.code == "DATABASE_UNAVAILABLE"
        assert str(server.path) not in caught.value.message
