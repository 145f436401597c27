"""Who may call an RPC and what it needs is what its proto says; what a proto does not say is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.struct_pb2 import NULL_VALUE, Value

from retinue_core.errors import Kind
from retinue_core.identity import Identity
from retinue_core.rpc import rules
from tests.fakes.core.probe import message, path

NOBODY = None
SOMEBODY = Identity("org", "ada")
READER = Identity("org", "ada", scopes=frozenset({"probe:read"}))
ADMIN = Identity("org", "root", admin=True)
OPERATOR = Identity("org", "root", scopes=frozenset({"platform:admin"}))
EXECUTION = Identity("org", "execution", kind="service")
QUOTA = Identity("", "quota", kind="service")
WORKER = Identity("org", "worker", kind="service")
IMPOSTOR = Identity("org", "execution", scopes=frozenset({"execution"}), admin=True)
EVERYBODY = (NOBODY, SOMEBODY, READER, ADMIN, OPERATOR, EXECUTION, QUOTA, WORKER, IMPOSTOR)

ALLOWED: dict[str, tuple[Identity | None, ...]] = {
    "Read": (READER, ADMIN, EXECUTION, QUOTA, IMPOSTOR),
    "Write": (ADMIN, EXECUTION, QUOTA, IMPOSTOR),
    "Operate": (OPERATOR,),
    "Inside": (EXECUTION, QUOTA),
    "Open": EVERYBODY,
    "Known": EVERYBODY[1:],
    "Forgotten": (),
    "Closed": (),
    "Unknown": (),
}


@pytest.mark.parametrize("method", ALLOWED)
def test_a_call_is_let_in_by_its_rule_and_nothing_else(method: str) -> None:
    check = rules.access_check(path(method))
    assert [who for who in EVERYBODY if check(who) is None] == [who for who in EVERYBODY if who in ALLOWED[method]]


@pytest.mark.parametrize("method", [method for method in ALLOWED if method != "Open"])
def test_nobody_is_told_to_say_who_they_are_and_somebody_that_they_may_not(method: str) -> None:
    check = rules.access_check(path(method))
    refusals = {who: check(who) for who in EVERYBODY}
    for who, refusal in refusals.items():
        if refusal is not None:
            assert refusal.kind is (Kind.UNAUTHENTICATED if who is NOBODY else Kind.PERMISSION_DENIED)


def test_a_refusal_names_the_scope_that_is_missing() -> None:
    refusal = rules.access_check(path("Read"))(SOMEBODY)
    assert refusal is not None
    assert refusal.code == "INSUFFICIENT_PERMISSIONS"
    assert "probe:read" in refusal.message


def part(**fields: Any) -> Any:
    return type(message("Demanding").part)(**fields)


def complete(**fields: Any) -> Any:
    found = {
        "name": "n",
        "part": part(display_name="p"),
        "tags": ["t"],
        "count": 0,
        "size": 1,
        "value": Value(null_value=NULL_VALUE),
    }
    return message("Demanding", **(found | fields))


def missing(request: Any) -> list[str]:
    return [problem.field for problem in rules.missing_fields(request)]


def test_a_complete_request_lacks_nothing() -> None:
    assert missing(complete()) == []
    assert missing(message("Request")) == []


def test_an_empty_request_lacks_every_required_field() -> None:
    assert missing(message("Demanding")) == ["name", "part", "tags", "count", "size", "value"]


LACKING: list[tuple[dict[str, Any], list[str]]] = [
    ({"name": ""}, ["name"]),
    ({"part": part()}, ["part.displayName"]),
    ({"maybe": part()}, ["maybe.displayName"]),
    (
        {"more_parts": [part(display_name="a"), part(), part()]},
        ["moreParts[1].displayName", "moreParts[2].displayName"],
    ),
    (
        {"part": part(display_name="a", parts=[part(parts=[part()])])},
        ["part.parts[0].displayName", "part.parts[0].parts[0].displayName"],
    ),
    ({"size": 0}, ["size"]),
    ({"value": None}, ["value"]),
    ({"by_name": {"a": part()}}, []),
    ({"count": 5}, []),
]


@pytest.mark.parametrize(("fields", "lacks"), LACKING)
def test_what_a_request_lacks_is_named_by_its_path(fields: dict[str, Any], lacks: list[str]) -> None:
    assert missing(complete(**fields)) == lacks


def test_problems_are_bounded_however_large_the_request_is(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Any] = []
    inner = rules._missing

    def counting(request: Any, at: str) -> Iterator[Any]:
        looked.append(at)
        return inner(request, at)

    monkeypatch.setattr(rules, "_missing", counting)
    request = complete(more_parts=[part()] * 100_000)
    assert len(missing(request)) == 100
    assert len(looked) < 200
