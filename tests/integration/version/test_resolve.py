"""Which version runs, and what decides who may run it."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from retinue.agent.v1.agent_pb2 import Agent
from retinue.version.v1.version_pb2 import AgentVersion
from retinue_core.errors import Kind, RetinueError
from retinue_core.events import Events
from services.version import store
from tests.integration.agent.room import member
from tests.integration.version.room import Rooms


async def test_without_a_number_the_current_version_runs(rooms: Rooms) -> None:
    who = member()
    agent = await rooms.create(who, instructions="one", visibility="ORGANIZATION", active=False)
    first = await rooms.publish(who, agent.id)
    await rooms.edit(who, agent.id, instructions="two")
    found = await rooms.resolve(who.organization_id, agent.id)
    assert found.version == first
    assert (found.owner_id, found.organization_id) == (who.subject, who.organization_id)
    assert (found.visibility, found.active) == (Agent.ORGANIZATION, False)
    second = await rooms.publish(who, agent.id)
    assert (await rooms.resolve(who.organization_id, agent.id)).version == second
    assert (await rooms.resolve(who.organization_id, agent.id, "1.0.0")).version.spec.instructions == "one"


async def test_the_draft_runs_by_its_name_only(rooms: Rooms) -> None:
    who = member()
    agent = await rooms.create(who, instructions="tried")
    found = (await rooms.resolve(who.organization_id, agent.id, "draft")).version
    assert (found.version, found.status, found.spec.instructions) == ("1.0.0", AgentVersion.DRAFT, "tried")
    for asked, code in (("1.0.0", "VERSION_NOT_FOUND"), ("", "AGENT_NOT_PUBLISHED")):
        with pytest.raises(RetinueError) as refused:
            await rooms.resolve(who.organization_id, agent.id, asked)
        assert refused.value.code == code
        assert refused.value.actions
    assert refused.value.kind is Kind.FAILED_PRECONDITION
    await rooms.publish(who, agent.id)
    with pytest.raises(RetinueError) as gone:
        await rooms.resolve(who.organization_id, agent.id, "draft")
    assert gone.value.code == "VERSION_NOT_FOUND"


async def test_what_is_deprecated_runs_with_a_warning_and_what_is_archived_does_not(rooms: Rooms) -> None:
    who = member()
    agent = await rooms.released(who, "one", "two")
    assert not (await rooms.resolve(who.organization_id, agent, "1.0.0")).warning
    await rooms.act(who, "deprecate", agent, "1.0.0", "It forgets.")
    found = await rooms.resolve(who.organization_id, agent, "1.0.0")
    assert found.version.status == AgentVersion.DEPRECATED
    assert found.warning == (
        "Version 1.0.0 is deprecated: It forgets. Name another version, or none to run the current one."
    )
    assert not (await rooms.resolve(who.organization_id, agent)).warning
    await rooms.act(who, "deprecate", agent, "1.0.1")
    assert "still the current version" in (await rooms.resolve(who.organization_id, agent)).warning
    await rooms.act(who, "archive", agent, "1.0.0")
    with pytest.raises(RetinueError) as refused:
        await rooms.resolve(who.organization_id, agent, "1.0.0")
    assert (refused.value.code, refused.value.kind) == ("VERSION_ARCHIVED", Kind.FAILED_PRECONDITION)
    assert refused.value.actions


@pytest.mark.parametrize("asked", ["9.9.9", "latest", "\0", "x" * 5_000])
async def test_a_version_that_is_not_there(rooms: Rooms, asked: str) -> None:
    who = member()
    agent = await rooms.create(who)
    await rooms.publish(who, agent.id)
    with pytest.raises(RetinueError) as refused:
        await rooms.resolve(who.organization_id, agent.id, asked)
    assert refused.value.code == "VERSION_NOT_FOUND"
    with pytest.raises(RetinueError) as not_read:
        await rooms.version(who, agent.id, asked)
    assert not_read.value.code == "VERSION_NOT_FOUND"


async def test_a_deleted_agent_and_one_of_another_organisation_do_not_run_and_a_public_one_does(rooms: Rooms) -> None:
    who, stranger = member(), member()
    agent = await rooms.create(who)
    await rooms.publish(who, agent.id)
    with pytest.raises(RetinueError) as refused:
        await rooms.resolve(stranger.organization_id, agent.id)
    assert refused.value.code == "AGENT_NOT_FOUND"
    await rooms.edit(who, agent.id, visibility="PUBLIC")
    found = await rooms.resolve(stranger.organization_id, agent.id)
    assert (found.organization_id, found.version.version) == (who.organization_id, "1.0.0")
    await rooms.agents.call(who, "DeleteAgent", agent_id=agent.id)
    with pytest.raises(RetinueError) as gone:
        await rooms.resolve(who.organization_id, agent.id)
    assert gone.value.code == "AGENT_NOT_FOUND"


async def test_whoever_remembers_an_answer_is_told_when_it_ends(rooms: Rooms, nats_url: str) -> None:
    who = member()
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def hear(subject: str, data: bytes) -> None:
        heard.put_nowait(subject.rpartition(".")[2])

    async with Events(nats_url, "test") as events:
        agent = await rooms.create(who)
        await events.listen(f"agents.{who.organization_id}.{agent.id}.*", hear)
        # The server has taken the subscription once a hint sent behind it has come back.
        await events.hint(f"agents.{who.organization_id}.{agent.id}.listening")
        assert await heard.get() == "listening"
        await rooms.publish(who, agent.id)
        assert {await heard.get(), await heard.get()} == {"published", "updated"}
        await rooms.edit(who, agent.id, instructions="next")
        assert await heard.get() == "updated"
        await rooms.publish(who, agent.id)
        assert {await heard.get(), await heard.get()} == {"published", "updated"}
        await rooms.act(who, "rollback", agent.id, "1.0.0")
        assert {await heard.get(), await heard.get()} == {"rolled_back", "updated"}
        for action, said in (("deprecate", "deprecated"), ("archive", "archived")):
            await rooms.act(who, action, agent.id, "1.0.1")
            assert await heard.get() == said
        await rooms.edit(who, agent.id, active=False)
        assert await heard.get() == "updated"
        await rooms.agents.call(who, "DeleteAgent", agent_id=agent.id)
        assert await heard.get() == "deleted"


async def test_one_look_up_reads_two_rows_by_their_keys(rooms: Rooms, postgres_url: str) -> None:
    who = member()
    agent = await rooms.create(who)
    await rooms.publish(who, agent.id)
    with psycopg.connect(postgres_url) as connection:
        connection.execute("set enable_seqscan = off")
        connection.execute("set search_path = retinue_version")
        for statement in (store._CURRENT, store._BY_NUMBER, store._NEWEST):
            values = {"agent_id": agent.id, "version": "1.0.0"}
            plan = connection.execute(f"explain (costs off) {statement}".encode(), values).fetchall()
            assert "Seq Scan" not in str(plan)
