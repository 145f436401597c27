"""The call that is being answered: who makes it, under which id, until when.

Owns the context that a handler may ask for. It is set by the server's door and valid inside one RPC.
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from dataclasses import dataclass

from retinue_core.errors import internal
from retinue_core.identity import Identity

IDENTITY = "x-retinue-identity"
REQUEST_ID = "x-request-id"
TRACEPARENT = "traceparent"
AUTHORIZATION = "authorization"
IDEMPOTENCY_KEY = "idempotency-key"


@dataclass(frozen=True, slots=True)
class Call:
    """One RPC as its handler may see it. `token` is the signed identity, `ends` is on the monotonic clock."""

    identity: Identity | None
    token: str
    request_id: str
    ends: float | None
    idempotency_key: str = ""


_call: ContextVar[Call | None] = ContextVar("call", default=None)


def enter(call: Call) -> None:
    """Make this the call of the current task."""
    _call.set(call)


def current_call() -> Call | None:
    """The call that is being answered; None outside of one."""
    return _call.get()


def caller() -> Identity:
    """Who makes the call. Raises INTERNAL where the RPC is open to anybody."""
    call = _call.get()
    if call is None or call.identity is None:
        raise internal()
    return call.identity


def request_id() -> str:
    """Id of the request, the same in every service it passes; empty outside of one."""
    call = _call.get()
    return call.request_id if call else ""


def idempotency_key() -> str:
    """The key under which the request is made at most once; empty when it has none."""
    call = _call.get()
    return call.idempotency_key if call else ""


def deadline_remaining() -> float | None:
    """Seconds that are left for the call; None when it has no deadline."""
    call = _call.get()
    return None if call is None or call.ends is None else max(0.0, call.ends - time.monotonic())
