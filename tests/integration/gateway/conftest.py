"""The gateway, whole, in front of a real gRPC server: real uvicorn, real sockets, real identities."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import httpx
import pytest
import pytest_asyncio
import uvloop
from joserfc import jwk

from retinue_core.clock import SystemClock
from retinue_core.errors import unauthenticated
from retinue_core.identity import Identity, Signer, Verifier, generate_key, key_set
from retinue_core.rpc.server import Server
from retinue_core.rpc.tokens import Exchange, TokenCache
from retinue_core.telemetry import Telemetry
from services.gateway.admission import Admission
from services.gateway.app import Gateway, Limits
from services.gateway.auth import Authenticator
from services.gateway.endpoints import all_routes, build_endpoints, services_of
from services.gateway.metrics import Metrics
from services.gateway.openapi.comments import comments_of
from services.gateway.openapi.document import describe
from services.gateway.pages import Readiness, own_pages
from services.gateway.server import HttpServer, listen, serve_until
from services.gateway.stream import OpenStreams, Pace
from services.gateway.upstream import Upstreams
from tests.fakes.gateway import upstream
from tests.fakes.gateway.protos import files, image

TOKEN = "rtn_good"


@dataclass
class Running:
    """A running gateway with the echo service behind it."""

    client: httpx.AsyncClient
    echo: upstream.Echo
    server: Server
    verifier: Verifier
    address: str
    admission: Admission
    opened: OpenStreams
    readiness: Readiness
    url: str
    stop: asyncio.Event
    serving: asyncio.Task[None]
    exchanged: list[str] = field(default_factory=list)


Start = Callable[..., Awaitable[Running]]


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run the gateway's tests on the loop that it runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def start_gateway() -> AsyncIterator[Start]:
    """Give a function that starts a gateway."""
    async with AsyncExitStack() as stack:

        async def start(**settings: Any) -> Running:
            return await stack.enter_async_context(running_gateway(**settings))

        yield start


@pytest.fixture
async def gateway(start_gateway: Start) -> Running:
    """Give a running gateway."""
    return await start_gateway()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_gateway() -> AsyncIterator[Running]:
    """Give a running gateway to all tests of a module that leave nothing behind in it."""
    async with running_gateway() as running:
        yield running


async def settled(condition: Callable[[], bool]) -> None:
    """Waits until something holds; fails the test when it does not within ten seconds."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running_gateway(
    *,
    pace: Pace | None = None,
    limits: Limits | None = None,
    unary: int = 100,
    streams: int = 100,
    grace: float = 5.0,
) -> AsyncIterator[Running]:
    """Runs the echo service and a gateway in front of it."""
    key = generate_key()
    signer, verifier = Signer("access", key), Verifier(_keys(key))
    echo = upstream.Echo()
    server = await upstream.start(echo, verifier)
    address = f"127.0.0.1:{server.port}"
    exchanged: list[str] = []

    by_room = {"echo": files()}
    upstreams, opened = Upstreams({"echo": address}, services_of(by_room)), OpenStreams()
    admission = Admission(unary=unary, streams=streams)
    metrics, readiness, routes = Metrics(admission), Readiness(upstreams), all_routes(by_room)
    app = Gateway(
        endpoints=build_endpoints(routes, upstreams, opened, pace or Pace()),
        pages=own_pages(readiness, lambda: describe(routes, comments_of(image())), metrics),
        authenticator=Authenticator(TokenCache(_exchange(signer, exchanged))),
        admission=admission,
        metrics=metrics,
        spans=Telemetry("gateway"),
        clock=SystemClock(),
        limits=limits or Limits(),
    )
    http, stop = HttpServer(app, listen("127.0.0.1", 0), grace=grace), asyncio.Event()
    serving = asyncio.create_task(serve_until(stop, [http], readiness, opened, grace=grace))
    headers = {"authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(base_url=http.url, headers=headers, timeout=20, trust_env=False) as client:
        yield Running(
            client, echo, server, verifier, address, admission, opened, readiness, http.url, stop, serving, exchanged
        )
        stop.set()
    await serving
    await upstreams.close()
    await server.stop(0)


def _exchange(signer: Signer, asked: list[str]) -> Exchange:
    async def exchange(token: str) -> tuple[str, float]:
        asked.append(token)
        if token != TOKEN:
            raise unauthenticated("The token is unknown.")
        identity = Identity("org", "ada", scopes=frozenset({"notes:read", "notes:write"}))
        return signer.sign(identity, 300), 4e9

    return exchange


def _keys(key: jwk.OKPKey) -> jwk.KeySet:
    return jwk.KeySet.import_key_set(cast("Any", key_set({"access": key})))
