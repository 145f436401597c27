"""Cancel, pause, resume and retry as statements: what each does in each state, and what is journaled and owed."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from retinue_core import ids
from services.execution.convert import (
    cancelled_entry,
    failed_entry,
    kind_of,
    paused_entry,
    recovered_entry,
    resumed_entry,
    retried_entry,
    to_new_entry,
)
from services.execution.domain import Execution, Failure, Kind, Status, worker_lost
from services.execution.store import Controls
from services.execution.store.holding import GivingBack, Session
from tests.integration.execution.conftest import Stores, an_append, an_execution, completed_entry, model_entry

CANCELLED = Failure("EXECUTION_CANCELLED", "enough")
CANCEL = to_new_entry(cancelled_entry("me", "enough")).body
PAUSE = to_new_entry(paused_entry("me", "wait")).body
RESUME = to_new_entry(resumed_entry("me", "on")).body
RETRY = to_new_entry(retried_entry("me", "again")).body


@pytest.fixture
def controls(stores: Stores) -> Controls:
    return Controls(stores.database)


async def kinds(stores: Stores, execution: Execution) -> list[Kind]:
    return [kind_of(entry) for entry in await stores.entries(execution)]


def giving(session: Session, execution: Execution | None = None, most: int = 10) -> GivingBack:
    failure = worker_lost(most)
    return GivingBack(
        session.id,
        execution.id if execution else None,
        most,
        failure,
        to_new_entry(failed_entry(failure)).body,
        to_new_entry(recovered_entry(session.worker, "pause")).body,
    )


async def failed(stores: Stores) -> Execution:
    execution = await stores.running(await stores.attach())
    failure = failed_entry(Failure("MODEL_ERROR", "no"))
    failure.sequence = 4
    await stores.journals.append([an_append(execution, model_entry(3), failure)], ids.new_id())
    return execution


async def test_cancelling_ends_once_and_settles(stores: Stores, controls: Controls) -> None:
    execution = await stores.running(await stores.attach())
    where = (execution.organization_id, execution.id)
    change = await controls.cancel(*where, CANCELLED, CANCEL, ids.new_id())
    assert change is not None
    assert (change.execution.status, change.execution.error) == (Status.CANCELLED, CANCELLED)
    assert await controls.cancel(*where, CANCELLED, CANCEL, ids.new_id()) is None
    [answer] = await stores.journals.append([an_append(execution, model_entry(3))], ids.new_id())
    assert not answer.done, "the worker of a cancelled execution wrote"
    assert [one.ended for one in await stores.outbox.unsettled(0)] == ["cancelled"]


async def test_another_organisation_can_do_nothing(stores: Stores, controls: Controls) -> None:
    execution = await stores.create(an_execution())
    stranger = ids.new_id()
    assert await controls.cancel(stranger, execution.id, CANCELLED, CANCEL, ids.new_id()) is None
    assert await controls.pause(stranger, execution.id, PAUSE, ids.new_id()) is None
    await controls.wish_pause(stranger, execution.id, PAUSE)
    assert await stores.row(execution) == await stores.row(execution)
    assert (await stores.row(execution)).status is Status.PENDING


async def test_what_waits_is_paused_at_once_and_gets_its_time_back(stores: Stores, controls: Controls) -> None:
    execution = await stores.create(an_execution())
    where = (execution.organization_id, execution.id)
    before = (await stores.row(execution)).deadline_at
    change = await controls.pause(*where, PAUSE, ids.new_id())
    assert change is not None
    assert change.execution.status is Status.PAUSED
    assert await stores.holding.candidates("default", [], 10) == []
    assert await controls.pause(*where, PAUSE, ids.new_id()) is None
    async with stores.database.system() as connection:
        await connection.execute("update executions set paused_at = paused_at - interval '1 hour'")
    change = await controls.resume(*where, RESUME, ids.new_id())
    assert change is not None
    assert change.execution.status is Status.PENDING
    assert change.execution.deadline_at >= before + timedelta(hours=1)
    assert await controls.resume(*where, RESUME, ids.new_id()) is None
    assert await kinds(stores, execution) == [Kind.CREATED, Kind.PAUSED, Kind.RESUMED]


async def test_what_runs_is_paused_when_its_worker_hands_it_back(stores: Stores, controls: Controls) -> None:
    session = await stores.attach()
    execution = await stores.running(session)
    where = (execution.organization_id, execution.id)
    assert await controls.pause(*where, PAUSE, ids.new_id()) is None
    await controls.wish_pause(*where, PAUSE)
    [answer] = await stores.journals.append([an_append(execution, model_entry(3))], ids.new_id())
    assert answer.done, "the step under way is finished"
    [change] = await stores.holding.give_back(giving(session, execution, most=1), ids.new_id())
    assert change.execution.status is Status.PAUSED
    assert kind_of(type(model_entry(1)).FromString(change.body)) is Kind.PAUSED
    await controls.resume(*where, RESUME, ids.new_id())
    assert (await kinds(stores, execution))[-3:] == [Kind.MODEL_COMPLETED, Kind.PAUSED, Kind.RESUMED]
    assert [one.input_tokens for one in await stores.outbox.unsettled(0)] == [7]


async def test_resuming_before_the_step_ended_takes_the_wish_back(stores: Stores, controls: Controls) -> None:
    session = await stores.attach()
    execution = await stores.running(session)
    await controls.wish_pause(execution.organization_id, execution.id, PAUSE)
    await controls.forget_pause(execution.organization_id, execution.id)
    [change] = await stores.holding.give_back(giving(session), ids.new_id())
    assert change.execution.status is Status.PENDING


async def test_an_execution_that_ends_before_its_pause_has_ended(stores: Stores, controls: Controls) -> None:
    execution = await stores.running(await stores.attach())
    await controls.wish_pause(execution.organization_id, execution.id, PAUSE)
    await stores.journals.append([an_append(execution, completed_entry(3))], ids.new_id())
    assert (await stores.row(execution)).status is Status.COMPLETED


async def test_a_failed_one_goes_on_with_a_new_fence_and_its_first_time(stores: Stores, controls: Controls) -> None:
    execution = await failed(stores)
    change = await controls.retry(execution.organization_id, execution.id, RETRY, ids.new_id())
    assert change is not None
    row = change.execution
    assert (row.status, row.fence, row.error, row.completed_at) == (Status.PENDING, 2, None, None)
    assert row.deadline_at - change.recorded_at == timedelta(seconds=300)
    assert row.usage.input_tokens == 7, "what was used stays used"
    assert await controls.retry(execution.organization_id, execution.id, RETRY, ids.new_id()) is None
    assert (await kinds(stores, execution))[-2:] == [Kind.FAILED, Kind.RETRIED]


async def test_only_a_failed_one_can_be_retried(stores: Stores, controls: Controls) -> None:
    for execution in (await stores.create(an_execution()), await stores.running(await stores.attach())):
        assert await controls.retry(execution.organization_id, execution.id, RETRY, ids.new_id()) is None


async def test_wishes_against_each_other_leave_one_outcome_and_a_journal_without_gap(
    stores: Stores, controls: Controls
) -> None:
    for _ in range(10):
        execution = await stores.create(an_execution())
        where = (execution.organization_id, execution.id)
        await asyncio.gather(
            controls.pause(*where, PAUSE, ids.new_id()),
            controls.cancel(*where, CANCELLED, CANCEL, ids.new_id()),
            controls.resume(*where, RESUME, ids.new_id()),
            controls.cancel(*where, CANCELLED, CANCEL, ids.new_id()),
        )
        stored = await stores.journals.read(*where)
        assert [entry.sequence for entry in stored] == list(range(1, len(stored) + 1))
        assert (await kinds(stores, execution)).count(Kind.CANCELLED) == 1
        assert (await stores.row(execution)).status is Status.CANCELLED


async def test_each_retry_has_the_time_that_was_allowed_at_first(stores: Stores, controls: Controls) -> None:
    execution = await failed(stores)
    where = (execution.organization_id, execution.id)
    for _ in range(2):
        async with stores.database.system() as connection:
            await connection.execute(
                "update executions set status = 'FAILED', created_at = created_at - interval '1 hour'"
            )
        change = await controls.retry(*where, RETRY, ids.new_id())
        assert change is not None
        assert change.execution.deadline_at - change.recorded_at == timedelta(seconds=300)
