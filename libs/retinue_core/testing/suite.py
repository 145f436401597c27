"""The whole suite as processes, exactly as `python -m services` runs it.

Owns starting it in a folder of its own, finding its processes, and ending it. It refuses to know any service: a test
talks to the suite over REST and gRPC.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

COMMAND = (sys.executable, "-m", "services")
_POLL = 0.05
_STRIPPED = ("RETINUE_", "ANTHROPIC_", "OTEL_")


class Suite:
    """A running suite. `url` and `token` are for REST, `addresses` for gRPC by room."""

    def __init__(self, home: Path, command: Sequence[str] = COMMAND, **environment: str) -> None:
        """Describe the suite; `environment` adds to or replaces what `python -m services` reads."""
        self.home = home
        self._command = command
        self.log = home.with_name(f"{home.name}.log")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_STRIPPED)}
        self.environment = inherited | {"RETINUE_HOME": str(home), "RETINUE_HTTP_PORT": "0"} | environment
        self._process: subprocess.Popen[bytes] | None = None
        self._told: Mapping[str, str] = {}

    @property
    def url(self) -> str:
        """The base URL of the REST API."""
        return self._told["RETINUE_URL"]

    @property
    def token(self) -> str:
        """The API token of an organisation admin."""
        return self._told["RETINUE_TOKEN"]

    def address(self, room: str) -> str:
        """The gRPC address of a room, `host:port`."""
        return self._told[f"RETINUE_{room.upper()}_ADDR"]

    @property
    def pid(self) -> int:
        """The process id of the supervisor."""
        if self._process is None:
            raise RuntimeError("the suite was not started")
        return self._process.pid

    def spawn(self) -> None:
        """Start the suite without waiting for it."""
        self.home.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                self._command, env=self.environment, stdout=output, stderr=subprocess.STDOUT
            )

    def start(self, seconds: float = 90) -> None:
        """Start the suite and wait until it says that it is ready."""
        self.spawn()
        process = psutil.Process(self.pid)
        deadline = time.monotonic() + seconds
        while not any(line.startswith("retinue ready") for line in self.output().splitlines()):
            if process.status() == psutil.STATUS_ZOMBIE or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"the suite did not become ready:\n{self.output()}")
            time.sleep(_POLL)
        lines = (self.home / "dev.env").read_text().splitlines()
        self._told = dict(line.split("=", 1) for line in lines)

    def output(self) -> str:
        """What the suite has written so far."""
        return self.log.read_text("utf-8", "replace")

    def processes(self, name: str) -> list[psutil.Process]:
        """Return the running processes of a room (`worker`), or of a server (`postgres`, `nats-server`)."""
        children = psutil.Process(self.pid).children()
        return [child for child in children if _runs(child, name)]

    def stop(self) -> int:
        """End the suite in order and return its exit status."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(f"the suite did not stop:\n{self.output()}") from None

    def kill(self) -> None:
        """End the supervisor at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def _runs(process: psutil.Process, name: str) -> bool:
    try:
        return process.name() == name or process.cmdline()[-1:] in ([f"services.{name}"], [name])
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False
