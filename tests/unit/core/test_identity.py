"""An identity is believed when the one who may vouch for it signed it, and until it ends."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwk, jwt

from retinue_core import identity as module
from retinue_core.errors import Kind, RetinueError
from retinue_core.identity import Identity, Signer, Verifier, generate_key, key_set, may_change, may_see

ADA = Identity(
    "0190a000-0000-7000-8000-000000000001",
    "ada",
    scopes=frozenset({"agents:read", "agents:write"}),
    teams=("red", "blue"),
)
ORG = ADA.organization_id
NOW = 1_800_000_000.0
SERVICES = ("access", "agent", "version", "execution", "quota", "worker", "gateway")
KEYS = {name: generate_key() for name in SERVICES}
CLAIMS: dict[str, Any] = {
    "iss": "access",
    "sub": "ada",
    "org": ORG,
    "kind": "user",
    "scopes": [],
    "teams": [],
    "admin": False,
    "exp": NOW + 60,
}


class Now:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.seconds = NOW

    def __call__(self) -> float:
        return self.seconds


def signer(name: str, now: Callable[[], float] | None = None) -> Signer:
    return Signer(name, KEYS[name], now=now or Now())


def verifier(now: Callable[[], float] | None = None) -> Verifier:
    return Verifier(jwk.KeySet.import_key_set(json.loads(json.dumps(key_set(KEYS)))), now=now or Now())


def signed(key: str, header: dict[str, Any], **claims: Any) -> str:
    """A token as somebody with a service's key could make it."""
    return jwt.encode({"alg": "Ed25519", **header}, CLAIMS | claims, KEYS[key], algorithms=["Ed25519"])


def part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def refused(token: str, code: str = "UNAUTHENTICATED") -> None:
    with pytest.raises(RetinueError) as found:
        verifier().verify(token)
    assert (found.value.kind, found.value.code) == (Kind.UNAUTHENTICATED, code)


def test_an_identity_arrives_as_it_was_signed() -> None:
    for who in (ADA, Identity("", "robot", kind="service_account", admin=True)):
        assert verifier().verify(signer("access").sign(who, 60)) == who


def test_keys_are_read_from_files(keys: Path, jwks_path: Path) -> None:
    token = Signer.read("access", keys / "access.pem").sign(ADA, 60)
    assert Verifier.read(jwks_path).verify(token) == ADA


def test_the_public_document_holds_no_private_part() -> None:
    assert all("d" not in key for key in key_set(KEYS)["keys"])


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "access"])
def test_only_access_vouches_for_people(name: str) -> None:
    refused(signer(name).sign(ADA, 60))
    refused(signer(name).sign(Identity(ORG, "robot", kind="service_account"), 60))


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_vouches_for_itself_alone(name: str) -> None:
    assert verifier().verify(signer(name).own(ORG)) == Identity(ORG, name, kind="service")
    for other in SERVICES:
        if other != name:
            refused(signer(name).sign(Identity(ORG, other, kind="service"), 60))


@pytest.mark.parametrize(
    ("key", "header", "claims"),
    [
        ("worker", {"kid": "access"}, {}),
        ("worker", {"kid": "worker"}, {}),
        ("worker", {"kid": "worker"}, {"iss": "worker"}),
        ("access", {"kid": "access"}, {"iss": "worker"}),
        ("access", {}, {}),
        ("access", {"kid": "nobody"}, {"iss": "nobody"}),
        ("worker", {"kid": "worker"}, {"iss": "worker", "kind": "service", "sub": "execution"}),
        ("access", {"kid": "access"}, {"exp": None}),
        ("access", {"kid": "access"}, {"exp": 10**400}),
        ("access", {"kid": "access"}, {"exp": "soon"}),
        ("access", {"kid": "access"}, {"org": None}),
        ("access", {"kid": "access"}, {"sub": 5}),
        ("access", {"kid": "access"}, {"scopes": 5}),
        ("access", {"kid": "access"}, {"scopes": [["agents:read"]]}),
        ("access", {"kid": "access"}, {"teams": None}),
    ],
)
def test_a_token_with_swapped_or_strange_parts_is_refused(
    key: str, header: dict[str, Any], claims: dict[str, Any]
) -> None:
    refused(signed(key, header, **claims))


def test_only_true_makes_an_admin() -> None:
    claims: tuple[Any, ...] = ("false", "true", 1, None, [])
    for claimed in claims:
        assert not verifier().verify(signed("access", {"kid": "access"}, admin=claimed)).admin
    assert verifier().verify(signed("access", {"kid": "access"}, admin=True)).admin


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS256", "EdDSA", ["Ed25519"], None, {}])
def test_another_algorithm_is_refused(algorithm: Any) -> None:
    _, claims, signature = signed("access", {"kid": "access"}).split(".")
    header = part(json.dumps({"alg": algorithm, "kid": "access"}).encode())
    refused(f"{header}.{claims}.{signature}")
    refused(f"{header}.{claims}.")


