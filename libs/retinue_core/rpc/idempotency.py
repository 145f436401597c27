"""Idempotency keys: a request that is sent again gets the answer of the first time.

Owns what a key means, after the IETF draft "The Idempotency-Key HTTP Header Field": same key and same request, same
answer; while the first is under way, a conflict; another request under the same key, an error. Only answers are kept:
a request that failed may be tried again under its key.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, Protocol

from google.protobuf.message import Message

from retinue_core import ids
from retinue_core.errors import Kind, Problem, RetinueError, conflict, invalid
from retinue_core.rpc.call import Call

REUSED = "IDEMPOTENCY_KEY_REUSED"
_KEY = re.compile(r"[\x21-\x7e]{1,255}\Z")
_LONGEST = 3_600.0  # seconds a key is held for a request that died without an answer
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0


class State(Enum):
    """What is known of a key."""

    NEW = "new"
    BUSY = "busy"
    OTHER = "other"
    ANSWERED = "answered"


@dataclass(frozen=True, slots=True)
class Key:
    """A key of one caller, what the request was that it stands for, and the one request that holds it (a UUID)."""

    organization_id: str
    subject: str
    key: str
    fingerprint: bytes
    holder: str


class Answers(Protocol):
    """Where answers are kept."""

    async def begin(self, key: Key, seconds: float) -> tuple[State, bytes]:
        """Take a key, or say what is known of it."""

    async def finish(self, key: Key, response: bytes) -> None:
        """Keep an answer."""

    async def forget(self, key: Key) -> None:
        """Free a key."""


async def once(
    answers: Answers,
    path: str,
    call: Call,
    request: Message,
    response: type[Message],
    handler: Callable[[], Awaitable[Any]],
) -> Any:
    """Answer a request that carries a key, at most once. Raises IDEMPOTENCY_KEY_IN_USE and IDEMPOTENCY_KEY_REUSED."""
    key = _key(path, call, request)
    ends = time.monotonic() + _LONGEST if call.ends is None else min(call.ends, time.monotonic() + _LONGEST)
    # A caller that goes away is the very one who asks again: the request is carried to its end without it.
    outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    outcome.add_done_callback(lambda done: done.cancelled() or done.exception())
    carrying = asyncio.create_task(_carried_out(answers, key, response, handler, outcome, ends))
    carrying.add_done_callback(lambda _: outcome.cancel())
    return await asyncio.shield(outcome)


async def _carried_out(
    answers: Answers,
    key: Key,
    response: type[Message],
    handler: Callable[[], Awaitable[Any]],
    outcome: asyncio.Future[Any],
    ends: float,
) -> None:
    """Take the key, answer, and write down what became of it; until its time is over this is tried again."""
    state = None
    try:
        state, kept = await _begun(answers, key, ends)
        answer = response.FromString(kept) if state is State.ANSWERED else await handler()
    except Exception as error:  # noqa: BLE001 - it belongs to the caller, who gets it
        tell, write = partial(outcome.set_exception, error), partial(answers.forget, key)
    else:
        tell = partial(outcome.set_result, answer)
        write = partial(answers.finish, key, _without_secrets(answer).SerializeToString())
    written, pause = state is State.ANSWERED or await _tried(write), _FIRST_PAUSE
    if not outcome.done():
        tell()
    while not written and time.monotonic() < ends:
        await asyncio.sleep(pause)
        written, pause = await _tried(write), min(pause * 2, _LONGEST_PAUSE)


async def _begun(answers: Answers, key: Key, ends: float) -> tuple[State, bytes]:
    """Take a key; asked once more where the answer was lost. Raises the refusal of one that somebody else has."""
    try:
        state, kept = await answers.begin(key, ends - time.monotonic())
    except RetinueError as error:
        if error.kind is not Kind.UNAVAILABLE:
            raise
        state, kept = await answers.begin(key, ends - time.monotonic())
    if state in (State.BUSY, State.OTHER):
        raise _refusal(state)
    return state, kept


async def _tried(write: Callable[[], Awaitable[None]]) -> bool:
    try:
        await write()
    except RetinueError:
        return False
    return True


def _without_secrets(answer: Message) -> Message:
    """An answer as it may be kept: a secret that is shown once (`debug_redact`) is not shown again."""
    secrets = [field.name for field in answer.DESCRIPTOR.fields if field.GetOptions().debug_redact]
    if not secrets:
        return answer
    kept = type(answer)()
    kept.CopyFrom(answer)
    for name in secrets:
        kept.ClearField(name)
    return kept


def fingerprint(path: str, request: Message) -> bytes:
    """What a request is, so that another one under the same key is recognised."""
    return hashlib.sha256(path.encode() + b"\0" + request.SerializeToString(deterministic=True)).digest()


def check_key(key: str) -> None:
    """Raise INVALID_ARGUMENT for a key that cannot be used."""
    if not _KEY.match(key):
        raise invalid(
            "The idempotency key is not usable.",
            Problem("Idempotency-Key", "must be 1 to 255 visible ASCII characters"),
            actions=("Use a random UUID for each request.",),
        )


def _key(path: str, call: Call, request: Message) -> Key:
    check_key(call.idempotency_key)
    assert call.identity is not None
    content = fingerprint(path, request)
    return Key(call.identity.organization_id, call.identity.subject, call.idempotency_key, content, ids.new_id())


def _refusal(state: State) -> RetinueError:
    return in_use() if state is State.BUSY else reused()


def in_use() -> RetinueError:
    """The error while the first request under a key is under way."""
    return conflict(
        "IDEMPOTENCY_KEY_IN_USE",
        "A request with this idempotency key is under way.",
        actions=("Wait for its answer, then send the request again.",),
    )


def reused() -> RetinueError:
    """The error for another request under a key."""
    return RetinueError(
        Kind.INVALID_ARGUMENT,
        REUSED,
        "This idempotency key stands for another request.",
        problems=(Problem("Idempotency-Key", "was used with another request"),),
        actions=("Use a new key for a new request.",),
    )
