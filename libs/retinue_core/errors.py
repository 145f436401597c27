"""The errors that services raise for their callers, and nothing about how they travel.

Owns the one typed error of the suite. It knows no transport: `retinue_core.rpc.errors` maps it to and from
gRPC, the gateway maps its kind to HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What sort of failure it is: its number and name in google.rpc.Code, and the HTTP status that stands for it.

    Source: the mapping table of google/rpc/code.proto.
    """

    CANCELLED = (1, 499)
    UNKNOWN = (2, 500)
    INVALID_ARGUMENT = (3, 400)
    DEADLINE_EXCEEDED = (4, 504)
    NOT_FOUND = (5, 404)
    ALREADY_EXISTS = (6, 409)
    PERMISSION_DENIED = (7, 403)
    RESOURCE_EXHAUSTED = (8, 429)
    FAILED_PRECONDITION = (9, 400)
    ABORTED = (10, 409)
    OUT_OF_RANGE = (11, 400)
    UNIMPLEMENTED = (12, 501)
    INTERNAL = (13, 500)
    UNAVAILABLE = (14, 503)
    DATA_LOSS = (15, 500)
    UNAUTHENTICATED = (16, 401)

    def __init__(self, number: int, http_status: int) -> None:
        self.number = number
        self.http_status = http_status


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a request.

    `field` is its path as the caller wrote it (`tools[1]`), `message` says what is wrong and what would be right.
    """

    field: str
    message: str


class RetinueError(Exception):
    """A failure that a caller is told about.

    `code` is stable and in upper snake case, `message` one sentence for people, `details` facts by name,
    `actions` what the caller can do next, `retry_after` seconds to wait before the same call may succeed.
    """

    def __init__(
        self,
        kind: Kind,
        code: str,
        message: str,
        *,
        problems: tuple[Problem, ...] = (),
        details: Mapping[str, str] | None = None,
        actions: tuple[str, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.code = code
        self.message = message
        self.problems = problems
        self.details = dict(details or {})
        self.actions = actions
        self.retry_after = retry_after

    def __repr__(self) -> str:
        return f"RetinueError({self.kind.name}, {self.code}, {self.message!r}, problems={self.problems!r})"


def invalid(
    message: str, *problems: Problem, code: str = "INVALID_ARGUMENT", actions: tuple[str, ...] = ()
) -> RetinueError:
    """The request itself is wrong; `problems` name the fields."""
    return RetinueError(Kind.INVALID_ARGUMENT, code, message, problems=problems, actions=actions)


def unauthenticated(
    message: str, *, code: str = "UNAUTHENTICATED", actions: tuple[str, ...] = ("Send a valid API token.",)
) -> RetinueError:
    """Nothing, or nothing valid, says who the caller is."""
    return RetinueError(Kind.UNAUTHENTICATED, code, message, actions=actions)


def denied(message: str, *, code: str = "INSUFFICIENT_PERMISSIONS", actions: tuple[str, ...] = ()) -> RetinueError:
    """The caller is known and may not do this."""
    return RetinueError(Kind.PERMISSION_DENIED, code, message, actions=actions)


def not_found(what: str, identifier: str) -> RetinueError:
    """There is no such thing, or none that the caller may know of. `what` is its name: `agent`."""
    return RetinueError(
        Kind.NOT_FOUND,
        f"{what.upper().replace(' ', '_')}_NOT_FOUND",
        f"There is no {what} {identifier!r} that you can see.",
        details={f"{_camel(what)}Id": identifier},
        actions=(f"Check the id of the {what} and the organisation of your token.",),
    )


def exists(code: str, message: str, *problems: Problem, actions: tuple[str, ...] = ()) -> RetinueError:
    """Something with the same key is there already."""
    return RetinueError(Kind.ALREADY_EXISTS, code, message, problems=problems, actions=actions)


def conflict(code: str, message: str, *problems: Problem, actions: tuple[str, ...] = ()) -> RetinueError:
    """Somebody else changed it first."""
    return RetinueError(Kind.ABORTED, code, message, problems=problems, actions=actions)


def precondition(
    code: str, message: str, *, details: Mapping[str, str] | None = None, actions: tuple[str, ...] = ()
) -> RetinueError:
    """The request is well formed, and the state of things does not allow it."""
    return RetinueError(Kind.FAILED_PRECONDITION, code, message, details=details, actions=actions)


def exhausted(
    code: str, message: str, *, retry_after: float | None = None, actions: tuple[str, ...] = ()
) -> RetinueError:
    """A limit is reached; `retry_after` is in seconds."""
    return RetinueError(Kind.RESOURCE_EXHAUSTED, code, message, retry_after=retry_after, actions=actions)


def unavailable(message: str, *, code: str = "UNAVAILABLE", retry_after: float | None = 1.0) -> RetinueError:
    """Something that is needed does not answer; the same call may succeed later."""
    return RetinueError(Kind.UNAVAILABLE, code, message, retry_after=retry_after, actions=("Try again in a moment.",))


def deadline(message: str, *, code: str = "DEADLINE_EXCEEDED") -> RetinueError:
    """The time that was allowed is over."""
    return RetinueError(Kind.DEADLINE_EXCEEDED, code, message)


def internal(message: str = "Something went wrong inside.", *, code: str = "INTERNAL") -> RetinueError:
    """A fault of ours. The message must carry no internals."""
    return RetinueError(Kind.INTERNAL, code, message, actions=("Try again; if it stays, report the request id.",))


def _camel(words: str) -> str:
    first, *rest = words.split()
    return first + "".join(word.capitalize() for word in rest)
