"""One exchange over one connection, to an address that was checked.

Owns connecting: a name is resolved once, every address it has must be allowed, and the connection is made to one of
them with the name kept for TLS. Importing this module loads the HTTP library, so `client` does it in a thread at the
first use.
"""

from __future__ import annotations

import ssl
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import httpcore2

from services.worker.egress.answer import Answer, Headers, Progress, Resolver, UnansweredError
from services.worker.egress.policy import Policy, RefusedError, Target

_DEFAULTS = (("accept-encoding", "gzip"), ("user-agent", "retinue"), ("accept", "*/*"))


class Transport:
    """Makes single requests; follows nothing and shares nothing between them."""

    def __init__(self, policy: Policy, resolve: Resolver) -> None:
        self._backend = _Guarded(policy, resolve)
        self._tls: ssl.SSLContext | None = None

    async def send(
        self, method: str, target: Target, headers: Headers, body: bytes, limit: int, progress: Progress
    ) -> Answer:
        """Send one request and read at most `limit` bytes of the answer. Raises RefusedError and UnansweredError."""
        scheme, host = target.scheme.encode(), target.host.encode()
        url = httpcore2.URL(scheme=scheme, host=host, port=target.port, target=target.path.encode())
        request = httpcore2.Request(
            method,
            url,
            headers=_complete(target, headers, body),
            content=body,
            extensions={"trace": progress.trace},
        )
        connection = httpcore2.AsyncHTTPConnection(
            httpcore2.Origin(scheme, host, target.port),
            ssl_context=self._context(scheme),
            network_backend=self._backend,
        )
        try:
            async with connection:
                response = await connection.handle_async_request(request)
                return await _read(response, method, target, limit)
        except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException, zlib.error) as error:
            raise UnansweredError(_words(error), sent=progress.sent) from None

    def _context(self, scheme: bytes) -> ssl.SSLContext | None:
        if scheme == b"https" and self._tls is None:
            self._tls = httpcore2.default_ssl_context()
        return self._tls


class _Guarded(httpcore2.AnyIOBackend):
    """Connects to addresses that were checked, and to nothing else."""

    def __init__(self, policy: Policy, resolve: Resolver) -> None:
        self._policy = policy
        self._resolve = resolve

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        failure: Exception = httpcore2.ConnectError(f"{host} has no address")
        for address in await self._checked(host, port):
            try:
                return await super().connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's signature
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        raise RefusedError("Sockets of this machine cannot be reached.")

    async def _checked(self, host: str, port: int) -> Sequence[str]:
        """The addresses of a host, all of them allowed: a name with one refused address is refused as a whole."""
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError):
            raise UnansweredError(f"The name {host} cannot be resolved.", sent=False) from None
        for address in addresses:
            self._policy.check_address(host, address, port)
        return addresses


def _complete(target: Target, headers: Headers, body: bytes) -> list[tuple[bytes, bytes]]:
    given = {name.lower() for name, _ in headers}
    added = [("host", target.authority), ("connection", "close")]
    added += [pair for pair in _DEFAULTS if pair[0] not in given]
    if body:
        added.append(("content-length", str(len(body))))
    return [(name.encode("ascii"), value.encode("latin-1")) for name, value in (*added, *headers)]


async def _read(response: httpcore2.Response, method: str, target: Target, limit: int) -> Answer:
    headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in response.headers]
    packed = method != "HEAD" and ("content-encoding", "gzip") in headers
    unpack = zlib.decompressobj(wbits=31) if packed else None
    body = bytearray()
    async for chunk in response.aiter_stream():
        body += unpack.decompress(chunk, limit + 1 - len(body)) if unpack else chunk
        if len(body) > limit:
            break
    return Answer(response.status, headers, bytes(body[:limit]), target.url, len(body) > limit)


def _words(error: Exception) -> str:
    return f"The connection failed: {str(error) or type(error).__name__}."
