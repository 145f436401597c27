"""A worker in this process, attached over real gRPC to a fake execution service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from retinue.execution.v1 import worker_service_pb2
from retinue_core.clock import Clock, FixedClock, SystemClock
from retinue_core.identity import Signer
from retinue_core.rpc.client import Peer
from retinue_core.telemetry import Telemetry
from services.worker.attach import Hello, Worker
from services.worker.egress.client import Egress
from services.worker.egress.policy import parse_policy
from services.worker.models.anthropic import Anthropic
from services.worker.models.asking import Patience
from services.worker.models.router import Router
from services.worker.runner import Parts
from services.worker.specs import Specs
from services.worker.toolbox import Toolbox
from services.worker.tools.catalog import Catalog, built_in
from tests.fakes.web import Web, serving
from tests.fakes.worker_service import FakeExecution, fake_execution

ATTACH = worker_service_pb2.DESCRIPTOR.services_by_name["WorkerService"]


async def no_pause(_: float) -> None:
    await asyncio.sleep(0)


@dataclass
class Bench:
    """A worker and what is around it."""

    execution: FakeExecution
    worker: Worker
    task: asyncio.Task[None]
    web: Web
    clock: FixedClock


Start = Callable[..., Any]


@asynccontextmanager
async def attached(
    key: Path,
    *,
    lease_ms: int = 5000,
    honours: bool = False,
    account: Anthropic | None = None,
    tools: Catalog | None = None,
    clock: Clock | None = None,
    spans: Telemetry | None = None,
    grace: float = 5.0,
) -> AsyncIterator[Bench]:
    """Attach a worker for the length of the block. Its http tool may reach the web server of the bench."""
    async with serving() as web, fake_execution(lease_ms) as (execution, port):
        inner = frozenset({f"127.0.0.1:{web.port}"})
        catalog = {**built_in(inner if honours else frozenset()), **(tools or {})}
        fixed = FixedClock(datetime(2026, 1, 1, tzinfo=UTC))
        used = clock or fixed
        patience = Patience(no_pause, lambda: 0.0)
        egress = Egress(parse_policy(list(inner)))
        parts = Parts(
            Specs(catalog),
            Router(account),
            Toolbox(catalog, egress, patience, used.monotonic),
            spans or Telemetry("worker"),
            used,
            patience,
        )
        peer = Peer(f"127.0.0.1:{port}", Signer.read("worker", key), ATTACH)
        worker = Worker(peer, Hello("w1", "default", 100, "1", tuple(catalog)), parts, lambda: 0.0)
        task = asyncio.create_task(worker.run(grace))
        try:
            yield Bench(execution, worker, task, web, fixed)
        finally:
            worker.leave()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await peer.close()


@pytest.fixture
def start(identity_key: Callable[[str], Path]) -> Start:
    """Give `attached`, with the key that a worker has."""
    return lambda **options: attached(identity_key("worker"), **options)


@pytest.fixture
async def bench(start: Start) -> AsyncIterator[Bench]:
    """Give a worker as it usually is."""
    async with start(clock=SystemClock()) as one:
        yield one
