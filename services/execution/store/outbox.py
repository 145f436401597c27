"""What is committed and not yet told: events to publish, reservations to settle.

Rows are read by age and deleted by id, one by one; never by a watermark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retinue_core.db import Database
from retinue_core.db.schema import EVERY_ORGANIZATION

_UNTOLD = """
select id, execution_ids, first_sequences, last_sequences from outbox
where created_at < now() - %(age)s * interval '1 second' order by id limit %(limit)s
"""

_UNSETTLED = """
select reservation_id, organization_id, input_tokens, output_tokens, cost_micros, credits, steps, tool_calls, ended
from unsettled where created_at <= now() - %(age)s * interval '1 second' order by created_at limit %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Untold:
    """The executions of one commit: (execution id, first sequence, last sequence)."""

    id: str
    spans: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Owed:
    """What a reservation came to."""

    reservation_id: str
    organization_id: str
    input_tokens: int
    output_tokens: int
    cost_micros: int
    credits: int
    steps: int
    tool_calls: int
    ended: str


class Outbox:
    """The two outboxes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def untold(self, age: float, limit: int = 100) -> list[Untold]:
        """Commits that were not told within `age` seconds, the oldest first."""
        rows = await self._database.statement(EVERY_ORGANIZATION, _UNTOLD, {"age": age, "limit": limit})
        return [
            Untold(
                str(row["id"]),
                tuple(
                    (str(execution_id), first, last)
                    for execution_id, first, last in zip(
                        row["execution_ids"], row["first_sequences"], row["last_sequences"], strict=True
                    )
                ),
            )
            for row in rows
        ]

    async def told(self, outbox_ids: Sequence[str]) -> None:
        """Forget commits that were told."""
        await self._database.statement(
            EVERY_ORGANIZATION, "delete from outbox where id = any(%(ids)s::uuid[])", {"ids": list(outbox_ids)}
        )

    async def unsettled(self, age: float, limit: int = 500) -> list[Owed]:
        """Reservations that were left at least `age` seconds ago and are not settled."""
        rows = await self._database.statement(EVERY_ORGANIZATION, _UNSETTLED, {"age": age, "limit": limit})
        return [to_owed(row) for row in rows]

    async def settled(self, reservation_ids: Sequence[str]) -> None:
        """Forget reservations that were settled."""
        await self._database.statement(
            EVERY_ORGANIZATION,
            "delete from unsettled where reservation_id = any(%(ids)s::text[])",
            {"ids": list(reservation_ids)},
        )


def to_owed(row: Mapping[str, Any]) -> Owed:
    """Turn a row with the columns of `unsettled` into what is owed."""
    return Owed(
        row["reservation_id"],
        str(row["organization_id"]),
        row["input_tokens"],
        row["output_tokens"],
        row["cost_micros"],
        row["credits"],
        row["steps"],
        row["tool_calls"],
        row["ended"],
    )
