"""The one map between the errors of the suite and `google.rpc.Status`, both ways.

Owns what an error looks like on the wire: `ErrorInfo` (reason = code, domain = `retinue`), `BadRequest`,
`RetryInfo` and `ErrorDetails`. It refuses to let a foreign error's text through: only its kind survives.
"""

from __future__ import annotations

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
_LIMIT = 7_000  # bytes of details; gRPC refuses trailing metadata above 8 KiB
_FOREIGN = {
    Kind.UNAVAILABLE: "A service that is needed does not answer.",
    Kind.DEADLINE_EXCEEDED: "The time that was allowed is over.",
    Kind.RESOURCE_EXHAUSTED: "A limit is reached.",
    Kind.CANCELLED: "The call was cancelled.",
    Kind.UNIMPLEMENTED: "This service does not have that call.",
}


def to_status(error: RetinueError) -> status_pb2.Status:
    """Turn an error into the status that travels. Problems that would not fit are counted instead of listed."""
    problems = list(error.problems)
    while True:
        status = _status(error, problems)
        if status.ByteSize() <= _LIMIT or not problems:
            return status
        problems = problems[: len(problems) // 2]


def _status(error: RetinueError, problems: list[Problem]) -> status_pb2.Status:
    status = status_pb2.Status(code=error.kind.number, message=error.message)
    info = error_details_pb2.ErrorInfo(reason=error.code, domain=DOMAIN)
    _add(status, info)
    if problems:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=problem.field, description=problem.message)
            for problem in problems
        ]
        _add(status, error_details_pb2.BadRequest(field_violations=violations))
    if error.retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(int(error.retry_after * 1e9))
        _add(status, retry)
    details = dict(error.details)
    if left_out := len(error.problems) - len(problems):
        details["problemsLeftOut"] = str(left_out)
    if details or error.actions:
        _add(status, common_pb2.ErrorDetails(details=details, suggested_actions=error.actions))
    return status


def _add(status: status_pb2.Status, detail: Message) -> None:
    status.details.add().Pack(detail)


def from_status(status: status_pb2.Status) -> RetinueError:
    """Turn a status that travelled back into the error it was."""
    error = RetinueError(_kind(status.code), "UNKNOWN", status.message)
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


def _kind(number: int) -> Kind:
    return next((kind for kind in Kind if kind.number == number), Kind.UNKNOWN)
