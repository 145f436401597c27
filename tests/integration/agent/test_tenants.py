"""Who may call what: every RPC of the room against every kind of caller that must not get through."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import psycopg
import pytest

from retinue.agent.v1 import agent_service_pb2
from retinue.common.v1 import options_pb2
from retinue_core.db.database import connection_arguments
from retinue_core.errors import RetinueError
from retinue_core.identity import Identity
from tests.integration.agent.room import Room, colleague, echo, member

METHODS = agent_service_pb2.DESCRIPTOR.services_by_name["AgentService"].methods_by_name
ON_ONE_AGENT = ("GetAgent", "UpdateAgent", "DeleteAgent")
INTERNAL = tuple(
    name for name, method in METHODS.items() if method.GetOptions().Extensions[options_pb2.access].internal
)


def request(method: str, organization_id: str = "", agent_id: str = "x") -> dict[str, Any]:
    """A request that would be fine if the right one made it."""
    one = {"agent_id": agent_id}
    internal = {**one, "organization_id": organization_id or "x", "version": "1.0.0"}
    known: dict[str, dict[str, Any]] = {
        "CreateAgent": {"agent": echo()},
        "GetAgent": one,
        "ListAgents": {},
        "UpdateAgent": {**one, "agent": {"description": "stolen"}},
        "DeleteAgent": one,
        "ValidateAgent": {"agent": echo()},
        "RecordPublished": internal,
        "OpenDraft": {**internal, "spec": {"model": "scripted"}},
    }
    return known[method]


async def refusal(agents: Room, who: Identity | None, method: str, **fields: Any) -> str:
    with pytest.raises(RetinueError) as refused:
        await agents.call(who, method, **fields)
    return refused.value.code


@pytest.mark.parametrize("method", METHODS)
async def test_without_an_identity_nothing_is_answered(agents: Room, method: str) -> None:
    assert await refusal(agents, None, method, **request(method)) == "UNAUTHENTICATED"


@pytest.mark.parametrize("method", METHODS)
async def test_without_the_scope_nothing_is_answered(agents: Room, method: str) -> None:
    for scopes in (frozenset[str](), frozenset({"executions:run", "platform:admin"})):
        who = member(scopes=scopes)
        assert await refusal(agents, who, method, **request(method)) == "INSUFFICIENT_PERMISSIONS"


@pytest.mark.parametrize("method", ["CreateAgent", "UpdateAgent", "DeleteAgent"])
async def test_who_may_only_read_changes_nothing(agents: Room, method: str) -> None:
    reader = member(scopes=frozenset({"agents:read"}))
    assert await refusal(agents, reader, method, **request(method)) == "INSUFFICIENT_PERMISSIONS"


@pytest.mark.parametrize("method", INTERNAL)
async def test_what_is_for_version_only_is_refused_to_everybody_else(agents: Room, method: str) -> None:
    organization = member().organization_id
    others = [member(organization, admin=True)]
    others += [Identity(organization, room, kind="service") for room in ("worker", "gateway", "execution", "agent")]
    for who in others:
        assert await refusal(agents, who, method, **request(method, organization)) == "INSUFFICIENT_PERMISSIONS"


async def test_a_service_that_signs_as_another_is_nobody(agents: Room) -> None:
    who = Identity(member().organization_id, "worker", kind="service")
    forged = replace(who, subject="version")
    token = agents.keys.signer("worker").sign(forged, 60)
    assert await refusal_of_token(agents, token) == "UNAUTHENTICATED"
    person = member(admin=True)
    assert await refusal_of_token(agents, agents.keys.signer("worker").sign(person, 60)) == "UNAUTHENTICATED"


async def refusal_of_token(agents: Room, token: str) -> str:
    with pytest.raises(RetinueError) as refused:
        await agents.call_with(token, "ListAgents")
    return refused.value.code


@pytest.mark.parametrize("method", ON_ONE_AGENT)
@pytest.mark.parametrize("visibility", ["PRIVATE", "TEAM", "ORGANIZATION"])
async def test_an_agent_of_another_organisation_does_not_exist(agents: Room, method: str, visibility: str) -> None:
    owner = member()
    kept = (await agents.call(owner, "CreateAgent", agent=echo(visibility=visibility))).agent
    stranger = member(admin=True)
    not_there = await refusal(agents, stranger, method, **request(method))
    assert (
        await refusal(agents, stranger, method, **request(method, agent_id=kept.id)) == not_there == "AGENT_NOT_FOUND"
    )
    assert (await agents.call(owner, "GetAgent", agent_id=kept.id)).agent == kept


@pytest.mark.parametrize("method", ON_ONE_AGENT)
async def test_a_private_agent_of_a_colleague_does_not_exist(agents: Room, method: str) -> None:
    owner = member()
    kept = (await agents.call(owner, "CreateAgent", agent=echo())).agent
    assert await refusal(agents, colleague(owner), method, **request(method, agent_id=kept.id)) == "AGENT_NOT_FOUND"


async def test_a_shared_agent_is_read_by_colleagues_and_changed_by_its_owner_and_administrators(agents: Room) -> None:
    owner = member()
    kept = (await agents.call(owner, "CreateAgent", agent=echo(visibility="ORGANIZATION"))).agent
    other = colleague(owner)
    assert (await agents.call(other, "GetAgent", agent_id=kept.id)).agent == kept
    for method in ("UpdateAgent", "DeleteAgent"):
        assert await refusal(agents, other, method, **request(method, agent_id=kept.id)) == "INSUFFICIENT_PERMISSIONS"
    administrator = colleague(owner, admin=True)
    changed = await agents.call(administrator, "UpdateAgent", agent_id=kept.id, agent={"description": "theirs"})
    assert (changed.agent.description, changed.agent.created_by) == ("theirs", owner.subject)


async def test_a_public_agent_is_read_by_every_organisation_and_changed_by_its_own(agents: Room) -> None:
    owner = member()
    kept = (await agents.call(owner, "CreateAgent", agent=echo(visibility="PUBLIC"))).agent
    stranger = member(admin=True)
    assert (await agents.call(stranger, "GetAgent", agent_id=kept.id)).agent == kept
    for method in ("UpdateAgent", "DeleteAgent"):
        assert await refusal(agents, stranger, method, **request(method, agent_id=kept.id)) == "AGENT_NOT_FOUND"
    service = Identity(stranger.organization_id, "version", kind="service")
    for method in INTERNAL:
        named = request(method, stranger.organization_id, kept.id)
        assert await refusal(agents, service, method, **named) == "AGENT_NOT_FOUND"


async def test_the_same_name_in_another_organisation_is_no_conflict(agents: Room) -> None:
    for who in (member(), member()):
        assert (await agents.call(who, "CreateAgent", agent=echo(name="Secret project"))).agent.name


async def test_the_database_itself_keeps_organisations_apart(agents: Room, postgres_url: str) -> None:
    owner, stranger = member(), member()
    await agents.call(owner, "CreateAgent", agent=echo(tags=["x"]))
    with psycopg.connect(postgres_url, **connection_arguments(postgres_url, "agent")) as connection:
        for organization, seen in ((owner.organization_id, 1), (stranger.organization_id, 0), ("", 0)):
            connection.execute("select set_config('retinue.organization_id', %s, false)", [organization])
            for rows in ("agents where visibility <> 'PUBLIC'", "terms where kind = 'tag' and not public"):
                found = connection.execute(f"select count(*) as n from {rows}".encode()).fetchone()
                assert found == {"n": seen}
        connection.execute("select set_config('retinue.organization_id', %s, false)", [stranger.organization_id])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(
                "insert into terms select gen_random_uuid(), %s, 'tag', 'y', false", [owner.organization_id]
            )
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("drop table terms")
