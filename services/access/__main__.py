"""The access room as a process: configuration, dependencies, bootstrap, serve."""

from __future__ import annotations

import os

from retinue.access.v1 import access_service_pb2
from retinue.access.v1.access_service_pb2_grpc import add_AccessServiceServicer_to_server
from retinue_core.clock import SystemClock
from retinue_core.config import load
from retinue_core.db import Answers, Database
from retinue_core.events import Events
from retinue_core.process import common, run
from retinue_core.rpc.server import Server
from services.access.bootstrap import bootstrap
from services.access.config import Settings
from services.access.service import AccessService
from services.access.store import Store


async def serve(settings: Settings) -> None:
    """Serve identities until told to stop."""
    clock = SystemClock()
    database = Database(settings.database_url, "access")
    answers = Answers(database)
    parts = common("access", settings, answers=answers)
    await database.open()
    try:
        store = Store(database)
        if settings.bootstrap_token:
            await bootstrap(store, settings.bootstrap_token, clock)
        async with Events(settings.nats_url, "access") as events:
            server = Server(settings.access_address, parts.door, needs=database.ping)
            service = AccessService(store, parts.signer, events, clock)
            server.add(add_AccessServiceServicer_to_server, service, access_service_pb2.DESCRIPTOR)
            await server.run(loops=[answers.run])
    finally:
        await database.close()
        parts.spans.close()


async def main() -> None:
    """Read the settings and serve: what is wrong with them is one line on the way out."""
    await serve(load(Settings, os.environ))


if __name__ == "__main__":
    run(main())
