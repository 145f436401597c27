"""Who may call what: every RPC of the room against every kind of caller that must not get through."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from retinue.common.v1 import options_pb2
from retinue.version.v1 import version_service_pb2
from retinue_core.db.database import connection_arguments
from retinue_core.errors import RetinueError
from retinue_core.identity import Identity
from tests.integration.agent.room import colleague, member
from tests.integration.version.room import Rooms

METHODS = version_service_pb2.DESCRIPTOR.services_by_name["VersionService"].methods_by_name
INTERNAL = tuple(
    name for name, method in METHODS.items() if method.GetOptions().Extensions[options_pb2.access].internal
)
READS = ("ListVersions", "GetVersion", "CompareVersions", "ListVersionEvents")
WRITES = ("CreateVersion", "PublishVersion", "DeprecateVersion", "ArchiveVersion", "RollbackAgent")
NOWHERE = "0199a1b0-0000-7000-8000-000000000001"


def request(method: str, agent_id: str = NOWHERE) -> dict[str, Any]:
    """A request that would be fine if the right one made it."""
    one = {"agent_id": agent_id}
    known: dict[str, dict[str, Any]] = {
        "CreateVersion": one,
        "ListVersions": one,
        "GetVersion": {**one, "version": "1.0.0"},
        "PublishVersion": {**one, "version": "draft"},
        "DeprecateVersion": {**one, "version": "1.0.0"},
        "ArchiveVersion": {**one, "version": "1.0.0"},
        "RollbackAgent": {**one, "version": "1.0.0"},
        "CompareVersions": {**one, "from": "1.0.0", "to": "1.0.0"},
        "ListVersionEvents": one,
        "ResolveVersion": {**one, "organization_id": member().organization_id},
    }
    return known[method]


async def refusal(rooms: Rooms, who: Identity | None, method: str, **fields: Any) -> str:
    with pytest.raises(RetinueError) as refused:
        await rooms.versions.call(who, method, **fields)
    return refused.value.code


def test_every_rpc_is_in_the_matrix() -> None:
    assert set(METHODS) == {*READS, *WRITES, *INTERNAL}


@pytest.mark.parametrize("method", METHODS)
async def test_without_an_identity_nothing_is_answered(rooms: Rooms, method: str) -> None:
    assert await refusal(rooms, None, method, **request(method)) == "UNAUTHENTICATED"


@pytest.mark.parametrize("method", METHODS)
async def test_without_the_scope_nothing_is_answered(rooms: Rooms, method: str) -> None:
    who = member(scopes=frozenset({"executions:run"}))
    assert await refusal(rooms, who, method, **request(method)) == "INSUFFICIENT_PERMISSIONS"


@pytest.mark.parametrize("method", WRITES)
async def test_who_may_only_read_changes_nothing(rooms: Rooms, method: str) -> None:
    reader = member(scopes=frozenset({"agents:read"}))
    assert await refusal(rooms, reader, method, **request(method)) == "INSUFFICIENT_PERMISSIONS"


@pytest.mark.parametrize("method", INTERNAL)
async def test_what_is_for_execution_only_is_refused_to_everybody_else(rooms: Rooms, method: str) -> None:
    organization = member().organization_id
    others = [member(organization, admin=True)]
    others += [Identity(organization, room, kind="service") for room in ("worker", "gateway", "agent", "version")]
    for who in others:
        assert await refusal(rooms, who, method, **request(method)) == "INSUFFICIENT_PERMISSIONS"


@pytest.mark.parametrize("method", [*READS, *WRITES])
async def test_versions_of_what_one_may_not_see_do_not_exist(rooms: Rooms, method: str) -> None:
    owner = member()
    agent = await rooms.create(owner)
    await rooms.publish(owner, agent.id)
    for who in (member(admin=True), colleague(owner)):
        assert await refusal(rooms, who, method, **request(method)) == "AGENT_NOT_FOUND"
        assert await refusal(rooms, who, method, **request(method, agent.id)) == "AGENT_NOT_FOUND"
    await rooms.edit(owner, agent.id, visibility="ORGANIZATION")
    assert await refusal(rooms, member(admin=True), method, **request(method, agent.id)) == "AGENT_NOT_FOUND"


@pytest.mark.parametrize("method", WRITES)
async def test_who_may_see_an_agent_may_read_its_versions_and_make_none(rooms: Rooms, method: str) -> None:
    owner = member()
    agent = await rooms.create(owner, visibility="ORGANIZATION")
    published = await rooms.publish(owner, agent.id)
    other = colleague(owner)
    assert await rooms.listed(other, agent.id) == [published]
    assert await refusal(rooms, other, method, **request(method, agent.id)) == "INSUFFICIENT_PERMISSIONS"
    await rooms.edit(owner, agent.id, visibility="PUBLIC", instructions="next")
    stranger = member(admin=True)
    assert await rooms.version(stranger, agent.id, "1.0.0") == published
    assert await refusal(rooms, stranger, method, **request(method, agent.id)) == "INSUFFICIENT_PERMISSIONS"
    administrator = colleague(owner, admin=True)
    assert (await rooms.publish(administrator, agent.id)).created_by == administrator.subject


async def test_writing_needs_no_scope_but_that_of_writing(rooms: Rooms) -> None:
    writer = member(scopes=frozenset({"agents:write"}))
    agent = await rooms.create(writer)
    assert (await rooms.publish(writer, agent.id)).version == "1.0.0"


async def test_the_database_itself_keeps_organisations_apart(rooms: Rooms, postgres_url: str) -> None:
    owner, stranger = member(), member()
    agent = await rooms.create(owner)
    await rooms.publish(owner, agent.id)
    with psycopg.connect(postgres_url, **connection_arguments(postgres_url, "version")) as connection:
        for organization, seen in ((owner.organization_id, 1), (stranger.organization_id, 0), ("", 0)):
            connection.execute("select set_config('retinue.organization_id', %s, false)", [organization])
            for table in ("versions", "heads", "version_events"):
                found = connection.execute(f"select count(*) as n from {table}".encode()).fetchone()
                assert found == {"n": seen}
