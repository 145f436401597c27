"""The version room as a process: configuration, dependencies, serve."""

from __future__ import annotations

import asyncio
import os

from retinue.agent.v1 import agent_service_pb2
from retinue.version.v1 import version_service_pb2
from retinue.version.v1.version_service_pb2_grpc import add_VersionServiceServicer_to_server
from retinue_core.clock import SystemClock
from retinue_core.config import load
from retinue_core.db import Database
from retinue_core.events import Events
from retinue_core.process import common, run
from retinue_core.rpc.client import Peer
from retinue_core.rpc.server import Server
from services.version import recovery
from services.version.clients import AgentClient
from services.version.config import Settings
from services.version.service import VersionService
from services.version.store import Store

_SWEEP_SECONDS = 5.0


async def serve(settings: Settings) -> None:
    """Serve versions until told to stop."""
    parts = common("version", settings)
    database = Database(settings.database_url, "version")
    await database.open()
    peer = Peer(settings.agent_address, parts.signer, agent_service_pb2.DESCRIPTOR.services_by_name["AgentService"])
    store, agents = Store(database), AgentClient(peer)
    sweeping = asyncio.create_task(recovery.run(store, agents, seconds=_SWEEP_SECONDS))
    try:
        async with Events(settings.nats_url, "version") as events:
            server = Server(settings.address, parts.door)
            service = VersionService(store, agents, events, SystemClock())
            server.add(add_VersionServiceServicer_to_server, service, version_service_pb2.DESCRIPTOR)
            await server.run()
    finally:
        sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)
        await peer.close()
        await database.close()
        parts.spans.close()


if __name__ == "__main__":
    run(serve(load(Settings, os.environ)))
