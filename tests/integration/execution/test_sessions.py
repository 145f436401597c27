"""A session that goes on over several streams, against a real PostgreSQL: one stream has it, and nobody undoes that."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from retinue_core import ids
from services.execution.convert import failed_entry, paused_entry, recovered_entry, to_new_entry
from services.execution.domain import Execution, Status, worker_lost
from services.execution.feed import Committed
from services.execution.journal import Entries, Journal
from services.execution.relay import Relay
from services.execution.store import Controls
from services.execution.store.holding import Adopted, GivingBack, Session
from tests.integration.execution.conftest import (
    LEASE,
    JournalEntry,
    Stores,
    an_append,
    completed_entry,
    model_entry,
)


def giving(session: Session, execution: Execution | None = None) -> GivingBack:
    failure = worker_lost(10)
    failed, recovered = failed_entry(failure), recovered_entry(session.worker, "its stream ended")
    return GivingBack(
        session.id,
        execution.id if execution else None,
        10,
        failure,
        to_new_entry(failed).body,
        to_new_entry(recovered).body,
    )


async def adopt(stores: Stores, session: Session, *held: Execution) -> Adopted | None:
    named = [(execution.id, execution.fence) for execution in held]
    return await stores.holding.adopt(session, named, giving(session), LEASE, ids.new_id())


async def take_back(stores: Stores, session: Session, *, lapsed: bool = False) -> bool:
    """End a session and give back what it held, as recovery does."""
    if not await stores.holding.end(session, lapsed=lapsed):
        return False
    await stores.holding.give_back(giving(session), ids.new_id())
    return True


async def test_what_a_worker_names_with_its_fence_is_kept_and_the_rest_is_given_back(stores: Stores) -> None:
    session, other = await stores.attach(), await stores.attach()
    kept, unnamed, old = [await stores.running(session) for _ in range(3)]
    foreign, ended = await stores.running(other), await stores.running(session)
    await stores.journals.append([an_append(kept, model_entry(3))], ids.new_id())
    await stores.journals.append([an_append(ended, completed_entry(3))], ids.new_id())
    adopted = await adopt(stores, session, kept, replace(old, fence=7), foreign, ended)
    assert adopted is not None
    assert adopted.epoch == 2
    assert [(one.execution.id, one.execution.last_sequence) for one in adopted.kept] == [(kept.id, 3)]
    assert {change.execution.id for change in adopted.given_back} == {unnamed.id, old.id}
    rows = [await stores.row(one) for one in (kept, unnamed, old, foreign, ended)]
    assert [row.status for row in rows] == ["RUNNING", "PENDING", "PENDING", "RUNNING", "COMPLETED"]
    assert (rows[0].fence, rows[0].attempt) == (1, 1)


async def test_an_execution_that_somebody_waits_for_is_kept_and_wanted(stores: Stores) -> None:
    session = await stores.attach()
    wanted, other = await stores.running(session), await stores.running(session)
    body = to_new_entry(paused_entry("me", "wait")).body
    await Controls(stores.database).wish_pause(wanted.organization_id, wanted.id, body)
    adopted = await adopt(stores, session, wanted, other)
    assert adopted is not None
    assert {one.execution.id: one.wanted for one in adopted.kept} == {wanted.id: True, other.id: False}


async def test_a_session_that_is_over_or_another_workers_is_not_gone_on_with(stores: Stores) -> None:
    session = await stores.attach()
    execution = await stores.running(session)
    assert await adopt(stores, replace(session, worker="worker-2"), execution) is None
    assert await adopt(stores, replace(session, id=ids.new_id()), execution) is None
    assert await take_back(stores, session)
    assert await adopt(stores, session, execution) is None
    assert (await stores.row(execution)).status is Status.PENDING


async def test_the_end_of_an_old_stream_ends_no_session_that_went_on(stores: Stores) -> None:
    session = await stores.attach(lease=-1)
    execution = await stores.running(session)
    assert await adopt(stores, session, execution)
    assert not await take_back(stores, session)
    assert not await take_back(stores, session, lapsed=True)
    assert not await take_back(stores, replace(session, epoch=2), lapsed=True), "its lease was renewed"
    assert await stores.holding.renew([(session.id, 1)], LEASE) == set()
    assert await stores.holding.renew([(session.id, 2)], LEASE) == {session.id}
    assert (await stores.row(execution)).status is Status.RUNNING
    assert await take_back(stores, replace(session, epoch=2))


@pytest.mark.parametrize("lapsed", [True, False], ids=["by its lease", "by its stream"])
async def test_of_going_on_and_taking_back_at_once_exactly_one_happens(stores: Stores, lapsed: bool) -> None:
    outcomes = set()
    for turn in range(30):
        session = await stores.attach(lease=-1 if lapsed else LEASE)
        executions = [await stores.running(session) for _ in range(2)]
        attempts = [adopt(stores, session, *executions), take_back(stores, session, lapsed=lapsed)]
        ordered = attempts[::-1] if turn % 2 else attempts
        # The first two turns go one after the other, so that both outcomes are seen however the races end.
        results = [await one for one in ordered] if turn < 2 else list(await asyncio.gather(*ordered))
        taken = next(result for result in results if isinstance(result, bool))
        adopted = next(result for result in results if not isinstance(result, bool))
        rows = [await stores.row(execution) for execution in executions]
        assert taken is (adopted is None)
        assert {row.status for row in rows} == {Status.PENDING if taken else Status.RUNNING}
        assert {row.fence for row in rows} == {2 if taken else 1}
        outcomes.add(taken)
    assert outcomes == {True, False}


async def test_two_replicas_go_on_with_a_session_one_after_the_other(stores: Stores) -> None:
    session = await stores.attach()
    execution = await stores.running(session)
    found = await asyncio.gather(*(adopt(stores, session, execution) for _ in range(5)))
    assert sorted(one.epoch for one in found if one) == [2, 3, 4, 5, 6]
    assert all(len(one.kept) == 1 and not one.given_back for one in found if one)


async def test_one_execution_is_given_back_at_its_fence_only(stores: Stores) -> None:
    session = await stores.attach()
    execution = await stores.running(session)
    one = giving(session, execution)
    assert await stores.holding.give_back(replace(one, fence=2), ids.new_id()) == []
    assert len(await stores.holding.give_back(replace(one, fence=1), ids.new_id())) == 1


class Told(Relay):
    """A relay that remembers what it was told and tells nobody."""

    def __init__(self) -> None:
        self.commits: list[Committed] = []

    def committed(self, outbox_id: str, commits: Sequence[Committed]) -> None:
        self.commits += commits


def handed(execution: Execution, *entries: JournalEntry) -> Entries:
    return Entries(execution.organization_id, execution.id, execution.fence, entries)


async def test_what_is_sent_again_fits_to_whatever_of_it_is_committed_by_now(stores: Stores) -> None:
    told = Told()
    journal = Journal(stores.journals, stores.executions, told, lambda _: None)
    execution = await stores.running(await stores.attach())
    assert await journal.append(handed(execution, model_entry(3), model_entry(4)))
    assert await journal.append(handed(execution, model_entry(3))), "all of it is there"
    assert await journal.append(handed(execution, model_entry(4), model_entry(5), completed_entry(6)))
    assert not await journal.append(handed(execution, model_entry(8))), "a gap"
    assert not await journal.append(handed(replace(execution, fence=2), model_entry(6), model_entry(7)))
    assert len(await stores.entries(execution)) == 6
    row = await stores.row(execution)
    assert (row.status, row.usage.steps) == (Status.COMPLETED, 3)
    assert [entry.sequence for entry in told.commits[-1].entries] == [5, 6]


async def test_two_streams_that_bring_the_same_leave_it_in_the_journal_once(stores: Stores) -> None:
    """What was under way on an old stream and is sent again on the new one, to two replicas at the same moment."""
    replicas = [Journal(stores.journals, stores.executions, Told(), lambda _: None) for _ in range(2)]
    for _ in range(20):
        execution = await stores.running(await stores.attach())
        old, new = [model_entry(3), model_entry(4)], [model_entry(3), model_entry(4), completed_entry(5)]
        appends = [replicas[0].append(handed(execution, *old)), replicas[1].append(handed(execution, *new))]
        assert all(await asyncio.gather(*appends))
        row = await stores.row(execution)
        assert (row.status, row.last_sequence, row.usage.steps) == (Status.COMPLETED, 5, 2)
