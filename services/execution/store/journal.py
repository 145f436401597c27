"""Appending to journals and reading them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from retinue_core import ids
from retinue_core.db import Database
from retinue_core.db.schema import EVERY_ORGANIZATION
from services.execution.domain import Change
from services.execution.store.outbox import Owed, to_owed
from services.execution.store.rows import UNSETTLED

_APPEND = (
    """
with i as (
    select * from unnest(
        %(ids)s::uuid[], %(fences)s::bigint[], %(firsts)s::integer[], %(lasts)s::integer[], %(statuses)s::text[],
        %(input_tokens)s::bigint[], %(output_tokens)s::bigint[], %(cache_read_tokens)s::bigint[],
        %(cache_write_tokens)s::bigint[], %(tool_calls)s::bigint[], %(steps)s::bigint[], %(cost_micros)s::bigint[],
        %(credits)s::bigint[], %(outputs)s::text[], %(error_codes)s::text[], %(error_messages)s::text[],
        %(error_retryables)s::boolean[], %(error_details)s::jsonb[])
    as i(id, fence, first, last, status, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens,
        tool_calls, steps, cost_micros, credits, output_json, error_code, error_message, error_retryable,
        error_details))
, u as (
    update executions e set
        last_sequence = i.last,
        status = coalesce(i.status, e.status),
        input_tokens = e.input_tokens + i.input_tokens,
        output_tokens = e.output_tokens + i.output_tokens,
        cache_read_tokens = e.cache_read_tokens + i.cache_read_tokens,
        cache_write_tokens = e.cache_write_tokens + i.cache_write_tokens,
        tool_calls = e.tool_calls + i.tool_calls,
        steps = e.steps + i.steps,
        cost_micros = e.cost_micros + i.cost_micros,
        credits = e.credits + i.credits,
        output_json = coalesce(i.output_json, e.output_json),
        error_code = i.error_code,
        error_message = i.error_message,
        error_retryable = i.error_retryable,
        error_details = i.error_details,
        completed_at = case when i.status is not null then now() end
    from i
    where e.id = i.id and e.fence = i.fence and e.status = 'RUNNING' and e.last_sequence = i.first - 1
    returning e.*, i.first, case when i.status is not null then e.fence end as held_fence)
, journaled as (
    insert into journal (execution_id, sequence, organization_id, kind, body)
    select k.execution_id, k.sequence, u.organization_id, k.kind, k.body
    from unnest(%(entry_ids)s::uuid[], %(sequences)s::integer[], %(kinds)s::text[], %(bodies)s::bytea[])
        as k(execution_id, sequence, kind, body)
    join u on u.id = k.execution_id)
, told as (
    insert into outbox (id, execution_ids, first_sequences, last_sequences)
    select %(outbox_id)s, array_agg(id), array_agg(first), array_agg(last_sequence) from u having count(*) > 0)
"""
    + UNSETTLED
    + """
select i.id, u.id is not null as done, e.fence, e.last_sequence, now() as recorded_at,
    o.reservation_id, o.organization_id, o.input_tokens, o.output_tokens, o.cost_micros, o.credits, o.steps,
    o.tool_calls, o.ended
from i left join u on u.id = i.id left join executions e on e.id = i.id and u.id is null
    left join owed o on o.reservation_id = u.id || ':' || u.held_fence || ':' || u.session_id
