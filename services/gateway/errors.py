"""What a failure looks like over HTTP: status, headers and the one error body of api.md.

Owns that shape, and the few codes whose status is HTTP's own rather than gRPC's. The gRPC side of
the map is ``retinue_core.rpc.errors``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import orjson

from retinue_core.errors import Kind, RetinueError

Headers = list[tuple[bytes, bytes]]

HTTP_STATUS = {
    "BODY_TOO_LARGE": 413,
    "METHOD_NOT_ALLOWED": 405,
    "HEADERS_TOO_LARGE": 431,
    "REQUEST_TIMEOUT": 408,
    "IDEMPOTENCY_KEY_REUSED": 422,
}
"""Codes that HTTP has a sharper status for than gRPC."""


def status_of(error: RetinueError) -> int:
    """The HTTP status of an error."""
    return HTTP_STATUS.get(error.code, error.kind.http_status)


def headers_of(error: RetinueError) -> Headers:
    """The headers that go with an error."""
    headers: Headers = []
    if error.retry_after is not None:
        headers.append((b"retry-after", str(max(1, math.ceil(error.retry_after))).encode()))
    if error.kind is Kind.UNAUTHENTICATED:
        challenge = b'Bearer realm="retinue"'
        if error.code != "TOKEN_MISSING":
            challenge += b', error="invalid_token"'
        headers.append((b"www-authenticate", challenge))
    if "allow" in error.details:
        headers.append((b"allow", error.details["allow"].encode()))
    return headers


def body_of(error: RetinueError, request_id: str, now: datetime) -> bytes:
    """The error as one JSON object."""
    details: dict[str, Any] = dict(error.details)
    if error.problems:
        details["validationErrors"] = [
            {"field": problem.field, "message": problem.message} for problem in error.problems
        ]
    details["suggestedActions"] = list(error.actions)
    return orjson.dumps(
        {
            "error": {
                "code": error.code,
                "message": error.message,
                "details": details,
                "timestamp": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "requestId": request_id,
            }
        }
    )


def no_route(path: str) -> RetinueError:
    """Nothing answers at a path."""
    slash = path.endswith("/") and path != "/"
    hint = "Leave out the slash at the end." if slash else "GET /openapi.json lists every route."
    return RetinueError(Kind.NOT_FOUND, "ROUTE_NOT_FOUND", "There is nothing at this path.", actions=(hint,))


def not_allowed(method: str, allowed: Iterable[str]) -> RetinueError:
    """Something answers at a path, but not to this method."""
    methods = set(allowed) | {"OPTIONS"} | ({"HEAD"} if "GET" in allowed else set())
    text = ", ".join(sorted(methods))
    return RetinueError(
        Kind.UNIMPLEMENTED,
        "METHOD_NOT_ALLOWED",
        f"{method} is not possible here.",
        details={"allow": text},
        actions=(f"Use one of {text}.",),
    )
