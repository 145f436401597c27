"""PostgreSQL and NATS of a local suite: embedded ones under its home, or those the environment names.

Owns which it is, their start, and their restart when they end by themselves. It refuses to start a suite on a server
that does not answer.
"""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from urllib.parse import urlsplit

from retinue_core.embedded import EmbeddedNats, EmbeddedPostgres
from retinue_core.embedded.server import EmbeddedServer, EmbeddedServerError
from retinue_core.errors import unavailable
from services.local.config import LocalSettings
from services.local.output import Output

_PAUSE = 0.5
_LONGEST_PAUSE = 5.0


class Servers:
    """The servers of one suite."""

    def __init__(self, settings: LocalSettings, home: Path, output: Output) -> None:
        """Decide which servers are ours; nothing is started."""
        self._output = output
        self._embedded: list[EmbeddedServer] = []
        self._keepers: list[asyncio.Task[None]] = []
        self._stopping = False
        self.nats_url = settings.nats_url
        self.database_url = settings.database_url
        if not self.nats_url:
            self._embedded.append(nats := EmbeddedNats(home / "nats"))
            self.nats_url = nats.url
        if not self.database_url:
            self._embedded.append(postgres := EmbeddedPostgres(home / "postgres"))
            self.database_url = postgres.url

    async def start(self) -> None:
        """Start our servers and see that a NATS of somebody else answers; the migrations see about the database."""
        if not self._embedded or self._embedded[0].name != "nats":
            _must_answer(self.nats_url)
        for server in self._embedded:
            server.spawn()  # in the main thread, to which the server's life is tied
        for server in self._embedded:
            await asyncio.to_thread(server.wait_ready)
            self._keepers.append(asyncio.create_task(self._keep(server)))

    async def stop(self) -> None:
        """Stop our servers in order; their data stays."""
        self._stopping = True
        for server in self._embedded:
            await asyncio.to_thread(server.stop)
        await asyncio.gather(*self._keepers)

    async def _keep(self, server: EmbeddedServer) -> None:
        pause = 0.0
        while True:
            status = await asyncio.to_thread(server.wait)
            if self._stopping:
                return
            self._output.say("retinue", f"{server.name} ended (status {status}), starting it again")
            await asyncio.sleep(pause)
            try:
                server.spawn()
                await asyncio.to_thread(server.wait_ready)
                pause = 0.0
            except EmbeddedServerError as error:
                self._output.say("retinue", error.message)
                pause = min(pause * 2 or _PAUSE, _LONGEST_PAUSE)


def _must_answer(nats_url: str) -> None:
    place = urlsplit(nats_url.split(",", maxsplit=1)[0])
    try:
        socket.create_connection((place.hostname or "127.0.0.1", place.port or 4222), timeout=5).close()
    except OSError as error:
        raise unavailable(
            f"NATS at {place.hostname}:{place.port or 4222} does not answer ({error.strerror or error}): start it, "
            "correct RETINUE_NATS_URL, or unset it to use the embedded one.",
            code="NATS_UNAVAILABLE",
        ) from None
