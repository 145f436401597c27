"""Requests to the outside, through the guard.

Owns time limits and redirects: every hop is checked like the first URL. Proxies, cookies and credentials from the
environment play no part, and each request has a connection of its own, so that nothing is shared between tenants
and nothing is sent over a connection that has gone stale.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING
from urllib.parse import urldefrag, urljoin

from services.worker.egress.answer import Answer, Headers, Progress, Resolver, UnansweredError
from services.worker.egress.policy import Policy, Target, parse_url

if TYPE_CHECKING:
    from services.worker.egress.transport import Transport

MAX_REDIRECTS = 5

_REDIRECTS = (301, 302, 303, 307, 308)
_SAFE = ("GET", "HEAD", "OPTIONS")
_SECRET = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key", "idempotency-key"})
_OF_THE_BODY = frozenset({"content-type", "content-encoding", "content-language"})


class Egress:
    """Makes requests that the policy allows. `resolve` gives the addresses of a name, the system's by default."""

    def __init__(self, policy: Policy, *, resolve: Resolver | None = None) -> None:
        self._policy = policy
        self._resolve = resolve or resolve_by_system
        self._transport: Transport | None = None

    async def request(
        self, method: str, url: str, *, headers: Headers = (), body: bytes = b"", limit: int, seconds: float
    ) -> Answer:
        """Send a request and read the answer, within `seconds` and `limit` bytes.

        A request that may change something follows only redirects that turn it into a GET or stay at the same
        origin. Raises RefusedError and UnansweredError.
        """
        progress = Progress()
        try:
            async with asyncio.timeout(seconds):
                transport = self._transport or await self._open()
                return await self._follow(transport, method, parse_url(url), headers, body, limit, progress)
        except TimeoutError:
            raise UnansweredError(f"There was no answer within {seconds:g} s.", sent=progress.sent) from None

    async def _open(self) -> Transport:
        # The HTTP library takes a while to import, and other executions go on meanwhile.
        module = await asyncio.to_thread(import_module, "services.worker.egress.transport")
        self._transport = module.Transport(self._policy, self._resolve)
        return self._transport

    async def _follow(
        self,
        transport: Transport,
        method: str,
        target: Target,
        headers: Headers,
        body: bytes,
        limit: int,
        progress: Progress,
    ) -> Answer:
        for _ in range(MAX_REDIRECTS + 1):
            answer = await transport.send(method, target, headers, body, limit, progress)
            location = answer.header("location")
            if answer.status not in _REDIRECTS or not location:
                return answer
            following = parse_url(urldefrag(urljoin(target.url, location)).url)
            same_origin = following.origin == target.origin
            if answer.status == 303 or (answer.status in (301, 302) and method == "POST"):
                method, body = "HEAD" if method == "HEAD" else "GET", b""
                headers = _without(headers, _OF_THE_BODY)
            elif method not in _SAFE and not same_origin:
                return answer
            if not same_origin:
                headers = _without(headers, _SECRET)
            target = following
        raise UnansweredError(f"There were more than {MAX_REDIRECTS} redirects.", sent=True)


async def resolve_by_system(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, by the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _without(headers: Headers, names: frozenset[str]) -> Headers:
    return [pair for pair in headers if pair[0].lower() not in names]
