"""The quota room in the test's own process, beside a real access room, and a checker of its books."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from retinue.quota.v1 import quota_service_pb2 as pb
from retinue.quota.v1.quota_pb2 import Grant
from retinue.quota.v1.quota_service_pb2_grpc import QuotaServiceStub, add_QuotaServiceServicer_to_server
from retinue_core.clock import FixedClock
from retinue_core.db import Database
from retinue_core.events import Events
from retinue_core.identity import Identity
from retinue_core.rpc.door import Door
from retinue_core.rpc.server import Server
from retinue_core.telemetry import Telemetry
from services.quota.clients import Access
from services.quota.plans import Plans
from services.quota.service import QuotaService
from services.quota.store import Store
from tests.integration.agent.room import Keys, Room

EXECUTION = Identity("", "execution", kind="service")

# Every figure of the counters, rebuilt from the reservations and the ledger.
BROKEN_BOOKS = """
with every as (
    select r.organization_id, s.level, s.subject_id, 1 as running, r.tokens as held, r.cost_micros as held_cost,
        0::bigint as tokens, 0::bigint as cost, 0::bigint as credits, 0::bigint as today
    from reservations r, subjects(r.user_id, r.agent_id, r.team_ids) s where r.expired_at is null
    union all
    select b.organization_id, s.level, s.subject_id, 0, 0, 0, b.input_tokens + b.output_tokens, b.cost_micros,
        b.credits, case when b.booked_at >= date_trunc('day', now(), 'UTC') then b.input_tokens + b.output_tokens end
    from ledger b, subjects(b.user_id, b.agent_id, b.team_ids) s
), rebuilt as (
    select organization_id, level, subject_id, sum(running) as running, sum(held) as held, sum(held_cost) as held_cost,
        sum(tokens) as tokens, sum(cost) as cost, sum(credits) as credits, coalesce(sum(today), 0) as today
    from every group by 1, 2, 3
)
select level, subject_id, to_jsonb(c) as kept, to_jsonb(b) as rebuilt
from rebuilt b full join counters c using (organization_id, level, subject_id)
where (coalesce(b.running, 0), coalesce(b.held, 0), coalesce(b.held_cost, 0), coalesce(b.tokens, 0),
        coalesce(b.cost, 0), coalesce(b.credits, 0), coalesce(b.today, 0))
    is distinct from (coalesce(c.running, 0), coalesce(c.reserved_tokens, 0), coalesce(c.reserved_cost_micros, 0),
        coalesce(c.total_tokens, 0), coalesce(c.total_cost_micros, 0), coalesce(c.total_credits, 0),
        coalesce(counted(c, 'TOKENS', 'DAY', now()), 0))
"""

# I4: spent + reserved <= limit, in one snapshot.
OVERSHOT = """
select l.level, l.metric, l.period, l.ceiling, counted(c, l.metric, l.period, now()) as used, held(c, l.metric) as held
from counters c
join (
    select organization_id, level, subject_id, metric, period, ceiling from limits
    union all
    select o.organization_id, p.level, '', p.metric, p.period, p.ceiling
    from organizations o join plan_limits p using (plan)
) l on l.organization_id = c.organization_id and l.level = c.level and l.subject_id in ('', c.subject_id)
where counted(c, l.metric, l.period, now()) + held(c, l.metric) > l.ceiling
"""


@dataclass(frozen=True, slots=True)
class Quotas:
    """The room, as execution and people call it, and its books."""

    room: Room
    store: Store
    database: Database
    events: Events
    clock: FixedClock
    plans: Plans

    async def call(self, who: Identity | None, method: str, **fields: Any) -> Any:
        return await self.room.call(who, method, **fields)

    async def reserve(self, *reservations: dict[str, Any]) -> list[Grant]:
        return list((await self.call(EXECUTION, "Reserve", reservations=reservations)).grants)

    async def extend(self, *extensions: dict[str, Any]) -> list[Grant]:
        return list((await self.call(EXECUTION, "Extend", extensions=extensions)).grants)

    async def settle(self, *settlements: dict[str, Any]) -> list[Any]:
        return list((await self.call(EXECUTION, "Settle", settlements=settlements)).overruns)

    async def limit(self, who: Identity, limit: int, metric: str = "TOKENS", window: str = "TOTAL", **more: Any) -> Any:
        wanted = {"level": "ORGANIZATION", "metric": metric, "limit": limit} | more
        if metric != "CONCURRENT_EXECUTIONS":
            wanted["window"] = window
        return (await self.call(who, "SetQuota", quota=wanted)).quota

    async def query(self, who: Identity, statement: str) -> list[dict[str, Any]]:
        """Run a statement over the rows of one organisation."""
        return list(await self.database.statement(who.organization_id, statement))

    async def check_books(self, who: Identity) -> None:
        assert await self.query(who, BROKEN_BOOKS) == []
        assert await self.query(who, OVERSHOT) == []


def boss(organization_id: str = "") -> Identity:
    return Identity(organization_id or str(uuid.uuid4()), str(uuid.uuid4()), admin=True)


def run_of(who: Identity, **more: Any) -> dict[str, Any]:
    """A reservation for one more execution of a user."""
    wanted = {"id": f"{uuid.uuid4()}/1", "organization_id": who.organization_id, "user_id": who.subject}
    return wanted | {"agent_id": "", "tokens": 0} | more


def bill_for(reservation: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A settlement of a reservation."""
    bill = {"reservation_id": reservation["id"], "organization_id": reservation["organization_id"]}
    return bill | {"ended": "completed"} | more


@asynccontextmanager
async def serve_quotas(database_url: str, nats_url: str, keys: Keys, access_address: str) -> AsyncIterator[Quotas]:
    database, clock = Database(database_url, "quota"), FixedClock(datetime.now(UTC))
    access = Access(access_address, keys.signer("quota"))
    await database.open()
    async with Events(nats_url, "quota") as events:
        await events.ready()
        store = Store(database)
        plans = Plans(store, access, clock)
        server = Server("127.0.0.1:0", Door(keys.verifier(), Telemetry("quota")))
        server.add(add_QuotaServiceServicer_to_server, QuotaService(store, plans, events), pb.DESCRIPTOR)
        await server.start()
        room = Room(f"127.0.0.1:{server.port}", QuotaServiceStub, pb, keys)
        yield Quotas(room, store, database, events, clock, plans)
        await room.channel.close()
        await server.stop(0)
    await access.close()
    await database.close()
