"""Errors survive the wire both ways, and what is not of this suite leaves nothing of its text."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import code_pb2, error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from retinue_core import errors
from retinue_core.errors import Kind, Problem, RetinueError
from retinue_core.rpc.errors import CODES, DETAILS_KEY, from_rpc_error, from_status, to_status

TRAILERS = 8_192
"""Bytes of trailing metadata that gRPC always lets through."""

SECRET = "postgresql://retinue:hunter2@10.0.0.5/retinue"

TEXTS = st.text(st.characters(), max_size=2_000)
ERRORS = st.builds(
    RetinueError,
    st.sampled_from(Kind),
    TEXTS,
    TEXTS,
    problems=st.lists(st.builds(Problem, TEXTS, TEXTS), max_size=8).map(tuple),
    details=st.dictionaries(TEXTS, TEXTS, max_size=5),
    actions=st.lists(TEXTS, max_size=5).map(tuple),
    retry_after=st.none() | st.floats(),
)


class Failed(grpc.RpcError):
    """A failed call as gRPC raises it."""

    def __init__(self, code: grpc.StatusCode, *trailing: tuple[str, bytes]) -> None:
        super().__init__(SECRET)
        self._code = code
        self._trailing = trailing

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return SECRET

    def trailing_metadata(self) -> Any:
        return self._trailing


def facts(error: RetinueError) -> tuple[Any, ...]:
    shown = (error.kind, error.code, error.message, error.problems, error.details, error.actions, error.retry_after)
    return tuple(shown)


def arrived(error: RetinueError) -> RetinueError:
    """The error behind one hop."""
    data = to_status(error).SerializeToString()
    return from_rpc_error(Failed(CODES[error.kind], (DETAILS_KEY, data)))


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_travels_with_all_it_says(kind: Kind) -> None:
    error = RetinueError(
        kind,
        "AGENT_NOT_FOUND",
        "There is no such agent: ничего.",
        problems=(Problem("tools[1]", "is not a tool"), Problem("", "")),
        details={"agentId": "42", "": ""},
        actions=("Check the id.", "Ask."),
        retry_after=1.5,
    )
    assert facts(arrived(error)) == facts(error)
    assert facts(arrived(arrived(error))) == facts(error)
    assert facts(arrived(RetinueError(kind, "X", ""))) == facts(RetinueError(kind, "X", ""))


@pytest.mark.parametrize("kind", Kind)
def test_a_kind_is_what_google_says_it_is(kind: Kind) -> None:
    assert code_pb2.Code.Value(kind.name) == kind.number
    assert CODES[kind].name == kind.name
    assert CODES[kind].value[0] == kind.number


def beside(message: str) -> int:
    return sum(1 if 0x20 <= byte < 0x7F else 3 for byte in message.encode())


@given(ERRORS)
def test_any_error_fits_into_trailing_metadata_and_arrives(error: RetinueError) -> None:
    status = to_status(error)
    assert status.ByteSize() + beside(status.message) < TRAILERS - 512
    found = arrived(error)
    assert found.kind is error.kind
    assert found.message == status.message


@pytest.mark.parametrize("count", [0, 1, 50, 5_000])
def test_problems_that_do_not_fit_are_counted(count: int) -> None:
    problems = tuple(
        Problem(f"input.items[{index}].name", "is required and must not be empty") for index in range(count)
    )
    found = arrived(errors.invalid("Wrong.", *problems))
    kept = len(found.problems)
    assert found.problems == problems[:kept]
    assert int(found.details.get("problemsLeftOut", 0)) == count - kept
    assert (kept == count) == (count <= 50)
    assert kept or not count


def test_a_text_that_does_not_fit_is_cut_between_characters() -> None:
    found = arrived(errors.invalid("ä" * 100_000, Problem("input", "ß" * 100_000)))
    assert found.message.lstrip("ä") == "…"
    assert found.problems[0].field == "input"
    assert found.problems[0].message.lstrip("ß") == "…"


def test_what_cannot_be_encoded_is_replaced() -> None:
    found = arrived(
        RetinueError(Kind.INTERNAL, "X\ud800", "a\ud800b", details={"\ud800": "\udfff"}, actions=("\ud800",))
    )
    assert (found.message, found.details, found.actions) == ("a?b", {"?": "?"}, ("?",))


@pytest.mark.parametrize(("asked", "told"), [(-1.0, 0.0), (float("nan"), 0.0), (float("inf"), 86_400.0), (0.25, 0.25)])
def test_a_wait_is_one_that_can_be_waited(asked: float, told: float) -> None:
    assert arrived(errors.unavailable("Away.", retry_after=asked)).retry_after == told


def packed(message: Any) -> AnyMessage:
    found = AnyMessage()
    found.Pack(message)
    return found


FOREIGN: list[tuple[tuple[str, bytes], ...]] = [
    (),
    ((DETAILS_KEY, b"\xff\xff"),),
    (("other-bin", b"x"),),
    ((DETAILS_KEY, status_pb2.Status(code=13, message=SECRET).SerializeToString()),),
    (
        (
            DETAILS_KEY,
            status_pb2.Status(
                code=13,
                message=SECRET,
                details=[
                    packed(error_details_pb2.ErrorInfo(reason=SECRET, domain="postgresql.example")),
                    packed(error_details_pb2.DebugInfo(detail=SECRET)),
                    packed(error_details_pb2.BadRequest()),
                ],
            ).SerializeToString(),
        ),
    ),
    (
        (
            DETAILS_KEY,
            status_pb2.Status(
                code=13,
                message=SECRET,
                details=[AnyMessage(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff\xff")],
            ).SerializeToString(),
        ),
    ),
]


@pytest.mark.parametrize("trailing", FOREIGN, ids=["none", "garbled", "other", "bare", "domain", "detail"])
@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_a_foreign_error_keeps_its_kind_and_nothing_of_its_text(
    code: grpc.StatusCode, trailing: tuple[tuple[str, bytes], ...]
) -> None:
    found = from_rpc_error(Failed(code, *trailing))
    assert "hunter2" not in repr(facts(found))
    assert found.code == found.kind.name
    assert found.__cause__ is None
    if not any(b"hunter2" in value for _, value in trailing):
        assert found.kind.name == code.name


def test_an_error_without_a_code_is_unknown() -> None:
    assert from_rpc_error(grpc.RpcError(SECRET)).kind is Kind.UNKNOWN
    assert from_status(status_pb2.Status(code=99, message=SECRET)).kind is Kind.UNKNOWN


MADE: list[tuple[RetinueError, Kind, str, int]] = [
    (errors.invalid("m"), Kind.INVALID_ARGUMENT, "INVALID_ARGUMENT", 400),
    (errors.unauthenticated("m"), Kind.UNAUTHENTICATED, "UNAUTHENTICATED", 401),
    (errors.denied("m"), Kind.PERMISSION_DENIED, "INSUFFICIENT_PERMISSIONS", 403),
    (errors.not_found("agent", "42"), Kind.NOT_FOUND, "AGENT_NOT_FOUND", 404),
    (errors.exists("DUPLICATE_AGENT_NAME", "m"), Kind.ALREADY_EXISTS, "DUPLICATE_AGENT_NAME", 409),
    (errors.conflict("VERSION_CONFLICT", "m"), Kind.ABORTED, "VERSION_CONFLICT", 409),
    (errors.precondition("AGENT_INACTIVE", "m"), Kind.FAILED_PRECONDITION, "AGENT_INACTIVE", 400),
    (errors.exhausted("RESOURCE_EXHAUSTED", "m"), Kind.RESOURCE_EXHAUSTED, "RESOURCE_EXHAUSTED", 429),
    (errors.unavailable("m"), Kind.UNAVAILABLE, "UNAVAILABLE", 503),
    (errors.deadline("m"), Kind.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", 504),
    (errors.internal(), Kind.INTERNAL, "INTERNAL", 500),
]


@pytest.mark.parametrize(("error", "kind", "code", "http"), MADE, ids=[code for *_, code, _ in MADE])
def test_an_error_is_made_by_name(error: RetinueError, kind: Kind, code: str, http: int) -> None:
    assert (error.kind, error.code, error.kind.http_status) == (kind, code, http)


def test_what_is_not_found_is_named() -> None:
    error = errors.not_found("service account", "42")
    assert (error.code, error.details) == ("SERVICE_ACCOUNT_NOT_FOUND", {"serviceAccountId": "42"})
    assert "42" in error.message
    assert "service account" in error.actions[0]
