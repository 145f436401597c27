"""The quota room as a process: configuration, dependencies, serve."""

from __future__ import annotations

import asyncio
import os

from retinue.quota.v1 import quota_service_pb2
from retinue.quota.v1.quota_service_pb2_grpc import add_QuotaServiceServicer_to_server
from retinue_core.clock import SystemClock
from retinue_core.config import load
from retinue_core.db import Database
from retinue_core.events import Events
from retinue_core.process import common, run
from retinue_core.rpc.server import Server
from services.quota.clients import Access
from services.quota.config import Settings
from services.quota.plans import Plans
from services.quota.recovery import sweep_for_ever
from services.quota.service import QuotaService
from services.quota.store import Store


async def serve(settings: Settings) -> None:
    """Serve quotas, and give back what expired, until told to stop."""
    parts = common("quota", settings)
    database = Database(settings.database_url, "quota")
    access = Access(settings.access_address, parts.signer)
    await database.open()
    store = Store(database)
    sweeping = asyncio.create_task(
        sweep_for_ever(store, every=settings.sweep_seconds, keep=settings.keep_expired_seconds)
    )
    try:
        async with Events(settings.nats_url, "quota") as events:
            server = Server(settings.address, parts.door, needs=database.ping)
            service = QuotaService(store, Plans(store, access, SystemClock()), events)
            server.add(add_QuotaServiceServicer_to_server, service, quota_service_pb2.DESCRIPTOR)
            await server.run()
    finally:
        sweeping.cancel()
        await access.close()
        await database.close()
        parts.spans.close()


async def main() -> None:
    """Read the settings and serve: what is wrong with them is one line on the way out."""
    await serve(load(Settings, os.environ))


if __name__ == "__main__":
    run(main())
