"""The one map between the errors of the suite and `google.rpc.Status`, both ways.

Owns what an error looks like on the wire: `ErrorInfo` (reason = code, domain = `retinue`), `BadRequest`,
`RetryInfo` and `ErrorDetails`. It refuses to let a foreign error's text through: only its kind survives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from retinue.common.v1 import common_pb2
from retinue_core.errors import Kind, Problem, RetinueError

DOMAIN = "retinue"
DETAILS_KEY = "grpc-status-details-bin"
CODES: dict[Kind, grpc.StatusCode] = {kind: grpc.StatusCode[kind.name] for kind in Kind}
_KINDS: dict[grpc.StatusCode, Kind] = {code: kind for kind, code in CODES.items()}
_NUMBERS: dict[int, Kind] = {kind.number: kind for kind in Kind}
# gRPC drops, now and then, what comes with more than 8 KiB of trailing metadata. A rest is left for what others add.
_LIMIT = 7_400  # bytes of status and message, which travels in the status and once more beside it
_MESSAGE_LIMIT = 1_000  # bytes of a message
_TEXT_LIMIT = 300  # bytes of any other text, where a status would not fit otherwise
_MOST_PROBLEMS = 512
_LONGEST_RETRY = 86_400.0  # seconds
_FOREIGN = {
    Kind.UNAVAILABLE: "A service that is needed does not answer.",
    Kind.DEADLINE_EXCEEDED: "The time that was allowed is over.",
    Kind.RESOURCE_EXHAUSTED: "A limit is reached.",
    Kind.CANCELLED: "The call was cancelled.",
    Kind.UNIMPLEMENTED: "This service does not have that call.",
}


def to_status(error: RetinueError) -> status_pb2.Status:
    """Turn an error into the status that travels.

    What would not fit is left out: texts are cut, problems that were dropped are counted, and details go last.
    """
    status = _status(error, error.problems, error.details, error.actions)
    if _fits(status):
        return status
    problems = [Problem(_cut(found.field), _cut(found.message)) for found in error.problems[:_MOST_PROBLEMS]]
    details = {_cut(name): _cut(value) for name, value in error.details.items()}
    actions = [_cut(action) for action in error.actions]
    while True:
        left_out = len(error.problems) - len(problems)
        counted = {"problemsLeftOut": str(left_out)} if left_out else {}
        status = _status(error, problems, details | counted, actions)
        if _fits(status):
            return status
        if problems:
            problems = problems[: len(problems) // 2]
        else:
            details, actions = {}, []


def _fits(status: status_pb2.Status) -> bool:
    # Beside the status the message is percent-encoded.
    beside = sum(1 if 0x20 <= byte < 0x7F else 3 for byte in status.message.encode())
    return int(status.ByteSize()) + beside <= _LIMIT


def _status(
    error: RetinueError, problems: Sequence[Problem], details: Mapping[str, str], actions: Sequence[str]
) -> status_pb2.Status:
    status = status_pb2.Status(code=error.kind.number, message=_cut(error.message, _MESSAGE_LIMIT))
    _add(status, error_details_pb2.ErrorInfo(reason=_cut(error.code), domain=DOMAIN))
    if problems:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=_clean(found.field), description=_clean(found.message))
            for found in problems
        ]
        _add(status, error_details_pb2.BadRequest(field_violations=violations))
    if error.retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(int(max(0.0, min(error.retry_after, _LONGEST_RETRY)) * 1e9))
        _add(status, retry)
    if details or actions:
        facts = {_clean(name): _clean(value) for name, value in details.items()}
        _add(status, common_pb2.ErrorDetails(details=facts, suggested_actions=[_clean(action) for action in actions]))
    return status


def _clean(text: str) -> str:
    """The text without what protobuf cannot carry: lone surrogates."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _cut(text: str, limit: int = _TEXT_LIMIT) -> str:
    data = _clean(text).encode("utf-8")
    return data.decode("utf-8") if len(data) <= limit else data[: limit - 3].decode("utf-8", "ignore") + "…"


def _add(status: status_pb2.Status, detail: Message) -> None:
    status.details.add().Pack(detail)


def from_status(status: status_pb2.Status) -> RetinueError:
    """Turn a status that travelled back into the error it was."""
    error = RetinueError(_NUMBERS.get(status.code, Kind.UNKNOWN), "UNKNOWN", status.message)
    known = False
    for detail in status.details:
        known = _read(error, detail) or known
    return error if known else foreign(error.kind)


def _read(error: RetinueError, detail: AnyMessage) -> bool:
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    retry, more = error_details_pb2.RetryInfo(), common_pb2.ErrorDetails()
    if detail.Unpack(info):
        error.code = info.reason
        return bool(info.domain == DOMAIN)
    if detail.Unpack(bad):
        error.problems = tuple(Problem(found.field, found.description) for found in bad.field_violations)
    elif detail.Unpack(retry):
        error.retry_after = retry.retry_delay.ToNanoseconds() / 1e9
    elif detail.Unpack(more):
        error.details = dict(more.details)
        error.actions = tuple(more.suggested_actions)
    return False


def from_rpc_error(error: grpc.RpcError) -> RetinueError:
    """Turn a failed call into the error that the other side raised, or into one that says what kind it was."""
    code: grpc.StatusCode = error.code() if hasattr(error, "code") else grpc.StatusCode.UNKNOWN
    trailing: Any = (error.trailing_metadata() or ()) if hasattr(error, "trailing_metadata") else ()
    for key, value in trailing:
        if key == DETAILS_KEY:
            try:
                return from_status(status_pb2.Status.FromString(value))
            except DecodeError:
                break
    return foreign(_KINDS.get(code, Kind.UNKNOWN))


def foreign(kind: Kind) -> RetinueError:
    """An error that did not come from this suite's own code: its text may hold internals and is dropped."""
    message = _FOREIGN.get(kind, "The call failed.")
    return RetinueError(kind, kind.name, message, retry_after=1.0 if kind is Kind.UNAVAILABLE else None)
