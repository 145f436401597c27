"""Who calls, with which tokens, and what was used.

Owns `client.tokens`, `client.whoami`, `client.usage` and `client.quotas`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from retinue.access.v1 import access_pb2
from retinue.access.v1 import access_service_pb2 as access
from retinue.quota.v1 import quota_service_pb2 as quota
from retinue_client.models import Caller, GroupBy, NewToken, Quota, Token, UsageReport
from retinue_client.paging import pages
from retinue_client.reading import read
from retinue_client.wire import Wire
from retinue_client.writing import enum_number


class Tokens:
    """`client.tokens`."""

    def __init__(self, wire: Wire) -> None:
        """Call over a wire."""
        self._wire = wire

    async def create(
        self, name: str, *, scopes: Iterable[str] = (), expires_at: datetime | None = None, user_id: str = ""
    ) -> NewToken:
        """Make a token. Without `scopes` it may do all that its user may; without `user_id` it is the caller's."""
        token = access_pb2.ApiToken(name=name, scopes=scopes, user_id=user_id, expires_at=_timestamp(expires_at))
        answer = await self._wire.call("access", "CreateToken", access.CreateTokenRequest(token=token))
        return NewToken(token=read(Token, answer.token), secret=answer.secret)

    def list(self, *, page_size: int = 0) -> AsyncIterator[Token]:
        """Iterate over the caller's tokens, or over all of the organisation for its administrators."""
        request = access.ListTokensRequest(page_size=page_size)
        return pages(
            self._wire, "access", "ListTokens", request, lambda page: (read(Token, token) for token in page.tokens)
        )

    async def revoke(self, token: Token | str) -> None:
        """End a token. Once more changes nothing."""
        token_id = token.id if isinstance(token, Token) else token
        await self._wire.call("access", "RevokeToken", access.RevokeTokenRequest(token_id=token_id))


async def caller(wire: Wire) -> Caller:
    """Ask who the caller is."""
    return read(Caller, await wire.call("access", "GetCaller", access.GetCallerRequest()))


async def usage(wire: Wire, start: datetime | None, end: datetime | None, by: GroupBy | None) -> UsageReport:
    """Ask what was used."""
    group_by = enum_number("by", quota.GetUsageRequest.GroupBy, by)
    request = quota.GetUsageRequest(to=_timestamp(end), group_by=group_by, **{"from": _timestamp(start)})
    answer = await wire.call("quota", "GetUsage", request)
    begins = getattr(answer, "from").ToDatetime(UTC)
    return read(UsageReport, answer, start=begins, end=answer.to.ToDatetime(UTC))


async def quotas(wire: Wire) -> tuple[Quota, ...]:
    """Ask for the quotas that hold."""
    answer = await wire.call("quota", "ListQuotas", quota.ListQuotasRequest())
    return tuple(read(Quota, one) for one in answer.quotas)


def _timestamp(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    message = Timestamp()
    message.FromDatetime(moment)
    return message
