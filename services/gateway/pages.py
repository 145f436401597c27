"""The gateway's own pages: liveness, readiness, figures, the API's description and its reader.

None of them needs a token, and none of them tells more than that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from importlib import resources

import orjson

from retinue_core.clock import Clock
from services.gateway.app import Page
from services.gateway.errors import no_route
from services.gateway.metrics import CONTENT_TYPE, Metrics
from services.gateway.reply import JSON, Reply
from services.gateway.requests import Receive, Request, Scope, Send
from services.gateway.upstream import Upstreams

_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SAFE = [
    (b"content-security-policy", _POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),
]
_READER = {
    b"/docs": ("index.html", b"text/html; charset=utf-8"),
    b"/docs/reader.js": ("reader.js", b"text/javascript; charset=utf-8"),
    b"/docs/reader.css": ("reader.css", b"text/css; charset=utf-8"),
}
_PLAIN = [(b"cache-control", b"no-store")]


class Readiness:
    """Whether the gateway takes requests: not while it drains, and not without the services behind it."""

    def __init__(self, upstreams: Upstreams) -> None:
        self._upstreams = upstreams
        self.draining = False

    async def page(self, request: Request, reply: Reply) -> None:
        """Answers 200 when every service serves, else 503, with the state of each."""
        del request
        services = await self._upstreams.health()
        ready = not self.draining and all(state == "SERVING" for state in services.values())
        status = "ready" if ready else "draining" if self.draining else "unavailable"
        body = orjson.dumps({"status": status, "services": services})
        await reply.send(200 if ready else 503, JSON, body, _PLAIN)


def own_pages(readiness: Readiness, openapi: Callable[[], bytes], metrics: Metrics | None) -> Mapping[bytes, Page]:
    """All pages by their path; without `metrics` they have a port of their own."""
    pages: dict[bytes, Page] = {
        b"/healthz": _fixed(b'{"status":"alive"}', JSON, _PLAIN),
        b"/readyz": readiness.page,
        b"/openapi.json": _made(cache(openapi), JSON, [(b"cache-control", b"no-cache")]),
    }
    folder = resources.files(__package__) / "reader"
    for path, (name, content_type) in _READER.items():
        pages[path] = _fixed((folder / name).read_bytes(), content_type, _SAFE)
    if metrics is not None:
        pages[b"/metrics"] = _made(metrics.text, CONTENT_TYPE, _PLAIN)
    return pages


def metrics_app(metrics: Metrics, clock: Clock) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """An application of its own that answers /metrics, and nothing else."""
    page = _made(metrics.text, CONTENT_TYPE, _PLAIN)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        request = Request.of(scope)
        reply = Reply(send, request.request_id, clock)
        if request.raw_path == b"/metrics" and request.method in ("GET", "HEAD"):
            await page(request, reply)
        else:
            await reply.fail(no_route(request.raw_path.decode("latin-1")))

    return app


def _fixed(body: bytes, content_type: bytes, headers: list[tuple[bytes, bytes]]) -> Page:
    return _made(lambda: body, content_type, headers)


def _made(body: Callable[[], bytes], content_type: bytes, headers: list[tuple[bytes, bytes]]) -> Page:
    async def page(request: Request, reply: Reply) -> None:
        del request
        await reply.send(200, content_type, body(), headers)

    return page
