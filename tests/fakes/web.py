"""A real HTTP/1.1 server on loopback that keeps a ledger of what it was sent.

Owns the wire: routes answer with a status, headers and a body, or take the connection into their own hands.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Headers = dict[str, str]


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    target: str
    headers: Headers
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


@dataclass(frozen=True)
class Reply:
    """What a route answers."""

    status: int = 200
    body: bytes = b""
    headers: Headers = field(default_factory=dict)


Route = Callable[[Seen], Reply]
RawRoute = Callable[[Seen, asyncio.StreamWriter], Awaitable[None]]


class Web:
    """The server. `routes` answer by path, `raw` ones write to the connection themselves."""

    def __init__(self) -> None:
        self.port = 0
        self.seen: list[Seen] = []
        self.connections = 0
        self.routes: dict[str, Route] = {}
        self.raw: dict[str, RawRoute] = {}
        self.arrived = asyncio.Event()
        self._hanging: dict[str, asyncio.Event] = {}
        self._readers: dict[asyncio.StreamWriter, asyncio.StreamReader] = {}

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """The address of a path."""
        return f"http://{host}:{self.port}{path}"

    def hang(self, path: str) -> asyncio.Event:
        """Let a path never answer. The event says that its caller has gone away."""
        return self._hanging.setdefault(path, asyncio.Event())

    async def gone(self, writer: asyncio.StreamWriter) -> None:
        """Wait until the caller of a connection has gone away."""
        await self._readers[writer].read()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._readers[writer] = reader
        try:
            seen = await _read(reader)
            if seen is None:
                return
            self.seen.append(seen)
            self.arrived.set()
            if seen.path in self._hanging:
                await self.gone(writer)
                self._hanging[seen.path].set()
            elif seen.path in self.raw:
                await self.raw[seen.path](seen, writer)
            else:
                writer.write(encode(self.routes.get(seen.path, _missing)(seen)))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            del self._readers[writer]
            writer.close()


def _missing(_: Seen) -> Reply:
    return Reply(404)


def encode(reply: Reply) -> bytes:
    """A whole answer as bytes."""
    headers = {"content-length": str(len(reply.body)), "connection": "close", **reply.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {reply.status} Said\r\n{lines}\r\n".encode() + reply.body


async def _read(reader: asyncio.StreamReader) -> Seen | None:
    start = (await reader.readline()).decode("latin-1").split()
    if len(start) != 3:
        return None
    headers: Headers = {}
    while line := (await reader.readline()).decode("latin-1").strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Seen(start[0], start[1], headers, body)


@asynccontextmanager
async def serving(host: str = "127.0.0.1") -> AsyncIterator[Web]:
    """Serve on a free port of loopback until the block ends."""
    web = Web()
    server = await asyncio.start_server(web.handle, host, 0)
    web.port = server.sockets[0].getsockname()[1]
    async with server:
        yield web
