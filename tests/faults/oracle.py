"""A witness outside of the suite: an HTTP server that writes down every effect before it answers.

Owns its ledger, a file that is synced to the disk for each attempt, so that what it saw is known whatever happened to
the suite. It knows nothing of executions: an attempt is a path and the key that came with it.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request that asked for an effect. `applied` says whether it had one; `at` is seconds since the epoch."""

    key: str
    path: str
    applied: bool
    at: float


class Gate:
    """A place where requests are held, before or after their effect, until they are let through."""

    def __init__(self, *, after_effect: bool) -> None:
        self.after_effect = after_effect
        self.opened = threading.Event()
        self._arrived = threading.Semaphore(0)

    def hold(self) -> None:
        """Stop a request here."""
        self._arrived.release()
        self.opened.wait()

    def arrived(self, count: int = 1, seconds: float = 60) -> None:
        """Wait until so many more requests are held."""
        for _ in range(count):
            assert self._arrived.acquire(timeout=seconds), "nobody came to the gate"


class Oracle:
    """A running witness. One that `honours_keys` has one effect for one Idempotency-Key."""

    def __init__(self, ledger: Path, *, honours_keys: bool) -> None:
        self._ledger = ledger.open("a", buffering=1)
        self._honours_keys = honours_keys
        self._seen: set[str] = set()
        self._lock = threading.Lock()
        self._gate: Gate | None = None
        self.attempts: list[Attempt] = []
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http://{self.address}"
        self._thread = threading.Thread(target=self._server.serve_forever, name="oracle", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the server."""
        self.release()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._ledger.close()

    @contextmanager
    def gate(self, *, after_effect: bool) -> Iterator[Gate]:
        """Hold every request at a gate until the block ends, or the gate is opened."""
        self._gate = gate = Gate(after_effect=after_effect)
        try:
            yield gate
        finally:
            self.release()

    def release(self) -> None:
        """Open the gate for those who wait and those who come."""
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.opened.set()

    def answer(self, key: str, path: str) -> dict[str, Any]:
        """Take a request: at most one effect for each key that is honoured, on the disk before it is answered."""
        gate = self._gate
        if gate is not None and not gate.after_effect:
            gate.hold()
        with self._lock:
            attempt = Attempt(key, path, not (self._honours_keys and key in self._seen), time.time())
            self._seen.add(key)
            self._ledger.write(json.dumps(asdict(attempt)) + "\n")
            os.fsync(self._ledger.fileno())
            self.attempts.append(attempt)
        if gate is not None and gate.after_effect:
            gate.hold()
        return {"seen": path}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1_024

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that was killed is what is tested."""


def _handler(oracle: Oracle) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            body = json.dumps(oracle.answer(self.headers.get("Idempotency-Key", ""), self.path)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    return Handler
