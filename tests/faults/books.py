"""The three books of a run: what clients were told, what the oracle saw, what PostgreSQL says.

Owns their form, and the reading of PostgreSQL's. It judges nothing: that is `checker`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.rows import dict_row

from retinue.execution.v1 import journal_pb2
from tests.faults.oracle import Attempt

_EFFECTS = {
    journal_pb2.EFFECT_CLASS_PURE: "pure",
    journal_pb2.EFFECT_CLASS_IDEMPOTENT: "idempotent",
    journal_pb2.EFFECT_CLASS_PROBEABLE: "probeable",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One journal entry. `about` is the step of a model call, or the id of a tool call."""

    sequence: int
    kind: str
    about: str = ""
    key: str = ""
    effect: str = ""
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """An execution as PostgreSQL has it; `tokens` is its usage, `booked` what the ledger of quota says."""

    id: str
    status: str
    fence: int
    last_sequence: int
    tokens: int = 0
    booked: int = 0
    journal: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class Stream:
    """What one client saw of one execution: for each connection, after which event it asked and which ids came."""

    execution_id: str
    connections: tuple[tuple[int, tuple[int, ...]], ...]
    ended: bool


@dataclass(frozen=True, slots=True)
class Sample:
    """A look at the database while things were going on: fences by execution, and (what, value, limit) of quotas."""

    fences: dict[str, int]
    quotas: tuple[tuple[str, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Left:
    """What must be nothing in the end: open reservations, amounts that are held, what is to be settled or told."""

    reservations: int = 0
    held: int = 0
    unsettled: int = 0
    untold: int = 0


@dataclass(slots=True)
class Books:
    """Everything that is known of a run.

    `told` maps acknowledged executions to the last status their client was told; `afterwards` are the operations of
    each service after the fault has healed, and whether they succeeded.
    """

    told: dict[str, str] = field(default_factory=dict)
    streams: list[Stream] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    left: Left = Left()
    afterwards: list[tuple[str, bool]] = field(default_factory=list)


_ROWS = """
select e.id::text, status, fence, last_sequence, e.input_tokens + e.output_tokens as tokens,
    coalesce(l.booked, 0) as booked
from retinue_execution.executions e
left join (
    select execution_id, sum(input_tokens + output_tokens)::bigint as booked
    from retinue_quota.ledger group by execution_id) l on l.execution_id = e.id::text
where e.organization_id = %(organization)s order by e.id
"""
_JOURNAL = """
select execution_id::text, sequence, kind, body, extract(epoch from recorded_at)::float as at
from retinue_execution.journal where organization_id = %(organization)s order by execution_id, sequence
"""
_LEFT = """
select
    (select count(*) from retinue_quota.reservations
        where organization_id = %(organization)s and expired_at is null) as reservations,
    (select coalesce(sum(abs(running) + abs(reserved_tokens) + abs(reserved_cost_micros) + abs(reserved_credits)), 0)
        from retinue_quota.counters where organization_id = %(organization)s)::bigint as held,
    (select count(*) from retinue_execution.unsettled where organization_id = %(organization)s) as unsettled,
    (select count(*) from retinue_execution.outbox) as untold
"""
_FENCES = "select id::text, fence from retinue_execution.executions where organization_id = %(organization)s"
_WAITING = """
select count(*) as waiting from pg_stat_activity
where application_name = 'retinue_execution' and wait_event_type = 'Lock'
"""
_QUOTAS = """
select l.metric || ' of ' || l.level as what, l.ceiling,
    case l.metric when 'TOKENS' then c.total_tokens + c.reserved_tokens else c.running end as value
from retinue_quota.limits l join retinue_quota.counters c using (organization_id, level)
where organization_id = %(organization)s
"""


class Ledger:
    """PostgreSQL's book of one organisation, read from outside of the suite."""

    def __init__(self, url: str, organization_id: str, within: psycopg.Connection[Any] | None = None) -> None:
        """Take the database; `within` is a transaction to read as, with what it has not committed."""
        self._url = url
        self._parameters = {"organization": organization_id}
        self._within = within

    def rows(self) -> list[Row]:
        """Every execution with its journal."""
        journals: dict[str, list[Entry]] = {}
        for found in self._read(_JOURNAL):
            journals.setdefault(found["execution_id"], []).append(_entry(found))
        return [Row(**found, journal=tuple(journals.get(found["id"], ()))) for found in self._read(_ROWS)]

    def left(self) -> Left:
        """What is left of reservations."""
        return Left(**self._read(_LEFT)[0])

    def sample(self) -> Sample:
        """The present fences and quotas."""
        fences = {found["id"]: found["fence"] for found in self._read(_FENCES)}
        quotas = tuple((found["what"], found["value"], found["ceiling"]) for found in self._read(_QUOTAS))
        return Sample(fences, quotas)

    def waits(self) -> bool:
        """Whether a statement of the execution room waits for a lock."""
        return bool(self._read(_WAITING)[0]["waiting"])

    def _read(self, query: str) -> list[dict[str, Any]]:
        if self._within is not None:
            with self._within.cursor(row_factory=dict_row) as cursor:
                return cursor.execute(query.encode(), self._parameters).fetchall()
        with psycopg.connect(self._url, row_factory=dict_row, connect_timeout=5) as connection:
            return connection.execute(query.encode(), self._parameters).fetchall()


def _entry(found: dict[str, Any]) -> Entry:
    entry = journal_pb2.JournalEntry.FromString(bytes(found["body"]))
    body = getattr(entry, entry.WhichOneof("body") or "")
    kind = found["kind"]
    about = str(body.step) if kind == "model.completed" else str(getattr(body, "call_id", ""))
    key = body.idempotency_key if kind == "tool.dispatched" else ""
    effect = _EFFECTS.get(body.effect, "irreversible") if kind == "tool.dispatched" else ""
    return Entry(found["sequence"], kind, about, key, effect, found["at"])
