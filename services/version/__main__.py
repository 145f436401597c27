"""The version room as a process: configuration, dependencies, serve."""

from __future__ import annotations

import os

from retinue.agent.v1 import agent_service_pb2
from retinue.version.v1 import version_service_pb2
from retinue.version.v1.version_service_pb2_grpc import add_VersionServiceServicer_to_server
from retinue_core.clock import SystemClock
from retinue_core.config import load
from retinue_core.db import Answers, Database
from retinue_core.events import Events
from retinue_core.process import common, run
from retinue_core.rpc.client import Peer
from retinue_core.rpc.server import Server
from services.version.clients import AgentClient
from services.version.config import Settings
from services.version.recovery import Sweep
from services.version.service import VersionService
from services.version.store import Store


async def serve(settings: Settings) -> None:
    """Serve versions until told to stop."""
    database = Database(settings.database_url, "version")
    answers = Answers(database)
    parts = common("version", settings, answers=answers)
    await database.open()
    peer = Peer(settings.agent_address, parts.signer, agent_service_pb2.DESCRIPTOR.services_by_name["AgentService"])
    store, agents = Store(database), AgentClient(peer)
    try:
        async with Events(settings.nats_url, "version") as events:
            server = Server(settings.address, parts.door, needs=database.ping)
            service = VersionService(store, agents, events, SystemClock())
            server.add(add_VersionServiceServicer_to_server, service, version_service_pb2.DESCRIPTOR)
            await server.run(loops=[answers.run, Sweep(store, agents).run])
    finally:
        await peer.close()
        await database.close()
        parts.spans.close()


async def main() -> None:
    """Read the settings and serve: what is wrong with them is one line on the way out."""
    await serve(load(Settings, os.environ))


if __name__ == "__main__":
    run(main())
