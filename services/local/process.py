"""One process of the suite and the promise that it runs.

Owns its output, its restarts with a growing pause, and its end. It refuses to judge why it ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Mapping, Sequence

from retinue_core.embedded.child import death_signal
from services.local.output import Output

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_STEADY = 10.0
"""Seconds after which a process counts as running well, and its next end as the first."""
_RECOVERED = 2.0
"""Seconds that a process which has ended must run again before a suite may call itself ready."""


class Service:
    """A command that is started again whenever it ends, until it is stopped."""

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], output: Output | None
    ) -> None:
        """Describe the process; nothing runs before `keep` or `once`. Without an output it is silent."""
        self.name = name
        self.ends = 0
        """How often it ended by itself."""
        self.last_line = ""
        self._command = command
        self._environment = environment
        self._output = output
        self._process: Process | None = None
        self._began = 0.0
        self._stopping = asyncio.Event()

    @property
    def faltering(self) -> bool:
        """Whether it has ended and is not back for long enough to be trusted."""
        running = self._process is not None and self._process.returncode is None
        return self.ends > 0 and not (running and self._age() > _RECOVERED)

    async def keep(self) -> None:
        """Run the process, again and again, until `stop`."""
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            status = await self.once()
            if self._stopping.is_set():
                return
            self.ends += 1
            pause = _FIRST_PAUSE if self._age() > _STEADY else pause
            self._say("retinue", f"{self.name} ended ({_meaning(status)}), starting it again in {pause:.1f} s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def once(self) -> int:
        """Run the process to its end and return its exit status."""
        self._began = time.monotonic()
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            env=dict(self._environment),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            # A Ctrl-C in the terminal is for the supervisor, which stops its services in order.
            start_new_session=True,
            preexec_fn=death_signal(signal.SIGTERM),
        )
        pump = asyncio.create_task(self._pump(self._process))
        try:
            status = await self._process.wait()
            # A grandchild may hold the pipe open; what the process itself wrote is here by now.
            await asyncio.wait([pump], timeout=0.5)
        finally:
            pump.cancel()
            if self._process.returncode is None:
                self._process.kill()
        return status

    async def stop(self, grace: float) -> None:
        """Ask the process to end, and force it after `grace` seconds."""
        self._stopping.set()
        if self._process is None or self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), grace)
        except TimeoutError:
            self._say("retinue", f"{self.name} did not stop within {grace:.0f} s and is killed")
            await self.kill()

    async def kill(self) -> None:
        """End the process at once."""
        self._stopping.set()
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    def _age(self) -> float:
        return time.monotonic() - self._began

    async def _pump(self, process: Process) -> None:
        if process.stdout is None:
            return
        rest = b""
        while part := await process.stdout.read(1 << 16):
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                self._tell(line)
            if len(rest) > 1 << 16:
                self._tell(rest)
                rest = b""
        if rest:
            self._tell(rest)

    def _tell(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip()
        self.last_line = text or self.last_line
        self._say(self.name, text)

    def _say(self, name: str, text: str) -> None:
        if self._output is not None:
            self._output.say(name, text)


def _meaning(status: int) -> str:
    return f"status {status}" if status >= 0 else signal.Signals(-status).name
