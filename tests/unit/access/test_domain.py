"""What a role may, what an identity carries, and which scopes there are."""

from __future__ import annotations

import importlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.descriptor import FileDescriptor

from retinue.common.v1 import options_pb2
from retinue_core.errors import RetinueError
from retinue_core.identity import Identity
from services.access import domain
from services.access.domain import Token, User

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
USER = User("u", "o", "ada@example.com", "Ada", "PERSON", "MEMBER", NOW)
TOKEN = Token("t", "o", "u", "laptop", (), "rtn_abcdef", None, NOW)
ROOMS = ("access", "agent", "execution", "quota", "version")


def services_of(room: str) -> FileDescriptor:
    found: FileDescriptor = importlib.import_module(f"retinue.{room}.v1.{room}_service_pb2").DESCRIPTOR
    return found


def test_every_scope_that_an_rpc_needs_exists() -> None:
    wanted = {
        method.GetOptions().Extensions[options_pb2.access].scope
        for room in ROOMS
        for service in services_of(room).services_by_name.values()
        for method in service.methods
    }
    assert wanted - {""} <= domain.SCOPES


def test_a_viewer_only_reads() -> None:
    assert all(scope.endswith(":read") for scope in domain.VIEWER_SCOPES)


def test_no_role_carries_the_platform() -> None:
    assert all(domain.OPERATOR not in scopes for scopes in domain.ROLES.values())


def test_a_token_loses_what_its_user_loses() -> None:
    token = replace(TOKEN, scopes=("agents:write", "agents:read"))
    viewer = replace(USER, role="VIEWER")
    assert domain.identity_of(viewer, token).scopes == {"agents:read"}


@pytest.mark.parametrize(
    ("left", "seconds"),
    [(None, 300), (timedelta(hours=1), 300), (timedelta(seconds=42.9), 42), (timedelta(milliseconds=1), 5)],
)
def test_an_identity_ends_with_its_token_but_outlives_a_call_under_way(left: timedelta | None, seconds: int) -> None:
    token = replace(TOKEN, expires_at=NOW + left if left else None)
    assert domain.identity_seconds(token, NOW) == seconds


def test_that_a_token_was_revoked_counts_more_than_that_it_expired() -> None:
    token = replace(TOKEN, expires_at=NOW, revoked_at=NOW)
    with pytest.raises(RetinueError) as caught:
        domain.check_alive(token, NOW)
    assert caught.value.code == "TOKEN_REVOKED"


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        ("rtn_" + "aZ0-_" * 8 + "abc", True),
        ("rtn_" + "a" * 42, False),
        ("rtn_" + "a" * 44, False),
        ("rtn_" + "a" * 42 + "\n", False),
        ("rtn_" + "a" * 42 + "+", False),
        ("abc_" + "a" * 43, False),
    ],
)
def test_the_form_of_a_secret(text: str, sound: bool) -> None:
    assert domain.is_secret(text) is sound


@pytest.mark.parametrize(
    ("one", "other"), [("Ada@Example.com", "ada@example.COM"), ("straße@x.de", "STRASSE@x.de"), ("\ufb01@x", "fi@x")]
)
def test_addresses_are_compared_without_case(one: str, other: str) -> None:
    assert domain.email_key(one) == domain.email_key(other)


def test_only_an_operator_reaches_beyond_the_own_organisation() -> None:
    member, operator = Identity("o", "u", admin=True), Identity("o", "u", scopes=frozenset({domain.OPERATOR}))
    assert (domain.home_of(member, ""), domain.home_of(member, "o")) == ("o", "o")
    assert domain.home_of(operator, "p") == "p"
    with pytest.raises(RetinueError):
        domain.home_of(member, "p")
