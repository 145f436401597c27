"""The life of a local suite, from an empty folder to `retinue ready` and to a clean stop.

Owns the order of things. It refuses to be ready before every service is, and to leave a process behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from typing import Any

from retinue_core.errors import precondition, unavailable
from retinue_core.keyring import ensure_keys
from retinue_core.ports import free_ports, listenable
from services.local.config import LocalSettings
from services.local.home import Home
from services.local.output import Output
from services.local.process import Service
from services.local.rooms import ROOMS, Facts, choose_addresses, environment, processes
from services.local.servers import Servers

_READY_SECONDS = 120.0
_LOOK = 0.05
_GRACE = 25.0  # a worker takes up to 20 s to finish its step or hand it over
_MOST_FAILED_STARTS = 3
_LEFT_OVER_SECONDS = 15.0


def room_command(room: str) -> Sequence[str]:
    """Return the command that runs a room."""
    return [sys.executable, "-m", f"services.{room}"]


class Supervisor:
    """Runs one suite."""

    def __init__(
        self,
        settings: LocalSettings,
        inherited: Mapping[str, str],
        output: Output,
        *,
        command: Callable[[str], Sequence[str]] = room_command,
    ) -> None:
        """Describe the suite; nothing is started. `command` gives the command that runs a room."""
        self._command = command
        self._settings = settings
        self._inherited = inherited
        self._output = output
        self._services: list[Service] = []
        self._keepers: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Start everything, serve until SIGINT or SIGTERM, stop everything.

        Raises RetinueError when something that is needed is not there.
        """
        self._listen_to_signals()
        home = Home(self._settings.home)
        port = await self._http_port(waits=home.left_over)
        home.retract()
        async with self._servers(home) as servers:
            facts = Facts(
                database_url=servers.database_url,
                nats_url=servers.nats_url,
                host=self._settings.host,
                port=port,
                token=home.token(),
                jwks=ensure_keys(home.path / "keys", ROOMS),
                addresses=choose_addresses(),
            )
            await self._unless_stopped(self._migrate(facts))
            try:
                if not self._stop.is_set():
                    self._start(facts)
                    await self._unless_stopped(self._become_ready(facts))
                if not self._stop.is_set():
                    home.announce(facts.public())
                    where = self._settings.home / "dev.env"
                    print(f"retinue ready: REST at {facts.url}, token and addresses in {where}", flush=True)  # noqa: T201
                await self._stop.wait()
                self._output.say("retinue", "stopping (once more to stop at once)")
            finally:
                home.retract()
                await self._stop_services()

    def _listen_to_signals(self) -> None:
        def on_signal() -> None:
            if self._stop.is_set():
                for service in self._services:
                    self._keepers.append(asyncio.ensure_future(service.kill()))
            self._stop.set()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, on_signal)

    async def _http_port(self, *, waits: bool) -> int:
        port, host = self._settings.port, self._settings.host
        if port == 0:
            return free_ports(1)[0]
        # The gateway of a supervisor that was killed may still be letting its last requests finish.
        deadline = asyncio.get_running_loop().time() + (_LEFT_OVER_SECONDS if waits else 0)
        while not listenable(port, host):
            if asyncio.get_running_loop().time() >= deadline:
                raise precondition(
                    "PORT_TAKEN",
                    f"port {port} of {host} cannot be listened on: stop what uses it, or set RETINUE_HTTP_PORT to "
                    "another one (0 takes a free one).",
                )
            await asyncio.sleep(0.1)
        return port

    @contextlib.asynccontextmanager
    async def _servers(self, home: Home) -> AsyncIterator[Servers]:
        servers = Servers(self._settings, home.path, self._output)
        try:
            await servers.start()
            yield servers
        finally:
            await servers.stop()

    async def _migrate(self, facts: Facts) -> None:
        """Migrate in a process of its own, so that what it imports does not stay in memory."""
        told = environment("access", facts, self._inherited)
        migration = Service("migrate", [sys.executable, "-m", "retinue_core.db.migrate"], told, None)
        if await migration.once():
            own = " Unset RETINUE_DATABASE_URL to use the embedded one." if self._settings.database_url else ""
            raise unavailable(f"{migration.last_line}{own}", code="MIGRATION_FAILED")

    def _start(self, facts: Facts) -> None:
        for name, room in processes(self._settings.workers):
            service = Service(name, self._command(room), environment(room, facts, self._inherited), self._output)
            self._services.append(service)
            self._keepers.append(asyncio.create_task(service.keep()))

    async def _become_ready(self, facts: Facts) -> None:
        """Wait until a probe, in a process of its own, has found every service healthy and has seeded the demo."""
        told = dict(self._inherited) | facts.public()
        probe = Service("ready", [sys.executable, "-m", "services.local.ready"], told, self._output)
        waiting = asyncio.create_task(probe.once())
        try:
            async with asyncio.timeout(_READY_SECONDS):
                while not waiting.done() or any(service.faltering for service in self._services):
                    await asyncio.sleep(_LOOK)
                    self._refuse_hopeless()
            if waiting.result():
                raise unavailable(f"not ready: {probe.last_line}", code="START_FAILED")
        except TimeoutError:
            raise unavailable(f"not ready after {_READY_SECONDS:.0f} s: see above", code="START_FAILED") from None
        finally:
            await probe.kill()

    def _refuse_hopeless(self) -> None:
        for service in self._services:
            if service.ends >= _MOST_FAILED_STARTS:
                raise unavailable(f"{service.name} does not start: {service.last_line}", code="START_FAILED")

    async def _stop_services(self) -> None:
        """Stop the door first, then the workers, then what they hand their work back to."""
        for stage in (("gateway",), ("worker",), ("",)):
            chosen = [service for service in self._services if service.name.startswith(stage)]
            await asyncio.gather(*(service.stop(_GRACE) for service in chosen))
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something, but give it up when the suite is to stop."""
        task, stop = asyncio.create_task(work), asyncio.create_task(self._stop.wait())
        await asyncio.wait([task, stop], return_when=asyncio.FIRST_COMPLETED)
        for each in (task, stop):
            if not each.done():
                each.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
