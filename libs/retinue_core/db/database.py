"""Connections and transactions of one room.

Owns the pool, the role and schema every connection works in, the scope of a transaction, and the translation of a lost
or missing database into a typed error. It refuses to retry what may have been committed: a failed commit is reported,
and the caller's idempotency decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from retinue_core.cancellation import cancellation_kept
from retinue_core.db.schema import EVERY_ORGANIZATION, SCOPE_SETTING, role_name, schema_name
from retinue_core.errors import unavailable

Connection = AsyncConnection[DictRow]
"""A connection inside a transaction; rows are dictionaries unless a cursor says otherwise."""

Pool = AsyncConnectionPool[Connection]
Parameters = Sequence[Any] | Mapping[str, Any]

_STATEMENT_TIMEOUT = "30s"
_IDLE_IN_TRANSACTION = "60s"
_RECONNECT_SECONDS = 2.0


class Database:
    """The database of one room."""

    def __init__(
        self, url: str, room: str, *, min_size: int = 1, max_size: int = 8, acquire_timeout: float = 5.0
    ) -> None:
        """Describe the pool; `acquire_timeout` is how many seconds a caller waits for a connection at most."""
        self._acquire_timeout = acquire_timeout
        self._pool = _pool(connection_arguments(url, room), url, room, min_size, max_size)
        # Background work over all organisations has connections of its own, which begin in that scope: there a
        # statement needs no transaction around it, and nothing that serves a caller ever gets one of them.
        every = connection_arguments(url, room, EVERY_ORGANIZATION)
        self._every = _pool(every, url, f"{room}-every", 0, max_size)

    async def open(self) -> None:
        """Start connecting; a database that is down is no error yet, so that services may start in any order."""
        await self._pool.open()
        await self._every.open()

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()
        await self._every.close()

    async def ping(self) -> None:
        """Ask the database for a sign of life; raises DATABASE_UNAVAILABLE."""
        await self.statement(EVERY_ORGANIZATION, "select 1")

    def tenant(self, organization_id: str) -> contextlib.AbstractAsyncContextManager[Connection]:
        """Open a transaction that sees and writes the rows of one organisation only."""
        return self._transaction(_opening(str(UUID(organization_id))))

    def system(self) -> contextlib.AbstractAsyncContextManager[Connection]:
        """Open a transaction over all organisations, for background work."""
        return self._transaction(_opening(EVERY_ORGANIZATION))

    async def statement(
        self, organization_id: str, query: str | bytes, parameters: Parameters | None = None
    ) -> list[DictRow]:
        """Run one statement in a transaction of its own, in a single round trip, and return its rows.

        `organization_id` may be EVERY_ORGANIZATION. For the paths where a round trip more is felt.
        """
        text = query.encode() if isinstance(query, str) else query
        if organization_id == EVERY_ORGANIZATION:
            async with self._checked_out(self._every) as connection:
                cursor = await connection.execute(text, parameters)
                return await cursor.fetchall() if cursor.description else []
        scope = str(UUID(organization_id))
        async with self._checked_out(self._pool) as connection:
            async with connection.pipeline():
                await connection.execute(b"BEGIN", prepare=False)
                await connection.execute(_setting(scope), prepare=False)
                cursor = await connection.execute(text, parameters)
                ending = await connection.execute(b"COMMIT", prepare=False)
            _refuse_silent_rollback(ending.statusmessage)
            return await cursor.fetchall() if cursor.description else []

    @contextlib.asynccontextmanager
    async def _transaction(self, opening: bytes) -> AsyncIterator[Connection]:
        async with self._checked_out(self._pool, opening) as connection:
            yield connection
            ending = await connection.execute(b"COMMIT", prepare=False)
            _refuse_silent_rollback(ending.statusmessage)

    @contextlib.asynccontextmanager
    async def _checked_out(self, pool: Pool, opening: bytes | None = None) -> AsyncIterator[Connection]:
        with _typed_errors():
            connection = await self._acquire(pool, opening)
            try:
                yield connection
            finally:
                await _give_back(pool, connection)

    async def _acquire(self, pool: Pool, opening: bytes | None) -> Connection:
        """Take a connection and open the transaction on it, passing over those a restart has broken."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._acquire_timeout
        while True:
            connection = None
            try:
                with cancellation_kept():
                    connection = await pool.getconn(timeout=deadline - loop.time())
                # An idle connection has nothing to read, unless it is the server's farewell.
                if opening or _readable(connection):
                    await connection.execute(opening or b"", prepare=False)
            except BaseException as error:
                if connection is None:
                    raise
                await pool.putconn(connection)
                if not (isinstance(error, psycopg.OperationalError) and connection.closed):
                    raise
            else:
                return connection


async def _give_back(pool: Pool, connection: Connection) -> None:
    try:
        if connection.info.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
            with contextlib.suppress(psycopg.Error):
                await connection.execute(b"ROLLBACK", prepare=False)
    finally:
        await pool.putconn(connection)


def _pool(arguments: dict[str, Any], url: str, name: str, min_size: int, max_size: int) -> Pool:
    return AsyncConnectionPool(
        url,
        kwargs=arguments,
        connection_class=AsyncConnection[DictRow],
        min_size=min_size,
        max_size=max_size,
        max_waiting=64 * max_size,
        reconnect_timeout=_RECONNECT_SECONDS,
        # A pool that gives up would only try again for the next caller; those who wait now want it to go on.
        reconnect_failed=AsyncConnectionPool.check,
        open=False,
        name=name,
    )


def connection_arguments(url: str, room: str, scope: str = "") -> dict[str, Any]:
    """Return how a room connects: as its role, in its schema, with every wait bounded, and in a scope or in none."""
    settings = {
        "role": role_name(room),
        "search_path": schema_name(room),
        "statement_timeout": _STATEMENT_TIMEOUT,
        "idle_in_transaction_session_timeout": _IDLE_IN_TRANSACTION,
        # A young table has no statistics, and a plan that was made for it stays when it has grown: it must not be to
        # read the whole table. And no statement here is long enough to be worth compiling.
        "enable_seqscan": "off",
        # Statements are made so that one plan serves all parameters; planning costs more than most of them.
        "plan_cache_mode": "force_generic_plan",
        "jit": "off",
    }
    if scope:
        settings[SCOPE_SETTING] = scope
    given = str(conninfo_to_dict(url).get("options") or "")
    return {
        "options": " ".join([given, *(f"-c {name}={value}" for name, value in settings.items())]).strip(),
        "application_name": schema_name(room),
        "autocommit": True,
        "row_factory": dict_row,
        "prepare_threshold": 1,
        "connect_timeout": 5,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 20_000,
    }


@lru_cache(maxsize=4096)
def _opening(scope: str) -> bytes:
    # Two statements in one message of the simple protocol: one round trip.
    return b"BEGIN; " + _setting(scope)


def _setting(scope: str) -> bytes:
    return f"SET LOCAL {SCOPE_SETTING} = '{scope}'".encode()


def _readable(connection: Connection) -> bool:
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _refuse_silent_rollback(status: str | None) -> None:
    if status != "COMMIT":
        raise RuntimeError("a statement of the transaction failed and its error was swallowed: nothing was committed")


@contextlib.contextmanager
def _typed_errors() -> Iterator[None]:
    try:
        yield
    except psycopg.OperationalError as error:
        raise unavailable("The database does not answer.", code="DATABASE_UNAVAILABLE") from error
