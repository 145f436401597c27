"""A piece of network between a client and a server: TCP that can be cut, held back, and wrapped in TLS.

Owns connections only; what goes over them is the real thing.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Relay:
    """Carries bytes to a server at `target` (`host:port`) and back."""

    def __init__(self, target: str) -> None:
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self.address = ""
        self.connections = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._answers = asyncio.Event()
        self._answers.set()
        self.asked = asyncio.Event()

    def hold_answers(self) -> None:
        """Let requests through, and keep what is answered; `asked` is set by the next request."""
        self._answers.clear()
        self.asked.clear()

    def cut(self) -> None:
        """End all connections at once, with what was held; new ones are carried as ever."""
        for writer in self._writers:
            writer.transport.abort()
        self._answers.set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either side ends it."""
        self.connections += 1
        there, out = await asyncio.open_connection(self._host, self._port)
        self._writers |= {writer, out}
        try:
            await asyncio.gather(self._pump(reader, out, answers=False), self._pump(there, writer, answers=True))
        finally:
            self._writers -= {writer, out}
            for end in (writer, out):
                end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                if answers:
                    await self._answers.wait()
                writer.write(data)
                await writer.drain()
                if not answers:
                    self.asked.set()
        writer.transport.abort()


@asynccontextmanager
async def relaying(target: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[Relay]:
    """Give a relay to a server; with `tls` its clients speak TLS to it."""
    relay = Relay(target)
    server = await asyncio.start_server(relay.carry, "127.0.0.1", 0, ssl=tls)
    relay.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield relay
    finally:
        server.close()
        relay.cut()
        await asyncio.sleep(0)