"""
)

_READ = """
select sequence, recorded_at, body from journal
where execution_id = %(id)s and sequence > %(after)s and sequence <= %(until)s order by sequence limit %(limit)s
"""

_READ_MANY = """
select execution_id, sequence, recorded_at, body from journal
where execution_id = any(%(ids)s::uuid[]) order by execution_id, sequence
"""

_READ_SPANS = """
select j.execution_id, j.organization_id, j.sequence, j.recorded_at, j.body
from unnest(%(ids)s::uuid[], %(firsts)s::integer[], %(lasts)s::integer[]) as span(id, first, last)
join journal j on j.execution_id = span.id and j.sequence between span.first and span.last
order by j.execution_id, j.sequence
"""

LAST = 2_147_483_647


@dataclass(frozen=True, slots=True)
class NewEntry:
    """An entry to append: its number, kind and body as it is stored."""

    sequence: int
    kind: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Append:
    """Entries of one execution that belong together, and what they change in its row."""

    execution_id: str
    fence: int
    entries: tuple[NewEntry, ...]
    change: Change

    @property
    def last(self) -> int:
        """Sequence of the newest entry."""
        return self.entries[-1].sequence


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry as it was read."""

    sequence: int
    recorded_at: datetime
    body: bytes


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of an append: whether it is in the journal, when it was committed, and what its end leaves owed.

    `newest` is the newest sequence of a journal that refused an append although its fence is the present one, as it
    was when the statement began.
    """

    done: bool
    recorded_at: datetime
    owed: Owed | None = None
    newest: int | None = None


class Journals:
    """The journals of all executions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, appends: Sequence[Append], outbox_id: str) -> list[Appended]:
        """Append to several executions, each at most once in a call, in one transaction and one round trip.

        Each append is taken only by the present fence, while running, and without a gap. One that is in the journal
        already, from a call whose answer was lost, counts as done.
        """
        rows = await self._database.statement(EVERY_ORGANIZATION, _APPEND, _parameters(appends, outbox_id))
        found = {str(row["id"]): row for row in rows}
        return [_appended(item, found[item.execution_id]) for item in appends]

    async def read(
        self, scope: str, execution_id: str, *, after: int = 0, until: int = LAST, limit: int = 1_000
    ) -> list[StoredEntry]:
        """Read entries of one execution in their order; `scope` is an organisation or EVERY_ORGANIZATION."""
        parameters = {"id": execution_id, "after": after, "until": until, "limit": limit}
        rows = await self._database.statement(scope, _READ, parameters)
        return [StoredEntry(row["sequence"], row["recorded_at"], bytes(row["body"])) for row in rows]

    async def read_spans(self, spans: Sequence[tuple[str, int, int]]) -> dict[tuple[str, str], list[StoredEntry]]:
        """Read spans (execution, first, last sequence) of many journals, by organisation and execution."""
        parameters = {
            "ids": [span[0] for span in spans],
            "firsts": [span[1] for span in spans],
            "lasts": [span[2] for span in spans],
        }
        rows = await self._database.statement(EVERY_ORGANIZATION, _READ_SPANS, parameters)
        found: dict[tuple[str, str], list[StoredEntry]] = {}
        for row in rows:
            entry = StoredEntry(row["sequence"], row["recorded_at"], bytes(row["body"]))
            found.setdefault((str(row["organization_id"]), str(row["execution_id"])), []).append(entry)
        return found

    async def read_many(self, execution_ids: Sequence[str]) -> dict[str, list[StoredEntry]]:
        """Read the whole journals of several executions."""
        rows = await self._database.statement(EVERY_ORGANIZATION, _READ_MANY, {"ids": list(execution_ids)})
        found: dict[str, list[StoredEntry]] = {execution_id: [] for execution_id in execution_ids}
        for row in rows:
            entry = StoredEntry(row["sequence"], row["recorded_at"], bytes(row["body"]))
            found[str(row["execution_id"])].append(entry)
        return found


def new_outbox_id() -> str:
    """Name the outbox row of one commit."""
    return ids.new_id()


def _appended(item: Append, row: Mapping[str, Any]) -> Appended:
    same_fence = row["fence"] == item.fence
    return Appended(
        done=row["done"] or (same_fence and row["last_sequence"] >= item.last),
        recorded_at=row["recorded_at"],
        owed=to_owed(row) if row["reservation_id"] else None,
        newest=row["last_sequence"] if same_fence else None,
    )


def _parameters(appends: Sequence[Append], outbox_id: str) -> dict[str, Any]:
    usages = [item.change.usage for item in appends]
    errors = [item.change.error for item in appends]
    entries = [(item.execution_id, entry) for item in appends for entry in item.entries]
    return {
        "outbox_id": outbox_id,
        "ids": [item.execution_id for item in appends],
        "fences": [item.fence for item in appends],
        "firsts": [item.entries[0].sequence for item in appends],
        "lasts": [item.last for item in appends],
        "statuses": [item.change.status for item in appends],
        "input_tokens": [usage.input_tokens for usage in usages],
        "output_tokens": [usage.output_tokens for usage in usages],
        "cache_read_tokens": [usage.cache_read_tokens for usage in usages],
        "cache_write_tokens": [usage.cache_write_tokens for usage in usages],
        "tool_calls": [usage.tool_calls for usage in usages],
        "steps": [usage.steps for usage in usages],
        "cost_micros": [usage.cost_micros for usage in usages],
        "credits": [usage.credits for usage in usages],
        "outputs": [item.change.output_json for item in appends],
        "error_codes": [error.code if error else None for error in errors],
        "error_messages": [error.message if error else None for error in errors],
        "error_retryables": [error.retryable if error else None for error in errors],
        "error_details": [Jsonb(dict(error.details)) if error else None for error in errors],
        "entry_ids": [execution_id for execution_id, _ in entries],
        "sequences": [entry.sequence for _, entry in entries],
        "kinds": [entry.kind for _, entry in entries],
        "bodies": [entry.body for _, entry in entries],
    }
