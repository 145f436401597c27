"""The worker as a process: configuration, dependencies, attach until told to stop."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from importlib.metadata import version

from retinue.execution.v1 import worker_service_pb2
from retinue_core.clock import SystemClock
from retinue_core.config import load
from retinue_core.identity import Signer
from retinue_core.process import run
from retinue_core.rpc.client import Peer
from retinue_core.telemetry import Telemetry
from services.worker.attach import Hello, Worker
from services.worker.config import Settings
from services.worker.egress.client import Egress
from services.worker.models.anthropic import Anthropic
from services.worker.models.asking import Patience
from services.worker.models.prices import PRICES, read_table
from services.worker.models.router import TIERS, Router
from services.worker.runner import Parts
from services.worker.specs import Specs
from services.worker.toolbox import Toolbox
from services.worker.tools.catalog import built_in


async def work(settings: Settings) -> None:
    """Run executions until told to stop."""
    spans = Telemetry("worker", endpoint=settings.otlp_endpoint)
    peer = Peer(
        settings.execution_address,
        Signer.read("worker", settings.identity_key),
        worker_service_pb2.DESCRIPTOR.services_by_name["WorkerService"],
    )
    prices = read_table(settings.prices) if settings.prices else PRICES
    key, url = settings.anthropic_key, settings.anthropic_url
    account = Anthropic(key, base_url=url, prices=prices) if key else None
    tools = built_in(settings.honours_key)
    clock, patience = SystemClock(), Patience()
    parts = Parts(
        specs=Specs(tools),
        router=Router(account, tiers={**TIERS, **(settings.tiers or {})}),
        tools=Toolbox(tools, Egress(settings.egress), patience, clock.monotonic),
        spans=spans,
        clock=clock,
        patience=patience,
    )
    hello = Hello(settings.unique_name(), settings.pool, settings.slots, version("retinue"), tuple(tools))
    worker = Worker(peer, hello, parts, random.random)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, worker.leave)
    try:
        await worker.run(settings.grace)
    finally:
        if account is not None:
            await account.close()
        await peer.close()
        spans.close()


async def main() -> None:
    """Read the settings and serve: what is wrong with them is one line on the way out."""
    await work(load(Settings, os.environ))


if __name__ == "__main__":
    run(main())
