"""The gateway as a process: configuration, dependencies, serve, drain."""

from __future__ import annotations

import logging
import os

from retinue_core.clock import SystemClock
from retinue_core.config import load
from retinue_core.process import run
from retinue_core.rpc.access import exchange_at
from retinue_core.rpc.server import stop_signal
from retinue_core.rpc.tokens import TokenCache
from retinue_core.telemetry import Telemetry
from services.gateway.admission import Admission
from services.gateway.app import Gateway
from services.gateway.auth import Authenticator
from services.gateway.config import ROOMS, Settings
from services.gateway.endpoints import all_routes, build_endpoints, load_files, services_of
from services.gateway.metrics import Metrics
from services.gateway.openapi import comments
from services.gateway.openapi.document import describe
from services.gateway.pages import Readiness, metrics_app, own_pages
from services.gateway.server import HttpServer, listen, serve_until
from services.gateway.stream import OpenStreams, Pace
from services.gateway.upstream import Upstreams

log = logging.getLogger(__name__)


async def serve(settings: Settings) -> None:
    """Serve REST until told to stop."""
    stop, clock, spans = stop_signal(), SystemClock(), Telemetry("gateway", endpoint=settings.otlp_endpoint)
    files = load_files(ROOMS)
    routes = all_routes(files)
    upstreams, opened = Upstreams(settings.addresses, services_of(files)), OpenStreams()
    admission = Admission(unary=settings.most_unary, streams=settings.most_streams)
    metrics, readiness = Metrics(admission), Readiness(upstreams)
    own_port = settings.metrics_port is not None
    gateway = Gateway(
        endpoints=build_endpoints(routes, upstreams, opened, Pace()),
        pages=own_pages(readiness, lambda: describe(routes, comments.load()), None if own_port else metrics),
        authenticator=Authenticator(TokenCache(exchange_at(settings.access_address))),
        admission=admission,
        metrics=metrics,
        spans=spans,
        clock=clock,
        log_requests=settings.log_requests,
    )
    servers = [HttpServer(gateway, listen(settings.host, settings.port), grace=settings.grace)]
    if settings.metrics_port is not None:
        figures = metrics_app(metrics, clock)
        servers.append(HttpServer(figures, listen(settings.host, settings.metrics_port), grace=1.0))
    log.info("serving REST on %s", servers[0].url)
    try:
        await serve_until(stop, servers, readiness, opened, grace=settings.grace)
    finally:
        await upstreams.close()
        spans.close()


async def main() -> None:
    """Read the settings and serve: what is wrong with them is one line on the way out."""
    await serve(load(Settings, os.environ))


if __name__ == "__main__":
    run(main())
