"""Proto to domain and back, for quotas.

Owns the names that differ between the two. It judges no values but times that do not exist; the domain does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from retinue.quota.v1 import quota_pb2
from retinue.quota.v1 import quota_service_pb2 as pb
from retinue_core.errors import Problem, invalid
from services.quota.domain import Answer, Extension, Overrun, Quota, Reservation, Settlement, Use

_UNSPECIFIED = "_UNSPECIFIED"


def reservations(request: pb.ReserveRequest) -> list[Reservation]:
    """The reservations of a request."""
    return [
        Reservation(
            id=item.id,
            organization_id=item.organization_id,
            user_id=item.user_id,
            agent_id=item.agent_id,
            execution_id=item.execution_id,
            project_id=item.project_id,
            team_ids=tuple(item.team_ids),
            tokens=item.tokens,
            cost_micros=item.cost_micros,
            credits=item.credits,
            expires_at=moment(item, "expires_at", f"reservations[{number}].expiresAt"),
        )
        for number, item in enumerate(request.reservations)
    ]


def extensions(request: pb.ExtendRequest) -> list[Extension]:
    """The extensions of a request."""
    return [
        Extension(
            organization_id=item.organization_id,
            reservation_id=item.reservation_id,
            id=item.id,
            tokens=item.tokens,
            cost_micros=item.cost_micros,
            credits=item.credits,
        )
        for item in request.extensions
    ]


def settlements(request: pb.SettleRequest) -> list[Settlement]:
    """The settlements of a request."""
    return [
        Settlement(
            organization_id=item.organization_id,
            reservation_id=item.reservation_id,
            input_tokens=item.input_tokens,
            output_tokens=item.output_tokens,
            cost_micros=item.cost_micros,
            credits=item.credits,
            steps=item.steps,
            tool_calls=item.tool_calls,
            ended=item.ended,
            user_id=item.user_id,
            agent_id=item.agent_id,
            execution_id=item.execution_id,
            project_id=item.project_id,
            team_ids=tuple(item.team_ids),
        )
        for item in request.settlements
    ]


def grant(reservation_id: str, answer: Answer) -> quota_pb2.Grant:
    """The message for an answer."""
    return quota_pb2.Grant(
        reservation_id=reservation_id,
        outcome=quota_pb2.Grant.Outcome.Value(answer.outcome),
        tokens=answer.tokens,
        cost_micros=answer.cost_micros,
        credits=answer.credits,
        limit=None if answer.limit is None else message(answer.limit),
    )


def overruns(found: Iterable[Overrun]) -> pb.SettleResponse:
    """The answer to settlements."""
    overrun = pb.SettleResponse.Overrun
    return pb.SettleResponse(
        overruns=(
            overrun(
                reservation_id=one.reservation_id,
                tokens=one.tokens,
                cost_micros=one.cost_micros,
                credits=one.credits,
            )
            for one in found
        )
    )


def quota(sent: quota_pb2.Quota) -> Quota:
    """The quota that a message asks for. What is not said becomes an empty text, what is not known its number."""
    return Quota(
        level=_name(quota_pb2.Quota.Level, sent.level),
        subject_id=sent.subject_id,
        metric=_name(quota_pb2.Quota.Metric, sent.metric),
        window=_name(quota_pb2.Quota.Window, sent.window),
        limit=sent.limit,
    )


def message(kept: Quota) -> quota_pb2.Quota:
    """The message for a quota."""
    return quota_pb2.Quota(
        id=kept.id,
        level=quota_pb2.Quota.Level.Value(kept.level),
        subject_id=kept.subject_id,
        metric=quota_pb2.Quota.Metric.Value(kept.metric),
        window=quota_pb2.Quota.Window.Value(kept.window or "WINDOW_UNSPECIFIED"),
        limit=kept.limit,
        source=kept.source,
        used=kept.used,
        reserved=kept.reserved,
    )


def group(request: pb.GetUsageRequest) -> str:
    """How usage is to be split: `AGENT`, `USER`, `PROJECT`, or empty for not at all."""
    return _name(pb.GetUsageRequest.GroupBy, request.group_by)


def usage(start: datetime, end: datetime, total: Use, entries: Iterable[Use]) -> pb.GetUsageResponse:
    """The answer to a question for usage."""
    answer = pb.GetUsageResponse(total=_entry(total), entries=map(_entry, entries))
    getattr(answer, "from").FromDatetime(start)
    answer.to.FromDatetime(end)
    return answer


def event(kept: Quota) -> bytes:
    """What goes with the hint that a quota changed."""
    return json.dumps({"quotaId": kept.id, "level": kept.level, "metric": kept.metric}).encode()


def moment(holder: Any, name: str, path: str) -> datetime | None:
    """A time of a message, or None when it is not set. Raises INVALID_ARGUMENT for a time that does not exist."""
    if not holder.HasField(name):
        return None
    sent: Timestamp = getattr(holder, name)
    try:
        return sent.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise invalid("A time does not exist.", Problem(path, "must be from the year 1 to the year 9999")) from None


def _entry(use: Use) -> pb.GetUsageResponse.Entry:
    return pb.GetUsageResponse.Entry(
        key=use.key,
        executions=use.executions,
        input_tokens=use.input_tokens,
        output_tokens=use.output_tokens,
        cost_micros=use.cost_micros,
        credits=use.credits,
        steps=use.steps,
        tool_calls=use.tool_calls,
    )


def _name(kind: Any, number: int) -> str:
    name = str(kind.Name(number)) if number in kind.values() else str(number)
    return "" if name.endswith(_UNSPECIFIED) else name
