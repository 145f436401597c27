"""NATS with JetStream on one machine.

Owns the server's configuration, its port on 127.0.0.1 and the token that keeps other users of the machine out. It
refuses to be a client: publishing and consuming are in `retinue_core.events`.
"""

from __future__ import annotations

import json
import secrets
import shutil
import signal
import socket
import sysconfig
from pathlib import Path

from retinue_core.embedded.child import Child, end_leftover
from retinue_core.embedded.server import EmbeddedServer
from retinue_core.files import write_private
from retinue_core.ports import LOOPBACK, free_ports


class EmbeddedNats(EmbeddedServer):
    """A `nats-server` on a free port of 127.0.0.1; streams live in the data folder."""

    name = "nats"
    stop_signal = signal.SIGTERM
    grace = 10

    def __init__(self, path: Path, *, jetstream: bool = True) -> None:
        """Take the data folder; the port is chosen now so that it survives restarts."""
        super().__init__(path)
        self._jetstream = jetstream
        self._token = secrets.token_urlsafe(24)
        (self._port,) = free_ports(1)

    @property
    def url(self) -> str:
        """The client URL, token included."""
        return f"nats://{self._token}@{LOOPBACK}:{self._port}"

    def wipe(self) -> None:
        """Throw the streams away, as a lost disk would; the server must be stopped."""
        if self.running:
            raise RuntimeError("stop nats before its store is wiped")
        shutil.rmtree(self.path / "jetstream", ignore_errors=True)

    def _launch(self) -> Child:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        pid_file = self.path / "nats.pid"
        end_leftover(pid_file, "nats-server", self.stop_signal)
        settings = {
            "listen": f"{LOOPBACK}:{self._port}",
            "authorization": {"token": self._token},
            "pid_file": str(pid_file),
        }
        if self._jetstream:
            settings["jetstream"] = {"store_dir": str(self.path)}
        config = self.path / "nats.conf"
        write_private(config, json.dumps(settings, indent=2).encode())
        program = Path(sysconfig.get_path("scripts"), "nats-server")
        return Child([str(program), "-c", str(config)], log=self.log, stop_signal=self.stop_signal)

    def _ready(self) -> bool:
        # The server opens its port after JetStream is up and greets every client with an INFO line.
        try:
            with socket.create_connection((LOOPBACK, self._port), timeout=1) as client:
                return client.recv(5) == b"INFO "
        except OSError:
            return False
