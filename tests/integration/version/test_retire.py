"""Versions are deprecated, archived and rolled back to; who did it and why is kept; nothing at once goes wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from retinue.version.v1.version_pb2 import AgentVersion, VersionEvent
from retinue_core.errors import Kind, RetinueError
from retinue_core.identity import Identity
from services.version.domain.life import Action, Sought, rolled_back
from services.version.recovery import Sweep
from tests.integration.agent.room import colleague, member
from tests.integration.version.room import Rooms, together

ACTIONS = ("deprecate", "archive", "rollback")


async def test_a_version_is_deprecated_then_archived_and_keeps_its_content(rooms: Rooms) -> None:
    who = member()
    agent = await rooms.released(who, "one", "two")
    first = await rooms.version(who, agent, "1.0.0")
    deprecated = await rooms.act(who, "deprecate", agent, "1.0.0", "It forgets.")
    assert (deprecated.status, deprecated.status_reason) == (AgentVersion.DEPRECATED, "It forgets.")
    assert deprecated.HasField("status_changed_at")
    assert (deprecated.digest, deprecated.spec, deprecated.published_at) == (
        first.digest,
        first.spec,
        first.published_at,
    )
    assert await rooms.act(who, "deprecate", agent, "1.0.0", "Said again.") == deprecated
    archived = await rooms.act(who, "archive", agent, "1.0.0")
    assert (archived.status, archived.status_reason) == (AgentVersion.ARCHIVED, "")
    assert await rooms.version(who, agent, "1.0.0") == archived
    assert await rooms.history(who, agent) == [
        ("PUBLISHED", "1.0.0", ""),
        ("PUBLISHED", "1.0.1", "1.0.0"),
        ("DEPRECATED", "1.0.0", "1.0.1"),
        ("ARCHIVED", "1.0.0", "1.0.1"),
    ]


async def test_a_roll_back_moves_the_pointer_only_and_can_be_undone(rooms: Rooms) -> None:
    who = member()
    agent = await rooms.released(who, "one", "two")
    await rooms.edit(who, agent, instructions="draft")
    listed = {version.version: version for version in await rooms.listed(who, agent)}
    back = await rooms.act(who, "rollback", agent, "1.0.0", "The new one is rude.")
    assert (back.version, back.current) == ("1.0.0", True)
    assert (await rooms.resolve(who.organization_id, agent)).version == back
    head = await rooms.get(who, agent)
    assert (head.current_version, head.draft_version, head.instructions) == ("1.0.0", "1.0.2", "draft")
    for version in await rooms.listed(who, agent):
        assert version.current == (version.version == "1.0.0")
        version.current = listed[version.version].current
        assert version == listed[version.version]
    forth = await rooms.act(who, "rollback", agent, "1.0.1")
    assert forth.current
    assert (await rooms.get(who, agent)).current_version == "1.0.1"
    assert (await rooms.act(who, "rollback", agent, "1.0.1")) == forth
    assert (await rooms.history(who, agent))[2:] == [
        ("ROLLED_BACK", "1.0.0", "1.0.1"),
        ("ROLLED_BACK", "1.0.1", "1.0.0"),
    ]
    events = (await rooms.versions.call(who, "ListVersionEvents", agent_id=agent)).events
    assert (events[1].reason, events[1].created_by) == ("The new one is rude.", who.subject)
    assert events[1].HasField("created_at")


async def test_what_is_published_after_a_roll_back_is_current(rooms: Rooms) -> None:
    who = member()
    agent = await rooms.released(who, "one", "two")
    await rooms.act(who, "rollback", agent, "1.0.0")
    assert not (await rooms.publish(who, agent, "1.0.1")).current
    await rooms.edit(who, agent, instructions="three")
    assert (await rooms.publish(who, agent)).version == "1.0.2"
    assert (await rooms.get(who, agent)).current_version == "1.0.2"
    assert (await rooms.resolve(who.organization_id, agent)).version.version == "1.0.2"


async def test_the_current_version_may_be_deprecated_and_is_archived_only_when_another_is_current(
    rooms: Rooms,
) -> None:
    who = member()
    agent = await rooms.released(who, "one", "two")
    assert (await rooms.act(who, "deprecate", agent, "1.0.1")).current
    with pytest.raises(RetinueError) as refused:
        await rooms.act(who, "archive", agent, "1.0.1")
    assert (refused.value.code, refused.value.kind) == ("VERSION_IN_USE", Kind.FAILED_PRECONDITION)
    await rooms.act(who, "rollback", agent, "1.0.0")
    assert (await rooms.act(who, "archive", agent, "1.0.1")).status == AgentVersion.ARCHIVED
    assert (await rooms.resolve(who.organization_id, agent)).version.version == "1.0.0"


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize(
    ("version", "reason", "code", "field"),
    [
        ("", "", "INVALID_ARGUMENT", "version"),
        ("1.0", "", "VERSION_NOT_FOUND", None),
        ("latest", "", "VERSION_NOT_FOUND", None),
        ("9.9.9", "", "VERSION_NOT_FOUND", None),
        ("1.0.0\0", "", "VERSION_NOT_FOUND", None),
        ("9" * 5_000, "", "VERSION_NOT_FOUND", None),
        ("draft", "", "INVALID_TRANSITION", None),
        ("1.0.1", "", "INVALID_TRANSITION", None),
        ("1.0.0", "x" * 1_001, "INVALID_ARGUMENT", "reason"),
        ("1.0.0", "\0", "INVALID_ARGUMENT", "reason"),
    ],
)
async def test_bad_input_is_refused_and_changes_nothing(
    rooms: Rooms, action: str, version: str, reason: str, code: str, field: str | None
) -> None:
    who = member()
    agent = await rooms.released(who, "one")
    await rooms.edit(who, agent, instructions="two")
    with pytest.raises(RetinueError) as refused:
        await rooms.act(who, action, agent, version, reason)
    assert refused.value.code == code
    assert [problem.field for problem in refused.value.problems] == ([field] if field else [])
    assert refused.value.actions or field
    assert await rooms.history(who, agent) == [("PUBLISHED", "1.0.0", "")]


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("agent_id", ["", "nonsense", "\0", "0199a1b0-0000-7000-8000-000000000001"])
async def test_an_agent_that_is_not_there(rooms: Rooms, action: str, agent_id: str) -> None:
    with pytest.raises(RetinueError) as refused:
        await rooms.act(member(), action, agent_id, "1.0.0")
    assert refused.value.code == ("AGENT_NOT_FOUND" if agent_id else "INVALID_ARGUMENT")


async def test_what_was_retired_comes_back_by_a_new_draft_only(rooms: Rooms) -> None:
    who = member()
    agent = await rooms.released(who, "one", "two")
    await rooms.act(who, "deprecate", agent, "1.0.0")
    for retire in ("", "archive"):
        if retire:
            await rooms.act(who, retire, agent, "1.0.0")
        for action in ("rollback",) if not retire else ("rollback", "deprecate"):
            with pytest.raises(RetinueError) as refused:
                await rooms.act(who, action, agent, "1.0.0")
            assert (refused.value.code, refused.value.kind) == ("INVALID_TRANSITION", Kind.FAILED_PRECONDITION)
            assert "new draft" in refused.value.actions[0]
    await rooms.versions.call(who, "CreateVersion", agent_id=agent, **{"from": "1.0.0"})
    again = await rooms.publish(who, agent)
    assert (again.version, again.spec.instructions, again.current) == ("1.1.0", "one", True)


async def test_of_many_roll_backs_at_once_each_is_recorded_and_all_agree(rooms: Rooms) -> None:
    who = member()
    agent = await rooms.released(who, "one", "two", "three")
    targets = [f"1.0.{at % 3}" for at in range(12)]
    results = await together(*(rooms.act(who, "rollback", agent, target) for target in targets))
    assert all(result.current and result.version == target for result, target in zip(results, targets, strict=True))
    await agreed(rooms, who, agent)


async def test_of_a_roll_back_and_a_publish_at_once_the_last_one_is_current(rooms: Rooms) -> None:
    who = member()
    agent = await rooms.released(who, "one", "two")
    for at in range(4):
        await rooms.edit(who, agent, instructions=f"edit {at}")
        results = await together(rooms.publish(who, agent), rooms.act(who, "rollback", agent, "1.0.0"))
        assert not any(isinstance(result, BaseException) for result in results)
        await agreed(rooms, who, agent)
    assert len(await rooms.listed(who, agent)) == 6


async def test_of_an_archive_and_a_roll_back_at_once_one_wins(rooms: Rooms) -> None:
    who = member()
    texts = [f"{at}" for at in range(8)]
    agent = await rooms.released(who, *texts)
    for at in range(7):
        number = f"1.0.{at}"
        archived, back = await together(
            rooms.act(who, "archive", agent, number), rooms.act(who, "rollback", agent, number)
        )
        lost = [result for result in (archived, back) if isinstance(result, RetinueError)]
        assert [error.code for error in lost] == [
            "VERSION_IN_USE" if isinstance(archived, RetinueError) else "INVALID_TRANSITION"
        ]
        current = await agreed(rooms, who, agent)
        assert (current == number) == isinstance(archived, RetinueError)
        await rooms.act(who, "rollback", agent, "1.0.7")


async def test_a_roll_back_that_was_cut_off_is_told_later(rooms: Rooms) -> None:
    who = member()
    agent = await rooms.released(who, "one", "two")
    await cut_off_rollback(rooms, who, agent, "1.0.0")
    assert (await rooms.get(who, agent)).current_version == "1.0.1"
    assert (await rooms.resolve(who.organization_id, agent)).version.version == "1.0.0"
    assert await Sweep(rooms.store, rooms.client, 0).once() == 1
    assert (await rooms.get(who, agent)).current_version == "1.0.0"
    assert await Sweep(rooms.store, rooms.client, 0).once() == 0


async def test_nobody_tells_while_another_does(rooms: Rooms) -> None:
    who = member()
    agent = await rooms.released(who, "one", "two")
    await cut_off_rollback(rooms, who, agent, "1.0.0")
    taken = await rooms.store.take_untold(who.organization_id, agent, 60)
    assert taken is not None
    assert taken.current_must_be_told
    assert await rooms.store.take_untold(who.organization_id, agent, 60) is None
    assert await Sweep(rooms.store, rooms.client, 60).once() == 0
    await cut_off_rollback(rooms, who, agent, "1.0.1")
    await rooms.store.told(taken)
    assert await Sweep(rooms.store, rooms.client, 60).once() == 1
    assert (await rooms.get(who, agent)).current_version == "1.0.1"


async def test_a_key_answers_a_roll_back_once(rooms: Rooms) -> None:
    who = member()
    agent = await rooms.released(who, "one", "two")
    wish: dict[str, Any] = {"agent_id": agent, "version": "1.0.0"}
    first = await rooms.versions.call(who, "RollbackAgent", key="k", **wish)
    await rooms.act(who, "rollback", agent, "1.0.1")
    assert await rooms.versions.call(who, "RollbackAgent", key="k", **wish) == first
    assert (await rooms.resolve(who.organization_id, agent)).version.version == "1.0.1"


async def test_pages_of_history_have_no_gap_and_no_repeat(rooms: Rooms) -> None:
    who = member()
    agent = await rooms.released(who, "one", "two")
    for at in range(5):
        await rooms.act(who, "rollback", agent, f"1.0.{at % 2}")
    whole = (await rooms.versions.call(who, "ListVersionEvents", agent_id=agent)).events
    assert len(whole) == 7
    for size in (1, 3, 7):
        seen: list[VersionEvent] = []
        token = ""
        while True:
            page = await rooms.versions.call(who, "ListVersionEvents", agent_id=agent, page_size=size, page_token=token)
            assert len(page.events) <= size
            seen += page.events
            token = page.next_page_token
            if not token:
                break
        assert seen == [*whole]
    versions = await rooms.versions.call(who, "ListVersions", agent_id=agent, page_size=1)
    for wrong in ("x", versions.next_page_token):
        with pytest.raises(RetinueError) as refused:
            await rooms.versions.call(who, "ListVersionEvents", agent_id=agent, page_token=wrong)
        assert refused.value.code == "INVALID_PAGE_TOKEN"


async def test_an_administrator_acts_for_the_owner_and_is_named(rooms: Rooms) -> None:
    owner = member()
    agent = await rooms.released(owner, "one", "two")
    administrator = colleague(owner, admin=True)
    await rooms.act(administrator, "rollback", agent, "1.0.0")
    events = (await rooms.versions.call(owner, "ListVersionEvents", agent_id=agent)).events
    assert events[0].created_by == administrator.subject


async def agreed(rooms: Rooms, who: Identity, agent: str) -> str:
    """The current version, after what is left untold was told: resolution, list, history and agent must agree."""
    await Sweep(rooms.store, rooms.client, 0).once()
    current = (await rooms.resolve(who.organization_id, agent)).version.version
    assert [version.version for version in await rooms.listed(who, agent) if version.current] == [current]
    assert (await rooms.get(who, agent)).current_version == current
    before = ""
    for kind, version, previous in await rooms.history(who, agent, page_size=1_000):
        assert previous == before
        before = version if kind in ("PUBLISHED", "ROLLED_BACK") else before
    assert before == current
    return current


async def cut_off_rollback(rooms: Rooms, who: Identity, agent: str, number: str) -> None:
    """Roll back as the service does, and stop where a crash would: after the commit, before the agent room is told."""
    head = await rooms.client.get(who.organization_id, agent)
    done = Action(number, who.subject, "", datetime.now(UTC))
    await rooms.store.change(
        who.organization_id, agent, Sought(number), lambda found: rolled_back(done, head.draft_version, found)
    )