def test_changed_claims_are_refused() -> None:
    header, _, signature = signed("access", {"kid": "access"}).split(".")
    claims = part(json.dumps(CLAIMS | {"admin": True}).encode())
    refused(f"{header}.{claims}.{signature}")


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "a.b.c", "é.é.é", "\ud800.a.b", "x" * 100_000, f"{part(b'[' * 5_000)}..x", f"{part(b'null')}..x"],
    ids=["empty", "dot", "dots", "letters", "latin", "surrogate", "long", "deep", "null"],
)
def test_what_is_no_token_is_refused(token: str) -> None:
    refused(token)


@given(
    st.text(st.characters())
    | st.lists(st.binary(max_size=60), min_size=3, max_size=3).map(lambda parts: ".".join(part(data) for data in parts))
)
def test_no_text_does_more_than_be_refused(token: str) -> None:
    refused(token)


@given(st.data())
def test_a_signature_covers_every_bit(data: st.DataObject) -> None:
    token = signed("access", {"kid": "access"})
    index = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from("ABCabc019-_."))
    forged = token[:index] + letter + token[index + 1 :]
    try:
        found = verifier().verify(forged)
    except RetinueError:
        return
    # The last letter of a part may have bits that say nothing.
    assert found == verifier().verify(token)


def test_an_identity_ends_by_the_clock_also_when_it_is_known() -> None:
    now = Now()
    checking = verifier(now)
    token = signer("access", now).sign(ADA, 60)
    now.seconds += 59
    assert checking.verify(token) == ADA
    assert checking.verify(token) == ADA
    now.seconds += 1
    for _ in range(2):
        with pytest.raises(RetinueError) as found:
            checking.verify(token)
        assert found.value.code == "IDENTITY_EXPIRED"
    with pytest.raises(RetinueError):
        verifier(now).verify(token)
    assert not checking._known


def test_a_service_signs_its_own_identity_anew_before_it_ends() -> None:
    now = Now()
    own = signer("execution", now)
    first, other = own.own(ORG), own.own()
    assert first != other
    now.seconds += 269
    assert own.own(ORG) == first
    now.seconds += 2
    second = own.own(ORG)
    assert second != first
    now.seconds += 60
    assert verifier(now).verify(second).organization_id == ORG


def test_nothing_that_is_remembered_grows_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CACHED", 3)
    checking, own = verifier(), signer("execution")
    for number in range(10):
        checking.verify(own.own(str(number)))
    assert len(checking._known) == len(own._own) == 3


def test_a_scope_is_had_or_implied() -> None:
    assert ADA.has("agents:read")
    assert not ADA.has("quotas:read")
    admin = Identity(ORG, "root", admin=True)
    assert admin.has("quotas:write")
    assert not admin.has("platform:admin")
    assert Identity(ORG, "root", scopes=frozenset({"platform:admin"})).has("platform:admin")


@pytest.mark.parametrize("name", ["worker", "gateway", "nobody"])
def test_no_worker_reaches_what_is_a_tenants(name: str) -> None:
    own = Identity(ORG, name, kind="service")
    assert not own.has("agents:read")
    assert not may_see(own, ORG, "ada", "PRIVATE")
    assert not may_change(own, ORG, "ada")


@pytest.mark.parametrize("name", ["access", "agent", "version", "execution", "quota"])
def test_a_trusted_service_acts_in_the_background(name: str) -> None:
    own = Identity(ORG, name, kind="service")
    assert own.has("agents:read")
    assert not own.has("platform:admin")
    assert may_see(own, ORG, "ada", "PRIVATE")
    assert may_change(own, ORG, "ada")


def test_a_person_called_like_a_service_is_none() -> None:
    assert not Identity(ORG, "execution").has("agents:read")


SEES: list[tuple[Identity, str, bool, bool]] = [
    (Identity(ORG, "ada"), "PRIVATE", True, True),
    (Identity(ORG, "bob"), "PRIVATE", False, False),
    (Identity(ORG, "bob"), "ORGANIZATION", True, False),
    (Identity(ORG, "bob"), "PUBLIC", True, False),
    (Identity(ORG, "bob", admin=True), "PRIVATE", True, True),
    (Identity("other", "ada"), "PRIVATE", False, False),
    (Identity("other", "ada", admin=True), "ORGANIZATION", False, False),
    (Identity("other", "ada", admin=True), "PUBLIC", True, False),
    (Identity("other", "execution", kind="service"), "PRIVATE", False, False),
]


@pytest.mark.parametrize(("who", "visibility", "sees", "changes"), SEES)
def test_who_sees_and_who_changes_an_agent(who: Identity, visibility: str, *, sees: bool, changes: bool) -> None:
    assert may_see(who, ORG, "ada", visibility) is sees
    assert may_change(who, ORG, "ada") is changes
