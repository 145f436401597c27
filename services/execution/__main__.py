"""The execution service: settings, its parts, and serving."""

from __future__ import annotations

import os

from externalscaler import externalscaler_pb2
from externalscaler.externalscaler_pb2_grpc import add_ExternalScalerServicer_to_server
from retinue.execution.v1 import execution_service_pb2, worker_service_pb2
from retinue.execution.v1.execution_service_pb2_grpc import add_ExecutionServiceServicer_to_server
from retinue.execution.v1.worker_service_pb2_grpc import add_WorkerServiceServicer_to_server
from retinue_core.config import load
from retinue_core.db import Answers, Database
from retinue_core.events import Events
from retinue_core.process import common, run
from retinue_core.rpc.server import Server
from services.execution.accept import Acceptor
from services.execution.attach import WorkerService
from services.execution.clients import Reservations, Versions
from services.execution.config import Settings
from services.execution.controls import Control
from services.execution.dispatch import Dispatcher
from services.execution.feed import Feed
from services.execution.hints import Hints
from services.execution.journal import Journal
from services.execution.matching import Matcher
from services.execution.recovery import Recovery
from services.execution.relay import Relay
from services.execution.scaler import Scaler
from services.execution.service import ExecutionService
from services.execution.store import Controls, Executions, Holding, Journals, Outbox
from services.execution.watch import Watcher


async def main() -> None:
    """Put the service together and serve until told to stop."""
    settings = load(Settings, os.environ)
    database = Database(settings.database_url, "execution", min_size=2, max_size=10)
    answers = Answers(database)
    parts = common("execution", settings, answers=answers)
    await database.open()
    async with Events(settings.nats_url, "execution") as events:
        executions, journals = Executions(database), Journals(database)
        holding, outbox = Holding(database), Outbox(database)
        matcher, feed = Matcher(), Feed(events)
        versions = Versions(settings.version_address, parts.signer, events)
        reservations = Reservations(settings.quota_address, parts.signer, outbox)
        relay = Relay(events, feed, outbox, journals)
        journal = Journal(journals, executions, relay, reservations.owe)
        dispatcher = Dispatcher(matcher, holding, journals, executions, relay, reservations)
        reservations.on_settled = dispatcher.settled
        recovery = Recovery(settings, events, matcher, holding, executions, relay, reservations)
        acceptor = Acceptor(
            versions, reservations, executions, journal, matcher, events, most_waiting=settings.most_waiting
        )
        watcher = Watcher(feed, executions, journals)
        control = Control(Controls(database), executions, relay, reservations, recovery, matcher, events)
        service = ExecutionService(acceptor, watcher, feed, executions, journals, control)
        workers = WorkerService(
            settings.lease, settings.reattach, matcher, holding, journal, feed, reservations, recovery
        )
        server = Server(settings.address, parts.door, needs=database.ping)
        server.add(add_ExecutionServiceServicer_to_server, service, execution_service_pb2.DESCRIPTOR)
        server.add(add_WorkerServiceServicer_to_server, workers, worker_service_pb2.DESCRIPTOR)
        server.add(add_ExternalScalerServicer_to_server, Scaler(holding), externalscaler_pb2.DESCRIPTOR)
        hints = Hints(events, feed, versions, matcher)
        loops = (relay.run, dispatcher.run, reservations.run, recovery.run, hints.run, watcher.run, answers.run)
        await server.run(drain=workers.drain, loops=loops)
        await versions.close()
        await reservations.close()
    await database.close()
    parts.spans.close()


if __name__ == "__main__":
    run(main())
