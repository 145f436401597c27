"""The fault tests themselves are tested: promises are broken on purpose, in a running suite, and the books show it."""

from __future__ import annotations

import asyncio
import signal

import psycopg
import pytest

from tests.faults.arena import Arena
from tests.faults.books import Ledger
from tests.faults.work import calling

pytestmark = pytest.mark.faults

_OF = "where organization_id = %(organization)s"
DOCTORED = {
    "an execution that never ends": (
        "I1",
        f"update retinue_execution.executions set status = 'RUNNING' {_OF} and status = 'COMPLETED'",
    ),
    "an entry that is missing": ("I2", f"delete from retinue_execution.journal {_OF} and sequence = 3"),
    "a result that is there twice": (
        "I2",
        f"""insert into retinue_execution.journal (execution_id, sequence, organization_id, kind, body)
        select execution_id, 1000, organization_id, kind, body from retinue_execution.journal {_OF}
        and kind = 'tool.completed'""",
    ),
    "a reservation that is left": (
        "I4",
        f"""insert into retinue_quota.reservations select organization_id, 'left', '', '', '', '', '{{}}', 0, 0, 0, 0,
        now() + interval '1 hour', null from retinue_quota.organizations {_OF}""",
    ),
    "a counter that is held": ("I4", f"update retinue_quota.counters set reserved_tokens = 1 {_OF}"),
    "usage that was not booked": (
        "I4",
        f"update retinue_execution.executions set input_tokens = input_tokens + 1 {_OF}",
    ),
    "a fence that went back": ("I5", f"update retinue_execution.executions set fence = fence - 1 {_OF}"),
    "a worker that writes after it was lost": (
        "I5",
        f"update retinue_execution.journal set kind = 'execution.recovered' {_OF} and sequence = 2",
    ),
}


async def test_the_books_show_what_was_done_to_the_database(arena: Arena) -> None:
    async with arena.round() as one:
        agent = await one.acme.publish(calling(arena.keyed.url, 1))
        assert (await one.client.run(agent, {"n": 1}))["status"] == "COMPLETED"
        await one.settled()
        assert await one.violations() == []
        for what, (promise, statement) in DOCTORED.items():
            with psycopg.connect(arena.database_url) as connection:
                connection.execute(statement.encode(), {"organization": one.acme.organization_id})
                doctored = Ledger(arena.database_url, one.acme.organization_id, connection)
                violations = await one.violations(doctored)
                connection.rollback()
            assert promise in {violation.split()[0] for violation in violations}, what


async def test_the_books_show_a_host_that_does_not_honour_its_keys(arena: Arena) -> None:
    """The deduplication is switched off: what was lost in mid-call is called again, and takes effect twice."""
    async with arena.round(broken="I3") as one:
        agent = await one.acme.publish(calling(arena.false.url, 1))
        with arena.false.gate(after_effect=True) as gate:
            execution = await one.client.start(agent, {"n": 1})
            await asyncio.to_thread(gate.arrived)
            arena.signal("worker", signal.SIGKILL)
            await asyncio.to_thread(gate.arrived)
        assert (await one.client.ended(execution))["status"] == "COMPLETED"
