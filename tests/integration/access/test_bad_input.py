"""Bad input gets its status, code, field path and a remedy; callers without the right get nothing."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from retinue.access.v1 import access_service_pb2 as pb
from retinue_core.errors import Kind, RetinueError
from retinue_core.identity import Identity
from tests.integration.access.room import SECRET, Access

ADA = {"email": "ada@example.com"}
NOBODY = "01990000-0000-7000-8000-000000000000"

BAD: list[tuple[str, dict[str, Any], str, list[str]]] = [
    ("Authenticate", {}, "INVALID_ARGUMENT", ["token"]),
    ("CreateOrganization", {}, "INVALID_ARGUMENT", ["organization"]),
    ("CreateOrganization", {"organization": {"name": ""}}, "INVALID_ARGUMENT", ["organization.name"]),
    ("CreateOrganization", {"organization": {"name": "  "}}, "INVALID_ARGUMENT", ["name"]),
    ("CreateOrganization", {"organization": {"name": "a" * 101, "plan": "gold"}}, "INVALID_ARGUMENT", ["name", "plan"]),
    ("CreateOrganization", {"organization": {"name": "a\0b"}}, "INVALID_ARGUMENT", ["name"]),
    ("GetOrganization", {}, "INVALID_ARGUMENT", ["organizationId"]),
    ("GetOrganization", {"organization_id": "a\0b"}, "ORGANIZATION_NOT_FOUND", []),
    ("CreateUser", {}, "INVALID_ARGUMENT", ["user"]),
    ("CreateUser", {"user": {"name": "Ada"}}, "INVALID_ARGUMENT", ["user.email"]),
    ("CreateUser", {"user": {"email": "ada"}}, "INVALID_ARGUMENT", ["email"]),
    ("CreateUser", {"user": {"email": "a b@c"}}, "INVALID_ARGUMENT", ["email"]),
    ("CreateUser", {"user": {"email": "ada\0@c"}}, "INVALID_ARGUMENT", ["email"]),
    ("CreateUser", {"user": {"email": "a" * 250 + "@c.de"}}, "INVALID_ARGUMENT", ["email"]),
    ("CreateUser", {"user": ADA | {"name": "\x1b[2J"}}, "INVALID_ARGUMENT", ["name"]),
    ("CreateUser", {"user": ADA | {"name": "a" * 101}}, "INVALID_ARGUMENT", ["name"]),
    ("CreateUser", {"user": ADA | {"role": 9, "kind": 9}}, "INVALID_ARGUMENT", ["kind", "role"]),
    ("ListUsers", {"page_size": -1}, "INVALID_ARGUMENT", ["pageSize"]),
    ("ListUsers", {"page_token": "x"}, "INVALID_PAGE_TOKEN", ["pageToken"]),
    ("CreateToken", {}, "INVALID_ARGUMENT", ["token"]),
    ("CreateToken", {"token": {"scopes": ["agents:read"]}}, "INVALID_ARGUMENT", ["token.name"]),
    ("CreateToken", {"token": {"name": "a" * 101}}, "INVALID_ARGUMENT", ["name"]),
    ("CreateToken", {"token": {"name": "a\nb", "scopes": ["x", "agents:read", "y"]}}, "INVALID_ARGUMENT",
     ["name", "scopes[0]", "scopes[2]"]),
    ("CreateToken", {"token": {"name": "a", "expires_at": Timestamp(seconds=1)}}, "INVALID_ARGUMENT", ["expiresAt"]),
    ("CreateToken", {"token": {"name": "a", "expires_at": Timestamp(seconds=10**12)}}, "INVALID_ARGUMENT",
     ["expiresAt"]),
    ("CreateToken", {"token": {"name": "a", "user_id": NOBODY}}, "USER_NOT_FOUND", []),
    ("CreateToken", {"token": {"name": "a", "user_id": "nonsense"}}, "USER_NOT_FOUND", []),
    ("ListTokens", {"page_size": -1}, "INVALID_ARGUMENT", ["pageSize"]),
    ("RevokeToken", {}, "INVALID_ARGUMENT", ["tokenId"]),
    ("RevokeToken", {"token_id": NOBODY}, "TOKEN_NOT_FOUND", []),
    ("RevokeToken", {"token_id": "a\0b"}, "TOKEN_NOT_FOUND", []),
]  # fmt: skip

RPCS: dict[str, tuple[dict[str, Any], str]] = {
    "GetCaller": ({}, ""),
    "CreateOrganization": ({"organization": {"name": "x"}}, "platform:admin"),
    "GetOrganization": ({"organization_id": NOBODY}, "organizations:read"),
    "CreateUser": ({"user": ADA}, "users:write"),
    "ListUsers": ({}, "users:read"),
    "CreateToken": ({"token": {"name": "x"}}, "tokens:write"),
    "ListTokens": ({}, "tokens:read"),
    "RevokeToken": ({"token_id": NOBODY}, "tokens:write"),
}
"""Every RPC that wants an identity, with a sound request and the scope it needs."""


@pytest.mark.parametrize(("method", "fields", "code", "paths"), BAD)
async def test_bad_input_is_named_field_by_field(
    access: Access, method: str, fields: dict[str, Any], code: str, paths: list[str]
) -> None:
    with pytest.raises(RetinueError) as caught:
        await access.call(SECRET, method, **fields)
    error = caught.value
    assert (error.code, [problem.field for problem in error.problems]) == (code, paths)
    assert error.kind is (Kind.NOT_FOUND if code.endswith("NOT_FOUND") else Kind.INVALID_ARGUMENT)
    assert error.actions or all(problem.message for problem in error.problems)


def test_the_matrix_holds_every_rpc() -> None:
    service = pb.DESCRIPTOR.services_by_name["AccessService"]
    assert {method.name for method in service.methods} == {*RPCS, "Authenticate"}


@pytest.mark.parametrize("method", RPCS)
async def test_without_an_identity_nothing_is_answered(access: Access, method: str) -> None:
    with pytest.raises(RetinueError) as caught:
        await access.call(None, method, **RPCS[method][0])
    assert caught.value.kind is Kind.UNAUTHENTICATED


@pytest.mark.parametrize("method", RPCS)
async def test_an_identity_that_nobody_signed_is_refused(access: Access, method: str) -> None:
    people = Identity(NOBODY, NOBODY, kind="user", admin=True)
    forged = access.keys.signer("worker").sign(people, 300)
    with pytest.raises(RetinueError) as caught:
        await access._call(forged, method, RPCS[method][0])
    assert caught.value.kind is Kind.UNAUTHENTICATED


@pytest.mark.parametrize("method", [method for method, (_, scope) in RPCS.items() if scope])
async def test_without_the_scope_nothing_is_answered(access: Access, method: str) -> None:
    with pytest.raises(RetinueError) as caught:
        await access.call(await access.somebody("ADMIN", "agents:read"), method, **RPCS[method][0])
    assert caught.value.kind is Kind.PERMISSION_DENIED
    assert RPCS[method][1] in caught.value.message


async def test_lists_hold_nothing_of_another_organisation(access: Access) -> None:
    mine = await access.somebody("ADMIN")
    theirs = await access.identity(await access.somebody("ADMIN"))
    users = (await access.call(mine, "ListUsers", page_size=1000)).users
    tokens = (await access.call(mine, "ListTokens", page_size=1000)).tokens
    assert theirs.organization_id not in {user.organization_id for user in users}
    assert theirs.subject not in {token.user_id for token in tokens}
