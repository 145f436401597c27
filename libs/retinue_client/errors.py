"""What goes wrong, as exceptions that can be told apart: one class for each kind, one `code` for each case.

Owns the classes that callers catch. They are all RetinueError, with `code`, `message`, `problems`, `details`,
`actions` and `retry_after` as the services raised them.
"""

from __future__ import annotations

from typing import Any, TypeVar

from retinue_core.errors import Kind, Problem, RetinueError

__all__ = [
    "AlreadyExistsError",
    "CancelledError",
    "ConflictError",
    "DeadlineExceededError",
    "ExecutionFailedError",
    "InternalError",
    "InvalidArgumentError",
    "Kind",
    "NotFoundError",
    "PermissionDeniedError",
    "PreconditionError",
    "Problem",
    "ResourceExhaustedError",
    "RetinueError",
    "UnauthenticatedError",
    "UnavailableError",
    "typed",
]

E = TypeVar("E", bound=RetinueError)


class InvalidArgumentError(RetinueError):
    """The request is wrong; `problems` name the fields. For example INVALID_INPUT, INVALID_AGENT_CONFIG."""


class UnauthenticatedError(RetinueError):
    """There is no token, or none that is valid: UNAUTHENTICATED, TOKEN_EXPIRED, TOKEN_REVOKED."""


class PermissionDeniedError(RetinueError):
    """The token is valid and may not do this: INSUFFICIENT_PERMISSIONS."""


class NotFoundError(RetinueError):
    """There is no such thing that the token may see: AGENT_NOT_FOUND, EXECUTION_NOT_FOUND."""


class AlreadyExistsError(RetinueError):
    """Something with the same name or key is there: DUPLICATE_AGENT_NAME."""


class ConflictError(RetinueError):
    """Somebody else changed it first: read it again."""


class PreconditionError(RetinueError):
    """The state of things does not allow it: AGENT_NOT_PUBLISHED, EXECUTION_ENDED."""


class ResourceExhaustedError(RetinueError):
    """A limit is reached; `retry_after` says in how many seconds it may be tried again."""


class UnavailableError(RetinueError):
    """The service does not answer."""


class DeadlineExceededError(RetinueError):
    """The answer did not come in time."""


class CancelledError(RetinueError):
    """The call was given up."""


class InternalError(RetinueError):
    """A fault of the suite."""


class ExecutionFailedError(RetinueError):
    """An execution ended without an output; `code` is the execution's own, `execution` the execution itself."""

    def __init__(self, code: str, message: str, execution: Any) -> None:
        super().__init__(Kind.UNKNOWN, code, message, details={"executionId": execution.id})
        self.execution = execution


_CLASSES: dict[Kind, type[RetinueError]] = {
    Kind.INVALID_ARGUMENT: InvalidArgumentError,
    Kind.OUT_OF_RANGE: InvalidArgumentError,
    Kind.UNAUTHENTICATED: UnauthenticatedError,
    Kind.PERMISSION_DENIED: PermissionDeniedError,
    Kind.NOT_FOUND: NotFoundError,
    Kind.ALREADY_EXISTS: AlreadyExistsError,
    Kind.ABORTED: ConflictError,
    Kind.FAILED_PRECONDITION: PreconditionError,
    Kind.RESOURCE_EXHAUSTED: ResourceExhaustedError,
    Kind.UNAVAILABLE: UnavailableError,
    Kind.DEADLINE_EXCEEDED: DeadlineExceededError,
    Kind.CANCELLED: CancelledError,
}


def typed(error: RetinueError) -> RetinueError:
    """The same error in the class of its kind; kinds without a class of their own are InternalError."""
    return _as(_CLASSES.get(error.kind, InternalError), error)


def _as(cls: type[E], error: RetinueError) -> E:
    return cls(
        error.kind,
        error.code,
        error.message,
        problems=error.problems,
        details=error.details,
        actions=error.actions,
        retry_after=error.retry_after,
    )
