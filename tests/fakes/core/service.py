"""A service as a process: a probe on its own, with what a drain must wait for. Says `READY <port>` when it serves.

`Write` says `BEGUN` and answers with the next line of standard input, `Watch` stays open until the drain. The second
argument says what else is wrong: a drain that hangs, or a loop that fails when `Open` was called.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from retinue_core.errors import unavailable
from retinue_core.identity import Verifier
from retinue_core.process import run
from retinue_core.rpc.door import Door
from retinue_core.rpc.server import Server
from retinue_core.telemetry import Telemetry
from tests.fakes.core.probe import Probe, file, message


class Service:
    """The handlers, the drain and the loop. `fault` is empty, `hang` or `fail`."""

    def __init__(self, fault: str) -> None:
        self.server: Server | None = None
        self._fault = fault
        self._lines = asyncio.StreamReader()
        self._draining = asyncio.Event()
        self._failing = asyncio.Event()

    async def write(self, _: Any, __: Any) -> Any:
        say("BEGUN")
        return message("Response", text=(await self._lines.readline()).decode().strip())

    async def watch(self, _: Any, __: Any) -> AsyncIterator[Any]:
        yield message("Response", text="open")
        await self._draining.wait()
        yield message("Response", text="goodbye")

    async def fail(self, _: Any, __: Any) -> Any:
        self._failing.set()
        return message("Response")

    async def drain(self) -> None:
        say("DRAINING")
        self._draining.set()
        if self._fault == "hang":
            await asyncio.Event().wait()

    async def loop(self) -> None:
        protocol = asyncio.StreamReaderProtocol(self._lines)
        await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
        assert self.server is not None
        say(f"READY {self.server.port}")
        try:
            await self._failing.wait()
            raise unavailable("The loop is broken.")
        finally:
            say("LOOP ENDED")


def say(text: str) -> None:
    print(text, flush=True)


async def main(jwks: Path, fault: str) -> None:
    service = Service(fault)
    server = Server("127.0.0.1:0", Door(Verifier.read(jwks), Telemetry("probe")))
    on = {"Write": service.write, "Watch": service.watch, "Open": service.fail}
    server.add(Probe(**on).register, None, file())
    service.server = server
    await server.run(drain=service.drain, loops=[service.loop], grace=2 if fault else 20)
    say("ENDED")


if __name__ == "__main__":
    run(main(Path(sys.argv[1]), sys.argv[2]))
