"""kill -9 of the worker with 200 tool calls in flight: how long until all are done, and what was started twice.

The calls are http requests to `bench.slow`, which holds them and keeps the book. A GET is pure: it is made again, and
its second time takes half a second, which is part of the figure. A POST to a host that honours no key is irreversible:
it must not be made again, and its execution ends as one whose effect is unknown.
"""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import psutil

from bench.report import Goal, Section
from bench.slow import AGAIN
from bench.stage import Stage, Subject

LEASE = 5.0  # RETINUE_LEASE_SECONDS, its default
FROM_KILL = Goal("all 200 in flight done after kill -9 of a worker, from the kill", "s", LEASE + 4, None)
FROM_RESTART = Goal("… from the start of the new worker process", "s", None, 2.5)
TWICE = Goal("irreversible tool calls started twice", "", 0, 0)
_CALLS = 200
_HEADER = ("calls in flight", "done after the kill, s", "after the new process began, s", "ended as", "started twice")
_PATIENCE = 60.0
_POLL = 0.02
_ENDED = """
select extract(epoch from max(completed_at))::float8 from retinue_execution.executions where agent_id = %s
"""
_STATUSES = """
select coalesce(error_code, status), count(*)::int from retinue_execution.executions where agent_id = %s group by 1
"""


@dataclass(frozen=True, slots=True)
class Takeover:
    """What followed a kill. Times in seconds."""

    method: str
    from_kill: float
    from_restart: float
    statuses: dict[str, int]
    twice: int

    def cells(self) -> tuple[str, ...]:
        """The row of the table."""
        ended = ", ".join(f"{count} {status}" for status, count in sorted(self.statuses.items()))
        effect = "pure" if self.method == "GET" else "irreversible"
        times = (f"{self.from_kill:.2f}", f"{self.from_restart:.2f}")
        return (f"{_CALLS} {self.method} ({effect})", *times, ended, str(self.twice))


def measure(stage: Stage) -> Section:
    """Kill a worker twice: under pure calls and under irreversible ones."""
    subject = stage.wide()
    with _slow(stage.tool_port):
        pure, irreversible = (_killed(subject, stage.tool_port, method) for method in ("GET", "POST"))
    slowest = max(pure.from_kill, irreversible.from_kill)
    verdicts = (
        FROM_KILL.verdict(slowest),
        FROM_RESTART.verdict(max(pure.from_restart, irreversible.from_restart)),
        TWICE.verdict(irreversible.twice),
    )
    notes = (
        f"Lease: {LEASE:g} s. The supervisor starts the worker again; a GET that is made again is answered after "
        f"{AGAIN:g} s.",
    )
    rows = (pure.cells(), irreversible.cells())
    return Section("kill -9 of the worker with 200 tool calls in flight", _HEADER, rows, notes, verdicts)


def _agent(method: str, port: int) -> dict[str, Any]:
    url = f"http://127.0.0.1:{port}/{method}/{{{{input.a}}}}"
    call = {"toolUse": {"name": "http", "input": {"method": method, "url": url, "timeoutSeconds": 60}}}
    return {
        "name": f"takeover-{method.lower()}",
        "model": "scripted",
        "tools": ["http"],
        "modelSettings": {"script": [[call], [{"text": "done"}]]},
    }


def _killed(subject: Subject, port: int, method: str) -> Takeover:
    agent_id = subject.publish(_agent(method, port))
    subject.load(agent_id, 32, _CALLS, wait="")
    _await_held(port)
    worker = subject.suite.processes("worker")[0]
    killed = time.time()
    worker.kill()
    restarted = _await_new(subject, worker)
    subject.await_ended(agent_id, _CALLS, _PATIENCE)
    ended: float = subject.query(_ENDED, agent_id)[0][0]
    statuses: dict[str, int] = dict(subject.query(_STATUSES, agent_id))
    asked = Counter({path: count for path, count in _book(port)["asked"].items() if path.startswith(f"/{method}/")})
    twice = sum(count > 1 for count in asked.values())
    return Takeover(method, ended - killed, ended - restarted, statuses, twice)


def _await_new(subject: Subject, old: psutil.Process) -> float:
    """When the process that took the place of a killed worker was first seen."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if any(process.pid != old.pid for process in subject.suite.processes("worker")):
            return time.time()
        time.sleep(_POLL)
    raise SystemExit("the worker was not started again")


def _await_held(port: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while _book(port)["held"] < _CALLS:
        if time.monotonic() > deadline:
            raise SystemExit(f"{_book(port)['held']} of {_CALLS} tool calls came to be in flight")
        time.sleep(_POLL)


def _book(port: int) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/book", timeout=10) as answer:
        found: dict[str, Any] = orjson.loads(answer.read())
    return found


@contextmanager
def _slow(port: int) -> Iterator[None]:
    command = [sys.executable, "-m", "bench.slow", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        server.stdout.readline()
        try:
            yield
        finally:
            server.terminate()
