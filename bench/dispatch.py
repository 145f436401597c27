"""From the acceptance of an execution to the first instruction of a worker: how long the matching and the way take.

`bench.worker` attaches beside the suite's own worker with so many slots that it is preferred. Compared are the
database's time of the first journal entry (the beginning of the transaction that accepted the execution, so its commit
is part of the figure) and the wall clock when the assignment has arrived.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import orjson

from bench.react3 import agent
from bench.report import Goal, Section, percentile
from bench.stage import Stage, Subject
from retinue_core.keyring import key_path

P50 = Goal("accepted → first worker instruction, p50", "ms", 10, 3)
P99 = Goal("accepted → first worker instruction, p99", "ms", 50, 15)
_RATE = 100
_HEADER = ("load", "exec/s", "p50 ms", "p95 ms", "p99 ms", "p50 in serial gRPC echoes")


def measure(stage: Stage) -> Section:
    """Measure at a steady rate, and with 64 callers that never pause."""
    floors, subject = stage.floors, stage.plain()
    steady, saturated = stage.choose((2_000, 3_000), (300, 500))
    loads: list[tuple[str, dict[str, Any]]] = [
        (f"{_RATE} a second", {"concurrency": 64, "count": steady, "rate": float(_RATE)}),
        ("closed loop of 64", {"concurrency": 64, "count": saturated}),
    ]
    rows, cuts = [], []
    for number, (words, load) in enumerate(loads):
        found, rate = _dispatched(subject, f"dispatch{number}", load)
        cut = [percentile(found, percent) for percent in (50, 95, 99)]
        cuts.append(cut)
        echoes = cut[0] / 1000 * floors.echo[1]
        rows.append((words, f"{rate:.0f}", *(f"{value:.2f}" for value in cut), f"{echoes:.1f}"))
    notes = (
        f"The goals are judged at {_RATE} executions a second; the closed loop shows what is left of it when both "
        "cores are busy.",
    )
    verdicts = (P50.verdict(cuts[0][0]), P99.verdict(cuts[0][2]))
    return Section("From acceptance to the first instruction of a worker", _HEADER, rows, notes, verdicts)


def _dispatched(subject: Subject, name: str, load: dict[str, Any]) -> tuple[list[float], float]:
    """Latencies in milliseconds and executions a second of one load."""
    agent_id = subject.publish(agent(name))
    key = key_path(subject.suite.home / "keys", "worker")
    told = {"address": subject.suite.address("execution"), "key": str(key), "agent_id": agent_id}
    command = [sys.executable, "-m", "bench.worker"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(orjson.dumps(told) + b"\n")
        worker.stdin.flush()
        if worker.stdout.readline() != b"attached\n":
            raise SystemExit("the benchmark's worker could not attach")
        result = subject.load(agent_id, **load)
        worker.stdin.close()
        latencies: list[float] = orjson.loads(worker.stdout.read())
    if len(latencies) != load["count"]:
        raise SystemExit(f"{len(latencies)} of {load['count']} executions came to the benchmark's worker")
    return latencies, load["count"] / result["seconds"]
