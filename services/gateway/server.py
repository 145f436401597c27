"""uvicorn, run from inside: one listening socket, bounded heads, and a drain in the right order.

Owns what happens below ASGI. Refuses heads that are too large or too slow, which uvicorn itself
would take without a bound.
"""

from __future__ import annotations

import asyncio
import math
import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from retinue_core import ids
from retinue_core.clock import SystemClock
from retinue_core.errors import invalid
from services.gateway.errors import body_of
from services.gateway.pages import Readiness
from services.gateway.stream import OpenStreams

MOST_HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 10.0
KEEP_ALIVE_SECONDS = 75

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


_NOT_HTTP = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
)


class _OneWrite:
    """A transport that holds the head of a response back until its body follows.

    uvicorn writes them one after the other; sent together they cost one system call and wake the
    client once. A head whose body does not follow at once goes out on its own.
    """

    __slots__ = ("_head", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""

    def write(self, data: bytes) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head + data)
        elif data.startswith(b"HTTP/1.1 2"):
            self._head = data
            self._loop.call_soon(self.flush)
        else:
            self._transport.write(data)

    def flush(self) -> None:
        if self._head:
            self.write(b"")

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class BoundedProtocol(HttpToolsProtocol):
    """HTTP/1.1 as uvicorn speaks it, with a bound on the size of a head and on the time it takes."""

    _in_head = True
    _body_came = False
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes a connection; one that never sends anything is closed like an idle one."""
        stream = cast("asyncio.Transport", transport)
        super().connection_made(stream)
        self.transport = cast("asyncio.Transport", _OneWrite(stream, self.loop))
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets a connection."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Takes bytes; counts them while a head is incomplete."""
        self._body_came = False
        super().data_received(data)
        # Bytes in which a head or a body ended are, for the most part, not those of the next head.
        if not self._in_head or self._body_came or self.transport.is_closing():
            return
        self._head_bytes += len(data)
        if self._head_bytes > MOST_HEAD_BYTES:
            self.transport.write(_TOO_LARGE)
            self.transport.close()
        elif self._head_timer is None and self._head_bytes:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def send_400_response(self, msg: str) -> None:
        """Answers what is not HTTP, in the error format of everything else."""
        error = invalid("This is not a request of HTTP/1.1.", code="INVALID_HTTP")
        body = body_of(error, ids.new_id(), SystemClock().now())
        self.transport.write(_NOT_HTTP % len(body) + body)
        self.transport.close()

    def on_headers_complete(self) -> None:
        """A head is complete."""
        self._in_head = False
        self._body_came = True
        self._head_bytes = 0
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """A request is complete; what comes next is a head."""
        super().on_message_complete()
        self._in_head = True
        self._body_came = True

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class HttpServer(uvicorn.Server):
    """A uvicorn server on a bound socket that leaves signals to the process."""

    def __init__(self, app: Any, listening: socket.socket, *, grace: float) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=math.ceil(grace),
            )
        )
        self._listening = listening
        host, port = listening.getsockname()[:2]
        self.url = f"http://{host}:{port}"

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Handles no signal: the composition root decides when to stop."""
        yield

    async def run_to_end(self) -> None:
        """Serves until `should_exit`, then drains."""
        await self.serve(sockets=[self._listening])


def listen(host: str, port: int) -> socket.socket:
    """Binds a socket; port 0 takes a free one. Raises OSError with the address in its text."""
    try:
        return socket.create_server((host, port), backlog=2048)
    except OSError as error:
        raise OSError(f"cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}; choose another port") from None


async def serve_until(
    stop: asyncio.Event, servers: list[HttpServer], readiness: Readiness, opened: OpenStreams, *, grace: float
) -> None:
    """Serves until `stop` is set, then drains within `grace` seconds.

    The order: not ready, no new connections, streams that only read end (their clients come back
    elsewhere), requests and runs under way finish, and what is left then is cut off.
    """
    tasks = [asyncio.create_task(server.run_to_end()) for server in servers]
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    readiness.draining = True
    for server in servers:
        server.should_exit = True
    opened.end(only_reads=True)
    asyncio.get_running_loop().call_later(grace * 0.9, lambda: opened.end(only_reads=False))
    await asyncio.gather(*tasks)
