"""Executions in a real database, without the services around them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from retinue.common.v1 import common_pb2
from retinue.execution.v1 import journal_pb2
from retinue_core import ids
from retinue_core.db import Database
from services.execution.convert import change_of, created_entry, started_entry, to_new_entry
from services.execution.domain import Execution, Status
from services.execution.store import Executions, Holding, Journals, Outbox
from services.execution.store.executions import NewExecution
from services.execution.store.holding import Session
from services.execution.store.journal import Append

JournalEntry = journal_pb2.JournalEntry
LEASE = 60.0


class Stores:
    """The stores of the room over one database, and how tests fill them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.executions = Executions(database)
        self.journals = Journals(database)
        self.holding = Holding(database)
        self.outbox = Outbox(database)

    async def attach(self, lease: float = LEASE) -> Session:
        session = Session(ids.new_id(), "worker-1", "default", 10)
        await self.holding.attach(session, lease)
        return session

    async def create(self, execution: Execution, seconds: float = 300) -> Execution:
        started = started_entry(1, "worker-1") if execution.status is Status.RUNNING else None
        new = NewExecution(
            execution,
            seconds,
            to_new_entry(created_entry(execution)).body,
            to_new_entry(started).body if started else None,
        )
        now = await self.executions.create([new], ids.new_id())
        return replace(execution, created_at=now)

    async def running(self, session: Session, **more: object) -> Execution:
        return await self.create(an_execution(session, **more))

    async def row(self, execution: Execution) -> Execution:
        found = await self.executions.get(execution.organization_id, execution.id)
        assert found is not None
        return found

    async def entries(self, execution: Execution) -> list[JournalEntry]:
        return [
            JournalEntry.FromString(one.body)
            for one in await self.journals.read(execution.organization_id, execution.id)
        ]


def an_execution(session: Session | None = None, **more: object) -> Execution:
    now = datetime.now(UTC)
    pending = Execution(
        id=ids.new_id(),
        organization_id=ids.new_id(),
        agent_id=ids.new_id(),
        agent_name="adder",
        agent_version="1.0.0",
        spec_digest=b"\x01" * 32,
        status=Status.PENDING,
        input_json='"hello"',
        created_by=ids.new_id(),
        created_at=now,
        deadline_at=now + timedelta(minutes=5),
        last_sequence=1,
    )
    if session is not None:
        pending = replace(pending, status=Status.RUNNING, attempt=1, fence=1, session_id=session.id, last_sequence=2)
    return replace(pending, **more)  # type: ignore[arg-type]


def model_entry(sequence: int, text: str = "hello", tokens: int = 7) -> JournalEntry:
    body = journal_pb2.ModelCompleted(step=1, provider="scripted", model="scripted", stop_reason="end_turn")
    body.content.add().text.text = text
    body.usage.CopyFrom(common_pb2.Usage(input_tokens=tokens, output_tokens=3, cost_micros=11))
    return JournalEntry(sequence=sequence, model_completed=body)


def completed_entry(sequence: int, output: str = '"done"') -> JournalEntry:
    return JournalEntry(sequence=sequence, execution_completed=journal_pb2.ExecutionCompleted(output_json=output))


def an_append(execution: Execution, *entries: JournalEntry, fence: int | None = None) -> Append:
    return Append(
        execution.id,
        execution.fence if fence is None else fence,
        tuple(to_new_entry(entry) for entry in entries),
        change_of(entries),
    )


@pytest.fixture
async def stores(database_url: str) -> AsyncIterator[Stores]:
    database = Database(database_url, "execution")
    await database.open()
    yield Stores(database)
    await database.close()


@pytest.fixture
def outbox_id() -> Callable[[], str]:
    return ids.new_id
