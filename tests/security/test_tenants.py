"""Every RPC against everybody who must not get through: generated from the descriptors, over gRPC, at the whole suite.

Somebody of another organisation learns nothing, not even that a thing exists: what is there and what is not are
refused alike, as not found.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from retinue_core.errors import RetinueError
from retinue_core.rpc.errors import from_rpc_error
from retinue_core.testing.suite import Suite
from tests.clients.agents import say, scripted
from tests.clients.people import People, people_of
from tests.clients.rest import Rest
from tests.security.rpcs import NAMING, Ids, Rpc, every_rpc, unknown_fields

RPCS = every_rpc()
CLOSED = [rpc for rpc in RPCS if rpc.kind != "anonymous"]
SCOPED = [rpc for rpc in RPCS if rpc.kind == "scope"]
INTERNAL = [rpc for rpc in RPCS if rpc.kind == "internal"]
OPEN_TO_PEOPLE = [rpc for rpc in RPCS if rpc.kind in ("scope", "authenticated")]
SCOPES = sorted({rpc.rule.scope for rpc in SCOPED})
GONE = dict.fromkeys(NAMING, "0199a1b0-0000-7000-8000-00000000dead")


@dataclass
class World:
    """Somebody's things, and the tokens of everybody who has no business with them."""

    ids: Ids
    owner: str
    stranger: str
    colleague: str
    revoked: str
    without: dict[str, str] = field(default_factory=dict)
    channels: dict[str, grpc.Channel] = field(default_factory=dict)

    def call(self, rpc: Rpc, token: str, ids: Ids) -> tuple[str, bytes]:
        """Call an RPC; returns its code (OK, or that of the refusal) and what it answered first."""
        channel = self.channels[rpc.room]
        arity = ("stream" if rpc.method.client_streaming else "unary") + "_"
        arity += "stream" if rpc.method.server_streaming else "unary"
        make = getattr(channel, arity)
        call = make(rpc.path, request_serializer=lambda message: message.SerializeToString())
        request = rpc.request(ids)
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        given = iter([request]) if rpc.method.client_streaming else request
        try:
            answer = call(given, timeout=60, metadata=metadata)
            return "OK", next(answer, b"") if rpc.method.server_streaming else answer
        except grpc.RpcError as error:
            return refusal(from_rpc_error(error)), b""


def refusal(error: RetinueError) -> str:
    return f"{error.kind.name} {error.code}"


async def things(owner: Rest, people: People) -> Ids:
    """An agent, an execution, a token and a user of an organisation."""
    agent = (await owner.post("/v1/agents", scripted(say("Hi."), visibility="PRIVATE")))["id"]
    await owner.post(f"/v1/agents/{agent}/versions/draft/publish")
    execution = (await owner.run(agent))["id"]
    token = await owner.post("/v1/tokens", {"name": "another"})
    user = (await people.join(owner.organization_id)).user_id
    ids = (owner.organization_id, user, agent, execution, token["token"]["id"])
    return dict(zip(NAMING, ids, strict=True))


async def make_world(suite: Suite) -> World:
    async with people_of(suite.url, suite.token) as people:
        owner, stranger = await people.founder(), await people.founder()
        colleague = await people.join(owner.organization_id)
        revoked = await people.operator.post("/v1/tokens", {"userId": owner.user_id, "name": "revoked"})
        await people.operator.call("DELETE", f"/v1/tokens/{revoked['token']['id']}")
        # The operator carries every scope, so that its token without one lacks only that one.
        without = {}
        for scope in SCOPES:
            others = [other for other in SCOPES if other != scope]
            created = await people.operator.post("/v1/tokens", {"name": "without", "scopes": others})
            without[scope] = created["secret"]
        ids = await things(owner, people)
        return World(ids, owner.token, stranger.token, colleague.token, revoked["secret"], without)


@pytest.fixture(scope="module")
def world(suite: Suite) -> Iterator[World]:
    """Give one organisation with its things, and everybody else."""
    made = asyncio.run(make_world(suite))
    made.channels = {room: grpc.insecure_channel(suite.address(room)) for room in {rpc.room for rpc in RPCS}}
    yield made
    for channel in made.channels.values():
        channel.close()


