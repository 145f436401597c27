"""The agent room as a process: configuration, dependencies, serve."""

from __future__ import annotations

import os

from retinue.agent.v1 import agent_service_pb2
from retinue.agent.v1.agent_service_pb2_grpc import add_AgentServiceServicer_to_server
from retinue_core.clock import SystemClock
from retinue_core.config import load
from retinue_core.db import Answers, Database
from retinue_core.events import Events
from retinue_core.process import common, run
from retinue_core.rpc.server import Server
from services.agent.config import Settings
from services.agent.service import AgentService
from services.agent.store import Store


async def serve(settings: Settings) -> None:
    """Serve agents until told to stop."""
    database = Database(settings.database_url, "agent")
    answers = Answers(database)
    parts = common("agent", settings, answers=answers)
    await database.open()
    try:
        async with Events(settings.nats_url, "agent") as events:
            server = Server(settings.address, parts.door, needs=database.ping)
            service = AgentService(Store(database), events, SystemClock())
            server.add(add_AgentServiceServicer_to_server, service, agent_service_pb2.DESCRIPTOR)
            await server.run(loops=[answers.run])
    finally:
        await database.close()
        parts.spans.close()


async def main() -> None:
    """Read the settings and serve: what is wrong with them is one line on the way out."""
    await serve(load(Settings, os.environ))


if __name__ == "__main__":
    run(main())
