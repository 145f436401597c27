"""What the embedded servers have in common: spawn, become ready, stop, crash, come back.

Owns the order of these; a server says how it is started and when it is ready. It refuses to start twice.
"""

from __future__ import annotations

import signal
import time
from abc import ABC, abstractmethod
from pathlib import Path

from retinue_core.embedded.child import POLL, Child
from retinue_core.errors import Kind, RetinueError


class EmbeddedServerError(RetinueError):
    """An embedded server cannot start; the message says why and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(Kind.UNAVAILABLE, "EMBEDDED_SERVER_FAILED", message)


class EmbeddedServer(ABC):
    """One server process on one data folder. Started from the main thread (its death signal is tied to that)."""

    name: str
    stop_signal: signal.Signals
    grace: float = 20
    """Seconds the server has to end by itself before it is killed."""

    def __init__(self, path: Path) -> None:
        """Take the data folder; nothing happens on disk before `spawn`."""
        self.path = path.absolute()
        self.log = self.path.with_name(f"{self.path.name}.log")
        self._child: Child | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients connect; the same for the whole life of this object."""

    @abstractmethod
    def _launch(self) -> Child:
        """Prepare the data folder and start the process."""

    @abstractmethod
    def _ready(self) -> bool:
        """Tell whether the running process answers clients."""

    @property
    def pid(self) -> int:
        """The process id of the running server, for tests that stop or kill it."""
        if self._child is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._child is not None and self._child.running()

    def spawn(self) -> None:
        """Start the process without waiting for it to be ready; the main thread must call this."""
        if self.running:
            raise RuntimeError(f"{self.name} runs already")
        try:
            self._child = self._launch()
        except OSError as error:
            raise EmbeddedServerError(f"{self.name} cannot start in {self.path}: {error}") from error

    def wait_ready(self, timeout: float = 60) -> None:
        """Return when clients are answered; raise EmbeddedServerError when the process ends or takes too long."""
        deadline = time.monotonic() + timeout
        while not self._ready():
            if not self.running:
                raise EmbeddedServerError(f"{self.name} ended while starting: {self._last_line()} (see {self.log})")
            if time.monotonic() > deadline:
                raise EmbeddedServerError(f"{self.name} is not ready after {timeout:.0f} s (see {self.log})")
            time.sleep(POLL)

    def start(self) -> None:
        """Spawn and wait until ready."""
        self.spawn()
        self.wait_ready()

    def wait(self) -> int:
        """Wait until the process ends and return its exit status."""
        if self._child is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._child.wait()

    def stop(self) -> None:
        """End the server in order; its data stays."""
        if self._child is not None:
            self._child.stop(self.grace)

    def kill(self) -> None:
        """End the server at once, as a crash would."""
        if self._child is not None:
            self._child.kill()

    def restart(self) -> None:
        """Stop and start again on the same data and the same URL."""
        self.stop()
        self.start()

    def _last_line(self) -> str:
        lines = self.log.read_text("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"