def each(rpcs: list[Rpc]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return pytest.mark.parametrize("rpc", rpcs, ids=str)


@each(RPCS)
def test_every_rpc_has_a_rule_and_a_request(rpc: Rpc) -> None:
    assert rpc.kind in ("scope", "internal", "anonymous", "authenticated")
    assert unknown_fields(rpc) == [], "say in tests/security/rpcs.py what these fields name"
    assert rpc.request(GONE).ByteSize() or not rpc.naming


def test_hardly_anything_is_open_to_everybody() -> None:
    assert [str(rpc) for rpc in RPCS if rpc.kind == "anonymous"] == ["AccessService.Authenticate"]


@each(CLOSED)
def test_without_a_token_nothing_is_answered(world: World, rpc: Rpc) -> None:
    assert world.call(rpc, "", world.ids)[0] == "UNAUTHENTICATED UNAUTHENTICATED"


@each(CLOSED)
def test_with_a_revoked_token_nothing_is_answered(world: World, rpc: Rpc) -> None:
    assert world.call(rpc, world.revoked, world.ids)[0] == "UNAUTHENTICATED TOKEN_REVOKED"


@each(SCOPED)
def test_without_the_scope_nothing_is_answered(world: World, rpc: Rpc) -> None:
    assert world.call(rpc, world.without[rpc.rule.scope], world.ids)[0] == "PERMISSION_DENIED INSUFFICIENT_PERMISSIONS"


@each(INTERNAL)
def test_what_services_call_is_refused_to_people(world: World, rpc: Rpc) -> None:
    for token in (world.owner, world.stranger):
        for ids in (world.ids, GONE):
            assert world.call(rpc, token, ids)[0] == "PERMISSION_DENIED INSUFFICIENT_PERMISSIONS"


@each(OPEN_TO_PEOPLE)
def test_to_another_organisation_nothing_is_there(world: World, rpc: Rpc) -> None:
    code, answer = world.call(rpc, world.stranger, world.ids)
    reveals(world, answer)
    if rpc.rule.scope.startswith("platform:"):
        assert code == "PERMISSION_DENIED INSUFFICIENT_PERMISSIONS"
    elif rpc.naming:
        assert code.startswith("NOT_FOUND")
        assert world.call(rpc, world.stranger, GONE)[0] == code
    else:
        assert code == "OK"


@each(OPEN_TO_PEOPLE)
def test_to_a_colleague_nothing_private_is_there(world: World, rpc: Rpc) -> None:
    code, answer = world.call(rpc, world.colleague, world.ids)
    private = {name: value for name, value in world.ids.items() if name not in ("organization_id", "user_id")}
    assert not any(value.encode() in answer for value in private.values())
    if set(rpc.naming) & private.keys():
        assert code.startswith("NOT_FOUND")
        assert world.call(rpc, world.colleague, GONE)[0] == code
    else:
        assert code in ("OK", "PERMISSION_DENIED INSUFFICIENT_PERMISSIONS")


def reveals(world: World, answer: bytes) -> None:
    for name, value in world.ids.items():
        assert value.encode() not in answer, f"the answer holds the {name} of another organisation"


@each(OPEN_TO_PEOPLE)
def test_to_the_owner_everything_is_there(suite: Suite, world: World, rpc: Rpc) -> None:
    """The requests of the tests above are fine but for who makes them."""

    async def fresh() -> tuple[str, Ids]:
        async with people_of(suite.url, suite.token) as people:
            owner = await people.founder()
            return owner.token, await things(owner, people)

    token, ids = asyncio.run(fresh())
    if rpc.rule.scope.startswith("platform:"):
        token = suite.token
    code = world.call(rpc, token, ids)[0]
    assert code == "OK" or code.split()[0] in ("FAILED_PRECONDITION", "ABORTED", "ALREADY_EXISTS"), code


def test_nothing_of_all_this_has_changed_anything(suite: Suite, world: World) -> None:
    async def look() -> None:
        async with people_of(suite.url, suite.token) as people:
            owner = people.bearer(world.owner)
            agent = await owner.get(f"/v1/agents/{world.ids['agent_id']}")
            assert (agent["visibility"], agent["currentVersion"], agent["draftVersion"]) == ("PRIVATE", "1.0.0", "")
            assert (await owner.execution(world.ids["execution_id"]))["status"] == "COMPLETED"
            tokens = {token["id"]: token for token in (await owner.get("/v1/tokens"))["tokens"]}
            assert "revokedAt" not in tokens[world.ids["token_id"]]
            assert len((await owner.get("/v1/executions"))["executions"]) == 1
            agents = (await owner.get("/v1/agents"))["agents"]
            assert [found["id"] for found in agents if found["createdBy"] == agent["createdBy"]] == [agent["id"]]

    asyncio.run(look())


def test_an_internal_header_of_a_client_means_nothing(world: World) -> None:
    """Whoever writes an identity into the metadata must have signed it."""
    rpc = next(rpc for rpc in RPCS if str(rpc) == "AgentService.ListAgents")
    call: Any = world.channels["agent"].unary_unary(
        rpc.path, request_serializer=lambda message: message.SerializeToString()
    )
    for forged in ("x", "a.b.c", str(uuid.uuid4())):
        with pytest.raises(grpc.RpcError) as refused:
            call(rpc.request(GONE), timeout=60, metadata=(("x-retinue-identity", forged),))
        assert from_rpc_error(refused.value).code == "UNAUTHENTICATED"
