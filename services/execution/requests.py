"""What requests say: what is to be run, which rows are wanted, which page of them.

Owns the checks of what comes in over gRPC, where no gateway has looked at it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
from google.protobuf.duration_pb2 import Duration

from retinue.execution.v1 import execution_pb2
from retinue.execution.v1 import execution_service_pb2 as pb
from retinue_core import ids, values
from retinue_core.errors import Problem, invalid, not_found
from retinue_core.filters import one_of, parse_filter, text_value
from retinue_core.free_json import problems
from retinue_core.identity import Identity
from retinue_core.pages import page_key, page_size, page_token
from retinue_core.rpc.call import idempotency_key
from services.execution.accept import Wish
from services.execution.domain import PRIORITIES, Status

_LARGEST_INPUT = 8 * 1024 * 1024
_DEEPEST_INPUT = 30  # as the gateway takes it
_LARGEST_METADATA = 16 * 1024
_LONGEST_NAME = 200
_LONGEST_WAIT = 86_400.0
_FIELDS = {
    "agent_id": text_value,
    "status": one_of(*Status),
    "created_by": text_value,
    "conversation_id": text_value,
    "project_id": text_value,
    "priority": one_of(*PRIORITIES),
}


def wish(request: pb.CreateExecutionRequest | pb.ExecuteRequest, *, inline: bool, fingerprint: bytes) -> Wish:
    """What a caller wants to be run. Raises INVALID_INPUT and INVALID_ARGUMENT with every problem at once."""
    if not ids.is_id(request.agent_id):
        raise not_found("agent", request.agent_id)
    found, metadata = values.to_python(request.input), values.struct_to_python(request.metadata)
    priority = request.priority or execution_pb2.Execution.MEDIUM
    if wrong := problems("input", found, _LARGEST_INPUT, _DEEPEST_INPUT):
        raise invalid("The input cannot be kept.", *wrong, code="INVALID_INPUT")
    if wrong := tuple(_wrong(request, priority, metadata)):
        raise invalid("The request is not usable.", *wrong)
    return Wish(
        agent_id=request.agent_id,
        input=found,
        input_json=orjson.dumps(found).decode(),
        version=request.version,
        priority=priority,
        timeout=seconds(request.timeout),
        inline=inline,
        conversation_id=request.conversation_id,
        project_id=request.project_id,
        metadata_json=orjson.dumps(metadata).decode() if metadata else "",
        idempotency_key=idempotency_key(),
        fingerprint=fingerprint,
    )


def _wrong(
    request: pb.CreateExecutionRequest | pb.ExecuteRequest, priority: int, metadata: dict[str, Any]
) -> Iterator[Problem]:
    if priority not in execution_pb2.Execution.Priority.values():
        yield Problem("priority", "must be LOW, MEDIUM, HIGH or URGENT")
    yield from problems("metadata", metadata, _LARGEST_METADATA)
    for field, text in (("conversationId", request.conversation_id), ("projectId", request.project_id)):
        if len(text) > _LONGEST_NAME or "\0" in text:
            yield Problem(field, f"must be at most {_LONGEST_NAME} characters and hold no null byte")


def seconds(duration: Duration) -> float:
    """A duration in seconds."""
    return float(duration.ToNanoseconds() / 1e9)


def waiting(duration: Duration) -> float:
    """How many seconds a caller wants to wait. Raises INVALID_ARGUMENT beyond a day or below zero."""
    wanted = seconds(duration)
    if not 0 <= wanted <= _LONGEST_WAIT:
        raise invalid("The wait is out of range.", Problem("wait", "must be from 0s to 86400s"))
    return wanted


def conditions(identity: Identity, text: str) -> list[tuple[str, Any]]:
    """What the rows of a list must be: as the filter says, and such that the caller may see them."""
    found: list[tuple[str, Any]] = []
    for condition in parse_filter(text, _FIELDS):
        value: Any = PRIORITIES[condition.value] if condition.field == "priority" else condition.value
        if condition.field == "agent_id" and not ids.is_id(condition.value):
            raise invalid("The filter cannot be read.", Problem("filter", "agent_id is a UUID"), code="INVALID_FILTER")
        found.append((condition.field, value))
    if not identity.admin and not identity.is_service:
        found.append(("created_by", identity.subject))
    return found


def descending(order_by: str) -> bool:
    """Whether a list goes from the newest to the oldest."""
    if order_by not in ("", "created_at", "created_at desc"):
        raise invalid("The order is not known.", Problem("orderBy", "must be `created_at` or `created_at desc`"))
    return order_by != "created_at"


def page(found: list[Any], size: int, token: str, *asked: str) -> tuple[list[Any], str]:
    """A page of a list that is in memory; the token is the place behind it."""
    limit, key = page_size(size or 100), page_key(token, 1, *asked)
    start = int(key[0]) if key and key[0].isdigit() else 0
    end = start + limit
    return found[start:end], page_token((str(end),), *asked) if end < len(found) else ""
