"""What the statements of the execution room promise, against a real PostgreSQL."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC

import pytest

from retinue_core import ids
from retinue_core.db.schema import EVERY_ORGANIZATION
from services.execution.convert import (
    change_of,
    failed_entry,
    kind_of,
    recovered_entry,
    started_entry,
    to_new_entry,
)
from services.execution.domain import TIMED_OUT, Execution, Kind, Status, fold, worker_lost
from services.execution.store.holding import Claim, GivingBack, Session, Stray
from tests.integration.execution.conftest import Stores, an_append, an_execution, completed_entry, model_entry


def giving(session: Session, execution: Execution | None = None, most: int = 10) -> GivingBack:
    failure = worker_lost(most)
    return GivingBack(
        session.id,
        execution.id if execution else None,
        most,
        failure,
        to_new_entry(failed_entry(failure)).body,
        to_new_entry(recovered_entry(session.worker, "its lease ended")).body,
    )


def claim(execution: Execution, session: Session) -> Claim:
    body = to_new_entry(started_entry(execution.attempt + 1, session.worker)).body
    return Claim(execution.id, execution.fence, session.id, body)


async def test_an_accepted_execution_has_its_first_entries_and_an_outbox_row(stores: Stores) -> None:
    execution = await stores.running(await stores.attach())
    assert [kind_of(entry) for entry in await stores.entries(execution)] == [Kind.CREATED, Kind.STARTED]
    untold = await stores.outbox.untold(0)
    assert [one.spans for one in untold] == [((execution.id, 1, 2),)]
    await stores.outbox.told([untold[0].id])
    assert await stores.outbox.untold(0) == []


async def test_accepting_again_after_a_lost_answer_changes_nothing(stores: Stores) -> None:
    execution = an_execution()
    await stores.create(execution)
    await stores.create(execution)
    assert len(await stores.entries(execution)) == 1


async def test_an_append_changes_the_row_as_the_fold_says(stores: Stores) -> None:
    execution = await stores.running(await stores.attach())
    before = await stores.row(execution)
    entries = [model_entry(3), model_entry(4), completed_entry(5)]
    [answer] = await stores.journals.append([an_append(execution, *entries)], ids.new_id())
    assert answer.done
    expected = fold(before, change_of(entries), 5, answer.recorded_at)
    assert await stores.row(execution) == expected
    assert expected.usage.input_tokens == 14
    assert expected.usage.steps == 2


@pytest.mark.parametrize(("fence", "first"), [(2, 3), (0, 3), (1, 4), (1, 2)], ids=["newer", "older", "gap", "repeat"])
async def test_an_append_with_another_fence_or_a_gap_is_refused(stores: Stores, fence: int, first: int) -> None:
    execution = await stores.running(await stores.attach())
    append = an_append(execution, model_entry(first), model_entry(first + 1), fence=fence)
    [answer] = await stores.journals.append([append], ids.new_id())
    assert not answer.done
    assert (await stores.row(execution)).last_sequence == 2
    assert len(await stores.entries(execution)) == 2


async def test_an_append_whose_answer_was_lost_counts_as_done_once(stores: Stores) -> None:
    execution = await stores.running(await stores.attach())
    append = an_append(execution, model_entry(3), completed_entry(4))
    for _ in range(2):
        [answer] = await stores.journals.append([append], ids.new_id())
        assert answer.done
    assert len(await stores.entries(execution)) == 4
    assert (await stores.row(execution)).usage.input_tokens == 7


async def test_one_refused_append_does_not_hold_up_the_others_of_its_group(stores: Stores) -> None:
    session = await stores.attach()
    good, bad = await stores.running(session), await stores.running(session)
    answers = await stores.journals.append(
        [an_append(bad, model_entry(3), fence=9), an_append(good, model_entry(3))], ids.new_id()
    )
    assert [answer.done for answer in answers] == [False, True]


async def test_the_end_leaves_a_settlement_behind_with_what_was_used(stores: Stores) -> None:
    execution = await stores.running(await stores.attach())
    await stores.journals.append([an_append(execution, model_entry(3), completed_entry(4))], ids.new_id())
    [owed] = await stores.outbox.unsettled(0)
    assert owed.reservation_id == execution.reservation_id
    assert (owed.input_tokens, owed.output_tokens, owed.cost_micros, owed.steps) == (7, 3, 11, 1)
    assert owed.ended == "completed"
    await stores.outbox.settled([owed.reservation_id])
    assert await stores.outbox.unsettled(0) == []


async def test_what_a_lost_worker_held_is_claimable_under_a_new_fence(stores: Stores) -> None:
    session = await stores.attach()
    execution = await stores.running(session)
    await stores.journals.append([an_append(execution, model_entry(3))], ids.new_id())
    [change] = await stores.holding.give_back(giving(session), ids.new_id())
    assert (change.execution.status, change.execution.fence) == (Status.PENDING, 2)
    [answer] = await stores.journals.append([an_append(execution, model_entry(5))], ids.new_id())
    assert not answer.done, "a stale fence wrote"

    other = await stores.attach()
    [candidate] = await stores.holding.candidates("default", [], 10)
    [claimed] = await stores.holding.claim([claim(candidate, other)], ids.new_id())
    assert (claimed.execution.status, claimed.execution.fence, claimed.execution.attempt) == (Status.RUNNING, 3, 2)
    await stores.journals.append([an_append(claimed.execution, model_entry(6), completed_entry(7))], ids.new_id())
    owed = {one.reservation_id: one for one in await stores.outbox.unsettled(0)}
    assert owed[execution.reservation_id].input_tokens == 7
    assert owed[execution.reservation_id].ended == ""
    assert owed[claimed.execution.reservation_id].input_tokens == 7, "the second reservation pays only for its own part"
    assert [entry.WhichOneof("body") for entry in await stores.entries(execution)] == [
        "execution_created",
        "execution_started",
        "model_completed",
        "execution_recovered",
        "execution_started",
        "model_completed",
        "execution_completed",
    ]


async def test_an_execution_that_lost_too_many_workers_fails(stores: Stores) -> None:
    session = await stores.attach()
    await stores.running(session)
    [change] = await stores.holding.give_back(giving(session, most=1), ids.new_id())
    assert change.execution.status is Status.FAILED
    assert change.execution.error == worker_lost(1)


async def test_two_replicas_never_claim_the_same_execution(stores: Stores) -> None:
    sessions = [await stores.attach(), await stores.attach()]
    executions = [await stores.create(an_execution()) for _ in range(20)]
    results = await asyncio.gather(
        *(
            stores.holding.claim([claim(execution, session) for execution in executions], ids.new_id())
            for session in sessions
            for _ in range(3)
        )
    )
    claimed = [change.execution.id for changes in results for change in changes]
    assert sorted(claimed) == sorted(execution.id for execution in executions)


async def test_the_queue_goes_by_priority_and_then_by_age_and_leaves_out_busy_users(stores: Stores) -> None:
    low, first, second, urgent = [await stores.create(an_execution(priority=priority)) for priority in (1, 2, 2, 4)]
    busy = await stores.create(an_execution(priority=4))
    found = await stores.holding.candidates("default", [busy.created_by], 10)
    assert [one.id for one in found] == [urgent.id, first.id, second.id, low.id]


async def test_only_sessions_whose_lease_ended_are_lost(stores: Stores) -> None:
    alive, dead = await stores.attach(), await stores.attach(lease=-1)
    orphan = await stores.running(Session(ids.new_id(), "", "default"))
    await stores.running(alive)
    assert {session.id for session in await stores.holding.lost()} == {dead.id, orphan.session_id}
    assert await stores.holding.renew([(dead.id, 1), (alive.id, 2), (ids.new_id(), 1)], 60) == {dead.id}
    assert {session.id for session in await stores.holding.lost()} == {orphan.session_id}


async def test_another_organisation_cannot_read(stores: Stores) -> None:
    execution, stranger = await stores.running(await stores.attach()), ids.new_id()
    assert await stores.executions.get(stranger, execution.id) is None
    assert await stores.journals.read(stranger, execution.id) == []
    assert (await stores.row(execution)).status is Status.RUNNING


async def test_a_deadline_that_passed_ends_a_pending_one_at_once_and_a_running_one_after_grace(
    stores: Stores,
) -> None:
    pending = await stores.create(an_execution(), seconds=-1)
    running = an_execution(await stores.attach())
    await stores.create(running, seconds=-1)
    body = to_new_entry(failed_entry(TIMED_OUT)).body
    changes = await stores.executions.time_out(TIMED_OUT, body, 30, ids.new_id())
    assert [change.execution.id for change in changes] == [pending.id]
    changes = await stores.executions.time_out(TIMED_OUT, body, 0, ids.new_id())
    assert [change.execution.id for change in changes] == [running.id]
    assert (await stores.row(running)).error == TIMED_OUT


async def test_a_page_is_in_the_order_of_age_and_continues(stores: Stores) -> None:
    organization_id = ids.new_id()
    created = [await stores.create(an_execution(organization_id=organization_id)) for _ in range(5)]
    page = await stores.executions.page(organization_id, [], before="", descending=True, limit=2)
    assert [one.id for one in page] == [created[4].id, created[3].id]
    page = await stores.executions.page(organization_id, [], before=page[1].id, descending=True, limit=2)
    assert [one.id for one in page] == [created[2].id, created[1].id]
    mine = [("agent_id", created[0].agent_id)]
    page = await stores.executions.page(organization_id, mine, before="", descending=False, limit=9)
    assert [one.id for one in page] == [created[0].id]


async def test_specs_are_kept_once_for_each_content(stores: Stores) -> None:
    organization_id, digest = ids.new_id(), b"\x02" * 32
    for _ in range(2):
        await stores.executions.keep_spec(organization_id, digest, b"spec")
    assert await stores.executions.specs([(organization_id, digest)]) == {(organization_id, digest): b"spec"}


async def test_the_database_says_when_and_demand_counts_what_runs_or_could(stores: Stores) -> None:
    session = await stores.attach()
    await stores.running(session)
    execution = await stores.create(an_execution())
    assert execution.created_at.tzinfo is not None
    assert replace(execution, created_at=execution.created_at.astimezone(UTC)) == execution
    assert await stores.holding.demand("default") == 2
    entry = await stores.journals.read(EVERY_ORGANIZATION, execution.id)
    assert entry[0].recorded_at == execution.created_at


async def test_a_stray_is_what_a_session_has_and_its_worker_was_not_told_of(stores: Stores) -> None:
    session = await stores.attach()
    held, stray = await stores.running(session), await stores.running(session)
    found = [Stray(stray.id, session.id, stray.fence)]
    assert await stores.holding.strays([(session.id, 1)], [held.id]) == found
    assert await stores.holding.strays([(session.id, 1)], [held.id, stray.id]) == []
    assert await stores.holding.strays([(session.id, 2)], []) == [], "another stream has the session"
    assert await stores.holding.strays([(ids.new_id(), 1)], []) == []


async def test_a_key_finds_the_execution_of_its_own_user_only(stores: Stores) -> None:
    execution = await stores.create(an_execution(idempotency_key="k1"))
    owner = (execution.organization_id, execution.created_by)
    found = await stores.executions.by_key(*owner, "k1")
    assert found is not None
    assert found.id == execution.id
    assert await stores.executions.by_key(*owner, "k2") is None
    assert await stores.executions.by_key(execution.organization_id, ids.new_id(), "k1") is None
    await stores.create(an_execution())
    assert await stores.executions.by_key(*owner, "") is None


async def test_two_sessions_that_want_the_same_execution_name_different_reservations(stores: Stores) -> None:
    one, other = await stores.attach(), await stores.attach()
    execution = await stores.create(an_execution())
    wanted = [replace(execution, fence=1, session_id=session.id) for session in (one, other)]
    assert wanted[0].reservation_id != wanted[1].reservation_id
    [claimed] = await stores.holding.claim([claim(execution, one)], ids.new_id())
    assert claimed.execution.reservation_id == wanted[0].reservation_id
    await stores.journals.append([an_append(claimed.execution, completed_entry(3))], ids.new_id())
    assert [owed.reservation_id for owed in await stores.outbox.unsettled(0)] == [wanted[0].reservation_id]


async def test_spans_of_many_journals_are_read_at_once(stores: Stores) -> None:
    session = await stores.attach()
    first, second = await stores.running(session), await stores.running(session)
    found = await stores.journals.read_spans([(first.id, 2, 2), (second.id, 1, 2)])
    assert {key: [entry.sequence for entry in entries] for key, entries in found.items()} == {
        (first.organization_id, first.id): [2],
        (second.organization_id, second.id): [1, 2],
    }
