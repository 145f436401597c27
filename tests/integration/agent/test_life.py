"""Agents are created, read, changed and deleted; drafts open, freeze and go on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from retinue.agent.v1.agent_pb2 import Agent, AgentSpec
from retinue_core.errors import Kind, RetinueError
from retinue_core.identity import Identity
from tests.integration.agent.room import Room, echo, member


async def create(agents: Room, who: Identity, **fields: object) -> Agent:
    agent: Agent = (await agents.call(who, "CreateAgent", agent=echo(**fields))).agent
    return agent


async def get(agents: Room, who: Identity, agent_id: str) -> Agent:
    agent: Agent = (await agents.call(who, "GetAgent", agent_id=agent_id)).agent
    return agent


async def update(agents: Room, who: Identity, agent_id: str, mask: tuple[str, ...] = (), **fields: object) -> Agent:
    answer = await agents.call(who, "UpdateAgent", agent_id=agent_id, agent=fields, update_mask=FieldMask(paths=mask))
    agent: Agent = answer.agent
    return agent


async def record(agents: Room, who: Identity, agent: Agent, version: str, etag: str) -> None:
    service = Identity(who.organization_id, "version", kind="service")
    await agents.call(
        service,
        "RecordPublished",
        organization_id=who.organization_id,
        agent_id=agent.id,
        version=version,
        frozen_etag=etag,
    )


async def open_draft(agents: Room, who: Identity, agent: Agent, version: str, **spec: Any) -> Agent:
    service = Identity(who.organization_id, "version", kind="service")
    answer = await agents.call(
        service,
        "OpenDraft",
        organization_id=who.organization_id,
        agent_id=agent.id,
        version=version,
        spec=AgentSpec(**spec),
    )
    opened: Agent = answer.agent
    return opened


async def test_what_was_sent_is_read_back_with_defaults_for_the_rest(agents: Room) -> None:
    who = member()
    sent = {
        "name": "  Data clerk ",
        "model": "claude-sonnet-4-5",
        "tools": ["calculator", "http"],
        "instructions": "Add.\nThen answer.",
        "input_schema": {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}},
        "timeout": {"seconds": 2, "nanos": 500_000_000},
        "tags": ["data", "data", " csv "],
        "metadata": {"cost": 1.5, "owner": None, "deep": [{"a": True}]},
    }
    created = (await agents.call(who, "CreateAgent", agent=sent)).agent
    assert await get(agents, who, created.id) == created
    assert (created.name, created.tags[:]) == ("Data clerk", ["data", "csv"])
    assert (created.organization_id, created.created_by) == (who.organization_id, who.subject)
    assert (created.max_steps, created.max_retries, created.active) == (20, 3, True)
    assert created.visibility == Agent.PRIVATE
    assert created.trigger_mode == Agent.MANUAL
    assert created.timeout.ToMilliseconds() == 2500
    assert created.input_schema["properties"]["n"]["minimum"] == 1
    assert created.metadata["deep"][0]["a"] is True
    assert not created.HasField("output_schema")
    assert (created.draft_version, created.current_version) == ("1.0.0", "")


async def test_a_change_names_what_it_changes(agents: Room) -> None:
    who = member()
    created = await create(agents, who, description="old", department="sales")
    by_presence = await update(agents, who, created.id, description="new")
    assert (by_presence.description, by_presence.department) == ("new", "sales")
    by_mask = await update(agents, who, created.id, ("department", "maxSteps"), max_steps=5)
    assert (by_mask.description, by_mask.department, by_mask.max_steps) == ("new", "", 5)
    switched_off = await update(agents, who, created.id, active=False)
    assert switched_off.active is False
    assert by_mask.etag not in (created.etag, by_presence.etag)


async def test_an_agent_can_be_sent_back_as_it_was_read(agents: Room) -> None:
    who = member()
    created = await create(agents, who, instructions="x")
    again = (await agents.call(who, "UpdateAgent", agent_id=created.id, agent=created)).agent
    assert again == created


async def test_a_change_to_what_was_changed_since_is_refused(agents: Room) -> None:
    who = member()
    created = await create(agents, who)
    changed = await update(agents, who, created.id, description="first", etag=created.etag)
    with pytest.raises(RetinueError) as refused:
        await update(agents, who, created.id, description="second", etag=created.etag)
    assert (refused.value.code, refused.value.kind) == ("VERSION_CONFLICT", Kind.ABORTED)
    assert await get(agents, who, created.id) == changed


async def test_of_simultaneous_changes_with_one_etag_one_wins(agents: Room) -> None:
    who = member()
    created = await create(agents, who)
    changes = [update(agents, who, created.id, description=f"{n}", etag=created.etag) for n in range(8)]
    results = await asyncio.gather(*changes, return_exceptions=True)
    assert sum(isinstance(result, Agent) for result in results) == 1


async def test_names_are_unique_in_the_organisation_without_case(agents: Room) -> None:
    who = member()
    created = await create(agents, who, name="Größe Clerk")
    for call in (
        create(agents, who, name="GRÖSSE clerk"),
        create(agents, member(who.organization_id), name="größe Clerk"),
    ):
        with pytest.raises(RetinueError) as refused:
            await call
        assert (refused.value.code, refused.value.kind) == ("DUPLICATE_AGENT_NAME", Kind.ALREADY_EXISTS)
        assert refused.value.problems[0].field == "name"
        assert refused.value.actions
    other = await create(agents, who, name="Other")
    with pytest.raises(RetinueError, match="already"):
        await update(agents, who, other.id, name="größe clerk")
    await create(agents, member(), name="Größe Clerk")
    assert (await update(agents, who, created.id, name="GRÖßE CLERK")).name == "GRÖßE CLERK"


async def test_of_simultaneous_creations_with_one_name_one_wins(agents: Room) -> None:
    who = member()
    results = await asyncio.gather(*[create(agents, who, name="Same") for _ in range(8)], return_exceptions=True)
    assert sum(isinstance(result, Agent) for result in results) == 1


async def test_a_creation_that_is_sent_again_under_its_key_is_made_once(agents: Room) -> None:
    who, sent = member(), echo(name="Once")
    answers = [await agents.call(who, "CreateAgent", key="k1", agent=sent) for _ in range(2)]
    assert answers[0] == answers[1]
    with pytest.raises(RetinueError) as reused:
        await agents.call(who, "CreateAgent", key="k1", agent=echo())
    assert reused.value.code == "IDEMPOTENCY_KEY_REUSED"
    assert len((await agents.call(who, "ListAgents", filter="name=once")).agents) == 1


async def test_a_deleted_agent_is_gone_and_its_name_free(agents: Room) -> None:
    who = member()
    created = await create(agents, who, name="Short-lived", tags=["x"])
    await agents.call(who, "DeleteAgent", agent_id=created.id)
    for method in ("GetAgent", "DeleteAgent"):
        with pytest.raises(RetinueError) as refused:
            await agents.call(who, method, agent_id=created.id)
        assert refused.value.code == "AGENT_NOT_FOUND"
    assert not (await agents.call(who, "ListAgents", filter="tag=x")).agents
    assert (await create(agents, who, name="short-LIVED")).id != created.id


async def test_publishing_clears_the_draft_and_a_change_of_what_is_versioned_opens_the_next(agents: Room) -> None:
    who = member()
    created = await create(agents, who)
    await record(agents, who, created, "1.0.0", created.etag)
    published = await get(agents, who, created.id)
    assert (published.current_version, published.draft_version) == ("1.0.0", "")
    renamed = await update(agents, who, created.id, description="d", tags=["t"], visibility=Agent.ORGANIZATION)
    assert renamed.draft_version == ""
    same = await update(agents, who, created.id, model="scripted")
    assert same == renamed
    edited = await update(agents, who, created.id, instructions="new")
    assert (edited.current_version, edited.draft_version) == ("1.0.0", "1.0.1")


async def test_a_publish_that_is_recorded_again_or_late_changes_nothing(agents: Room) -> None:
    who = member()
    created = await create(agents, who)
    for _ in range(2):
        await record(agents, who, created, "1.0.0", created.etag)
    once = await get(agents, who, created.id)
    second = await update(agents, who, created.id, instructions="2")
    await record(agents, who, second, "1.0.1", second.etag)
    await record(agents, who, created, "1.0.0", created.etag)
    late = await get(agents, who, created.id)
    assert once.etag == "r2"
    assert (late.current_version, late.draft_version) == ("1.0.1", "")


async def test_a_draft_that_changed_while_it_was_published_goes_on_under_the_next_number(agents: Room) -> None:
    who = member()
    created = await create(agents, who)
    await update(agents, who, created.id, instructions="meanwhile")
    await record(agents, who, created, "1.0.0", created.etag)
    after = await get(agents, who, created.id)
    assert (after.current_version, after.draft_version, after.instructions) == ("1.0.0", "1.0.1", "meanwhile")


async def test_a_draft_whose_agent_was_only_renamed_meanwhile_is_published_all_the_same(agents: Room) -> None:
    who = member()
    created = await create(agents, who)
    await update(agents, who, created.id, description="meanwhile")
    await record(agents, who, created, "1.0.0", created.etag)
    assert (await get(agents, who, created.id)).draft_version == ""


async def test_a_draft_is_opened_with_given_content_unless_edits_are_in_the_way(agents: Room) -> None:
    who = member()
    created = await create(agents, who)
    await record(agents, who, created, "1.0.0", created.etag)
    opened = await open_draft(agents, who, created, "2.0.0", model="scripted", instructions="from 1.0.0")
    assert (opened.draft_version, opened.instructions, opened.max_retries) == ("2.0.0", "from 1.0.0", 0)
    assert await open_draft(agents, who, created, "2.0.0", model="scripted", instructions="from 1.0.0") == opened
    replaced = await open_draft(agents, who, created, "1.1.0", model="scripted", instructions="from 0.9.0")
    assert replaced.draft_version == "1.1.0"
    await update(agents, who, created.id, instructions="mine")
    with pytest.raises(RetinueError) as refused:
        await open_draft(agents, who, created, "1.2.0", model="scripted")
    assert refused.value.code == "VERSION_CONFLICT"


async def test_a_draft_below_what_is_published_is_refused(agents: Room) -> None:
    who = member()
    created = await create(agents, who)
    await record(agents, who, created, "1.0.0", created.etag)
    with pytest.raises(RetinueError) as refused:
        await open_draft(agents, who, created, "1.0.0", model="scripted", instructions="x")
    assert (refused.value.code, refused.value.problems[0].field) == ("VERSION_CONFLICT", "version")
