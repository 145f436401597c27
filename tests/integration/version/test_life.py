"""Versions are published once, listed, read, opened again as drafts, and never change."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from functools import partial

import psycopg
import pytest

from retinue.version.v1.version_pb2 import AgentVersion
from retinue_core.db.database import connection_arguments
from retinue_core.errors import Kind, RetinueError
from retinue_core.identity import Identity
from retinue_core.ids import new_id
from services.version.domain import life
from services.version.domain.life import Sought
from services.version.domain.version import candidate
from services.version.recovery import Sweep
from tests.integration.agent.room import colleague, member
from tests.integration.version.room import Rooms, together


async def test_publishing_freezes_the_draft_and_makes_it_current(rooms: Rooms) -> None:
    who = member()
    agent = await rooms.create(who, name="Clerk of versions", instructions="Add.", max_steps=7)
    published = await rooms.publish(who, agent.id, "1.0.0", changelog="first")
    assert (published.version, published.status, published.current) == ("1.0.0", AgentVersion.PUBLISHED, True)
    assert (published.changelog, published.created_by) == ("first", who.subject)
    assert (published.agent_name, published.spec.instructions) == ("Clerk of versions", "Add.")
    assert published.HasField("published_at")
    assert await rooms.version(who, agent.id, "1.0.0") == published
    after = await rooms.get(who, agent.id)
    assert (after.current_version, after.draft_version) == ("1.0.0", "")


async def test_the_digest_is_that_of_the_canonical_content(rooms: Rooms) -> None:
    who = member()
    agent = await rooms.create(who, input_schema={"type": "object", "minProperties": 1}, timeout={"seconds": 5})
    published = await rooms.publish(who, agent.id)
    canonical = (
        '{"inputSchema":{"minProperties":1,"type":"object"},"maxRetries":3,"maxSteps":20,'
        '"model":"scripted","timeout":"5s"}'
    )
    assert published.digest == hashlib.sha256(canonical.encode()).hexdigest()


async def test_what_is_published_stays_as_it_was_when_the_agent_changes(rooms: Rooms) -> None:
    who = member()
    agent = await rooms.create(who, instructions="one")
    first = await rooms.publish(who, agent.id)
    await rooms.edit(who, agent.id, instructions="two")
    assert await rooms.version(who, agent.id, "1.0.0") == first
    draft = await rooms.version(who, agent.id, "draft")
    assert (draft.version, draft.status, draft.spec.instructions) == ("1.0.1", AgentVersion.DRAFT, "two")
    assert await rooms.version(who, agent.id, "1.0.1") == draft
    second = await rooms.publish(who, agent.id, "1.0.1")
    assert not (await rooms.version(who, agent.id, "1.0.0")).current
    assert [version.version for version in await rooms.listed(who, agent.id)] == ["1.0.1", "1.0.0"]
    assert second.digest != first.digest


async def test_a_publish_may_be_repeated(rooms: Rooms) -> None:
    who = member()
    agent = await rooms.create(who)
    first = await rooms.publish(who, agent.id, "1.0.0", changelog="first")
    assert await rooms.publish(who, agent.id, "1.0.0", changelog="again") == first
    assert await rooms.publish(who, agent.id, "draft") == first
    assert len(await rooms.listed(who, agent.id)) == 1


async def test_a_draft_that_is_opened_again_under_its_key_is_opened_once(rooms: Rooms) -> None:
    who = member()
    agent = await rooms.create(who)
    await rooms.publish(who, agent.id)
    opened = await rooms.versions.call(who, "CreateVersion", key="k", agent_id=agent.id)
    await rooms.publish(who, agent.id)
    assert await rooms.versions.call(who, "CreateVersion", key="k", agent_id=agent.id) == opened
    assert not (await rooms.get(who, agent.id)).draft_version


async def test_a_number_that_has_other_content_is_taken(rooms: Rooms) -> None:
    who = member()
    agent = await rooms.create(who)
    await rooms.publish(who, agent.id)
    await rooms.edit(who, agent.id, instructions="new")
    with pytest.raises(RetinueError) as refused:
        await rooms.publish(who, agent.id, "1.0.0")
    assert (refused.value.code, refused.value.kind) == ("VERSION_CONFLICT", Kind.ABORTED)
    assert "1.0.1" in refused.value.actions[0]


async def test_simultaneous_publishes_make_one_version(rooms: Rooms) -> None:
    who = member()
    agent = await rooms.create(who)
    results = await together(*[rooms.publish(who, agent.id, "1.0.0", changelog=f"{n}") for n in range(8)])
    assert len({result.id for result in results}) == 1
    assert [version.version for version in await rooms.listed(who, agent.id)] == ["1.0.0"]


async def test_of_a_publish_and_an_edit_at_once_neither_is_lost(rooms: Rooms) -> None:
    who = member()
    agent = await rooms.create(who, instructions="before")
    results = await together(rooms.publish(who, agent.id, "1.0.0"), rooms.edit(who, agent.id, instructions="after"))
    assert not any(isinstance(result, BaseException) for result in results)
    published = await rooms.version(who, agent.id, "1.0.0")
    after = await rooms.get(who, agent.id)
    assert after.instructions == "after"
    assert published.spec.instructions == "after" or after.draft_version == "1.0.1"


async def test_only_the_draft_can_be_published_and_only_under_its_number(rooms: Rooms) -> None:
    who = member()
    agent = await rooms.create(who)
    for number in ("2.0.0", "0.9.0", "latest", "1.0", "", "\0", "9" * 70):
        with pytest.raises(RetinueError) as refused:
            await rooms.publish(who, agent.id, number)
        assert refused.value.code == ("VERSION_NOT_FOUND" if number else "INVALID_ARGUMENT"), number


async def test_a_draft_that_todays_rules_refuse_is_not_published(rooms: Rooms, postgres_url: str) -> None:
    who = member()
    agent = await rooms.create(who, tools=["calculator"])
    with psycopg.connect(postgres_url) as connection:
        connection.execute(
            "update retinue_agent.agents set spec = jsonb_set(spec, '{tools,0}', '\"abacus\"') where id = %s",
            [agent.id],
        )
    with pytest.raises(RetinueError) as refused:
        await rooms.publish(who, agent.id)
    assert (refused.value.code, refused.value.problems[0].field) == ("INVALID_AGENT_CONFIG", "tools[0]")
    assert not (await rooms.get(who, agent.id)).current_version


async def test_a_draft_is_opened_from_a_version(rooms: Rooms) -> None:
    who = member()
    agent = await rooms.create(who, instructions="one")
    await rooms.publish(who, agent.id)
    await rooms.edit(who, agent.id, instructions="two")
    await rooms.publish(who, agent.id)
    draft = (
        await rooms.versions.call(who, "CreateVersion", agent_id=agent.id, changelog="why", **{"from": "1.0.0"})
    ).version
    assert (draft.version, draft.status, draft.spec.instructions) == ("1.1.0", AgentVersion.DRAFT, "one")
    assert (draft.changelog, draft.created_by) == ("why", who.subject)
    listed = await rooms.listed(who, agent.id)
    assert [version.version for version in listed] == ["1.1.0", "1.0.1", "1.0.0"]
    assert listed[0] == draft
    named = (await rooms.versions.call(who, "CreateVersion", agent_id=agent.id, version="3.0.0-rc.1")).version
    assert (named.version, named.spec.instructions) == ("3.0.0-rc.1", "two")
    assert (await rooms.publish(who, agent.id, "3.0.0-rc.1", changelog="")).changelog == ""
    after = (await rooms.versions.call(who, "CreateVersion", agent_id=agent.id)).version
    assert after.version == "3.1.0"


async def test_what_was_said_of_a_draft_is_published_with_it(rooms: Rooms) -> None:
    who = member()
    agent = await rooms.create(who)
    await rooms.publish(who, agent.id)
    await rooms.versions.call(who, "CreateVersion", agent_id=agent.id, changelog="why")
    assert (await rooms.publish(who, agent.id)).changelog == "why"


async def test_a_draft_with_edits_is_not_overwritten(rooms: Rooms) -> None:
    who = member()
    agent = await rooms.create(who)
    with pytest.raises(RetinueError) as unpublished:
        await rooms.versions.call(who, "CreateVersion", agent_id=agent.id)
    assert unpublished.value.code == "AGENT_NOT_PUBLISHED"
    await rooms.publish(who, agent.id)
    await rooms.edit(who, agent.id, instructions="mine")
    with pytest.raises(RetinueError) as refused:
        await rooms.versions.call(who, "CreateVersion", agent_id=agent.id)
    assert refused.value.code == "VERSION_CONFLICT"
    assert (await rooms.version(who, agent.id, "draft")).spec.instructions == "mine"


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"version": "1.0.0"}, "VERSION_CONFLICT", "version"),
        ({"version": "0.1.0"}, "VERSION_CONFLICT", "version"),
        ({"version": "1.0.0-rc.1"}, "VERSION_CONFLICT", "version"),
        ({"version": "draft"}, "INVALID_ARGUMENT", "version"),
        ({"version": "1.1"}, "INVALID_ARGUMENT", "version"),
        ({"version": "01.1.0"}, "INVALID_ARGUMENT", "version"),
        ({"version": "1.1.0+build"}, "INVALID_ARGUMENT", "version"),
        ({"version": "1.1." + "0" * 80}, "INVALID_ARGUMENT", "version"),
        ({"version": "1.1.0\0"}, "INVALID_ARGUMENT", "version"),
        ({"from": "7.0.0"}, "VERSION_NOT_FOUND", None),
        ({"from": "\0"}, "VERSION_NOT_FOUND", None),
        ({"from": "draft"}, "VERSION_NOT_FOUND", None),
        ({"changelog": "x" * 10_001}, "INVALID_ARGUMENT", "changelog"),
        ({"changelog": "\0"}, "INVALID_ARGUMENT", "changelog"),
    ],
)
async def test_a_draft_that_cannot_be_opened(
    rooms: Rooms, fields: dict[str, str], code: str, field: str | None
) -> None:
    who = member()
    agent = await rooms.create(who)
    await rooms.publish(who, agent.id)
    with pytest.raises(RetinueError) as refused:
        await rooms.versions.call(who, "CreateVersion", agent_id=agent.id, **fields)
    assert refused.value.code == code
    assert [problem.field for problem in refused.value.problems] == ([field] if field else [])
    assert refused.value.actions or field == "changelog"


async def test_pages_of_versions_have_no_gap_and_no_repeat(rooms: Rooms) -> None:
    who = member()
    agent = await rooms.create(who)
    for number in range(4):
        await rooms.publish(who, agent.id)
        await rooms.edit(who, agent.id, instructions=f"{number}")
    whole = [version.version for version in await rooms.listed(who, agent.id)]
    assert whole == ["1.0.4", "1.0.3", "1.0.2", "1.0.1", "1.0.0"]
    for size in (1, 2, 3, 5):
        seen, token = [], ""
        while True:
            page = await rooms.versions.call(who, "ListVersions", agent_id=agent.id, page_size=size, page_token=token)
            seen += [version.version for version in page.versions]
            assert len(page.versions) <= size
            token = page.next_page_token
            if not token:
                break
        assert seen == whole


async def test_the_database_refuses_to_change_or_delete_what_is_published(rooms: Rooms, postgres_url: str) -> None:
    who = member()
    agent = await rooms.create(who)
    await rooms.publish(who, agent.id)
    owner = {"autocommit": True}
    for arguments in (owner, connection_arguments(postgres_url, "version")):
        with psycopg.connect(postgres_url, **arguments) as connection:
            connection.execute("select set_config('retinue.organization_id', '*', false)")
            for statement in (
                "update retinue_version.versions set content = '{}'",
                "update retinue_version.versions set version = '9.9.9', status = 'ARCHIVED'",
                "delete from retinue_version.versions",
                "update retinue_version.version_events set reason = 'another'",
                "delete from retinue_version.version_events",
            ):
                with pytest.raises(psycopg.errors.RestrictViolation):
                    connection.execute(statement.encode())
            connection.execute("update retinue_version.versions set status = status")
    for table in ("versions", "version_events"):
        with psycopg.connect(postgres_url) as connection, pytest.raises(psycopg.Error):
            connection.execute(f"truncate retinue_version.{table} cascade".encode())


async def test_a_publish_that_was_cut_off_before_its_record_is_recorded_later(rooms: Rooms) -> None:
    who = member()
    agent = await rooms.create(who, instructions="frozen")
    await cut_off_publish(rooms, who.organization_id, agent.id)
    assert [version.version for version in await rooms.listed(who, agent.id)] == ["1.0.0"]
    assert await Sweep(rooms.store, rooms.client, 0).once() == 1
    head = await rooms.client.get(who.organization_id, agent.id)
    assert head.draft_version == ""
    assert await Sweep(rooms.store, rooms.client, 0).once() == 0


async def test_a_publish_that_was_cut_off_can_be_repeated_at_once(rooms: Rooms) -> None:
    who = member()
    agent = await rooms.create(who)
    await cut_off_publish(rooms, who.organization_id, agent.id)
    assert (await rooms.publish(who, agent.id, "1.0.0")).current
    assert (await rooms.get(who, agent.id)).draft_version == ""
    assert await Sweep(rooms.store, rooms.client, 0).once() == 0


async def test_an_edit_after_a_publish_that_was_cut_off_goes_on_under_the_next_number(rooms: Rooms) -> None:
    who = member()
    agent = await rooms.create(who)
    await cut_off_publish(rooms, who.organization_id, agent.id)
    await rooms.edit(who, agent.id, instructions="later")
    with pytest.raises(RetinueError, match="published already"):
        await rooms.publish(who, agent.id, "1.0.0")
    await Sweep(rooms.store, rooms.client, 0).once()
    after = await rooms.get(who, agent.id)
    assert (after.current_version, after.draft_version) == ("1.0.0", "1.0.1")


async def test_one_record_that_cannot_be_made_blocks_no_other(rooms: Rooms) -> None:
    who, other = member(), colleague(member())
    gone, there = await rooms.create(who), await rooms.create(other)
    for agent in (gone, there):
        await cut_off_publish(rooms, agent.organization_id, agent.id)
    await rooms.agents.call(who, "DeleteAgent", agent_id=gone.id)
    assert await Sweep(rooms.store, rooms.client, 0).once() == 2
    assert (await rooms.get(other, there.id)).current_version == "1.0.0"


async def cut_off_publish(rooms: Rooms, organization_id: str, agent_id: str) -> None:
    """Publish as the service does, and stop where a crash would: after the commit, before the record."""
    head = await rooms.client.get(organization_id, agent_id)
    who = Identity(organization_id, head.owner_id)
    made = candidate(head, None, new_id(), "", who, datetime.now(UTC))
    decide = partial(life.published, made, made.version)
    await rooms.store.change(organization_id, agent_id, Sought(made.version, made.digest), decide)
