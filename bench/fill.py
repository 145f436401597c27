"""A million finished executions in the tables, as if they had run: rows, journals, ledger.

Owns the SQL that copies one execution that did run, with its journal and its booking, under ids that grow with time.
It knows the columns it changes; all others are copied as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg

TABLES = ("retinue_execution.executions", "retinue_execution.journal", "retinue_quota.ledger", "retinue_quota.settled")
_BATCH = 20_000
_CONNECTIONS = 2
_MOMENTS = ("created_at", "available_at", "deadline_at", "started_at", "completed_at")

# UUIDv7 by RFC 9562: 48 bits of milliseconds, then the version, the variant and what looks like chance.
_NEW = """
with numbered as (
    select i, now() - interval '1 minute' - interval '19 days' * (1 - i / %(rows)s::float8) as at
    from generate_series(%(first)s::int, %(last)s::int) as i)
, f as materialized (
    select i, at, (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || substr(md5(i::text), 1, 3)
        || '8' || substr(md5(i::text), 4, 15))::uuid as id
    from numbered)
"""
_JOURNAL = """
insert into retinue_execution.journal (execution_id, sequence, organization_id, kind, body, recorded_at)
select f.id, t.sequence, t.organization_id, t.kind, t.body, f.at
from f cross join retinue_execution.journal t where t.execution_id = %(template)s order by f.i, t.sequence
"""


def fill(url: str, template: str, rows: int) -> None:
    """Add copies of the execution `template` and bring the tables to rest."""
    with psycopg.connect(url, autocommit=True) as connection:
        statement = _statement(connection)
    ranges = [(first, min(first + _BATCH, rows + 1) - 1) for first in range(1, rows + 1, _BATCH)]

    def add(some: Iterator[tuple[int, int]]) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            for first, last in some:
                given = {"rows": rows, "first": first, "last": last, "template": template}
                connection.execute(statement.encode(), given)

    left = iter(ranges)
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        for done in [pool.submit(add, left) for _ in range(_CONNECTIONS)]:
            done.result()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"vacuum analyze {', '.join(TABLES)}".encode())
        connection.execute("checkpoint")


def _statement(connection: psycopg.Connection[tuple[object, ...]]) -> str:
    """One batch: executions and bookings beside the journal."""
    executions = _copy(connection, "retinue_execution", "executions", {"id": "f.id"} | dict.fromkeys(_MOMENTS, "f.at"))
    reservation = {"reservation_id": "f.id || ':1'"}
    booking = reservation | {"execution_id": "f.id::text", "booked_at": "f.at"}
    ledger = _copy(connection, "retinue_quota", "ledger", booking, "reservation_id = %(template)s || ':1'")
    settled = _copy(connection, "retinue_quota", "settled", reservation, "reservation_id = %(template)s || ':1'")
    return f"{_NEW}, e as ({executions}), l as ({ledger}), s as ({settled}) {_JOURNAL}"


def _copy(
    connection: psycopg.Connection[tuple[object, ...]],
    schema: str,
    table: str,
    changed: dict[str, str],
    chosen: str = "id = %(template)s",
) -> str:
    found = connection.execute(
        "select column_name::text from information_schema.columns where table_schema = %s and table_name = %s",
        (schema, table),
    )
    columns = [str(row[0]) for row in found]
    values = [changed.get(column, f"t.{column}") for column in columns]
    into = f"insert into {schema}.{table} ({', '.join(columns)})"
    return f"{into} select {', '.join(values)} from f cross join {schema}.{table} t where t.{chosen}"  # noqa: S608
