"""The RPCs of the quota room: convert, check, book, convert back.

Owns the order of these steps and nothing else.
"""

from __future__ import annotations

import logging
from typing import Any

from retinue.quota.v1 import quota_service_pb2 as pb
from retinue.quota.v1 import quota_service_pb2_grpc
from retinue_core.events import Events
from retinue_core.rpc.call import caller
from services.quota import convert, domain
from services.quota.plans import Plans
from services.quota.store import Store

log = logging.getLogger(__name__)


class QuotaService(quota_service_pb2_grpc.QuotaServiceServicer):
    """Holds back before spending, books after it, and reports."""

    def __init__(self, store: Store, plans: Plans, events: Events) -> None:
        self._store = store
        self._plans = plans
        self._events = events

    async def Reserve(self, request: pb.ReserveRequest, context: Any) -> pb.ReserveResponse:
        """Hold back several reservations."""
        asked = convert.reservations(request)
        batch = domain.checked(asked, "reservations")
        await self._plans.ensure(domain.organizations(batch))
        answers = await self._store.reserve(batch)
        return pb.ReserveResponse(grants=(convert.grant(one.id, answers[one.key]) for one in asked))

    async def Extend(self, request: pb.ExtendRequest, context: Any) -> pb.ExtendResponse:
        """Add to reservations that are held."""
        asked = convert.extensions(request)
        batch = domain.checked(asked, "extensions")
        await self._plans.ensure(domain.organizations(batch))
        answers = await self._store.extend(batch)
        return pb.ExtendResponse(grants=(convert.grant(one.reservation_id, answers[one.key]) for one in asked))

    async def Settle(self, request: pb.SettleRequest, context: Any) -> pb.SettleResponse:
        """Book what reservations came to."""
        batch = domain.checked(convert.settlements(request), "settlements")
        await self._plans.ensure(domain.organizations(batch))
        overruns = await self._store.settle(batch)
        for overrun in overruns:
            log.warning("more was used than was held: %s", overrun)
        return convert.overruns(overruns)

    async def ListQuotas(self, request: pb.ListQuotasRequest, context: Any) -> pb.ListQuotasResponse:
        """List the quotas of the caller's organisation."""
        organization_id = caller().organization_id
        await self._plans.ensure([organization_id])
        return pb.ListQuotasResponse(quotas=map(convert.message, await self._store.quotas(organization_id)))

    async def SetQuota(self, request: pb.SetQuotaRequest, context: Any) -> pb.SetQuotaResponse:
        """Set a quota of the caller's organisation."""
        organization_id, wanted = caller().organization_id, convert.quota(request.quota)
        domain.check_quota(wanted, limit_given=request.quota.HasField("limit"))
        kept = await self._store.set_quota(organization_id, wanted)
        await self._events.hint(f"quota.{organization_id}.changed", convert.event(kept))
        return pb.SetQuotaResponse(quota=convert.message(kept))

    async def GetUsage(self, request: pb.GetUsageRequest, context: Any) -> pb.GetUsageResponse:
        """Report what the caller's organisation used."""
        start, end = convert.moment(request, "from", "from"), convert.moment(request, "to", "to")
        group = convert.group(request)
        domain.check_usage(start, end, group)
        since, until, entries = await self._store.usage(caller().organization_id, start, end, group)
        return convert.usage(since, until, domain.total(entries), entries if group else ())
