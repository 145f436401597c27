"""`make bench`: the whole suite as processes, a load generator outside it, and the floors, in one run.

Prints a table for docs/benchmarks.md. Absolute figures are this machine's at this moment; the ratios are what counts.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import psutil

from bench.floors import commits, echo
from bench.http import Connection
from bench.react3 import AGENT
from retinue_core.embedded import EmbeddedPostgres
from retinue_core.testing.suite import Suite


def family(suite: Suite) -> list[psutil.Process]:
    """Every process of the suite, database and broker included."""
    supervisor = psutil.Process(suite.pid)
    return [supervisor, *supervisor.children(recursive=True)]


def cpu_seconds(suite: Suite) -> float:
    """User and system time of the whole suite so far, processes that ended included."""
    total = 0.0
    for process in family(suite):
        times = process.cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
    return total


def memory_mb(suite: Suite) -> float:
    """Proportional set size of the whole suite."""
    return sum(process.memory_full_info().pss for process in family(suite)) / 1e6


def call(suite: Suite, method: str, path: str, body: Any = None) -> Any:
    """Make one REST call."""

    async def once() -> Any:
        url = urlsplit(suite.url)
        connection = Connection(str(url.hostname), int(url.port or 80), suite.token)
        status, answer = await connection.request(method, path, body)
        connection.close()
        if status >= 300:
            raise SystemExit(f"{method} {path}: {status} {answer}")
        return answer

    return asyncio.run(once())


def publish(suite: Suite) -> str:
    """Create and publish the agent that is measured."""
    agent_id: str = call(suite, "POST", "/v1/agents", AGENT)["id"]
    call(suite, "POST", f"/v1/agents/{agent_id}/versions/1.0.0/publish", {})
    return agent_id


def load(suite: Suite, agent_id: str, concurrency: int, count: int) -> dict[str, Any]:
    """Run the load generator in its own process."""
    command = [sys.executable, "-m", "bench.react3", suite.url, suite.token, agent_id, str(concurrency), str(count)]
    result: dict[str, Any] = orjson.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    if result["failed"]:
        raise SystemExit(f"{result['failed']} executions failed, for example {result['example']}")
    return result


def react3(suite: Suite, agent_id: str, concurrency: int, count: int) -> dict[str, float]:
    """Measure react3 at one concurrency."""
    before = cpu_seconds(suite)
    result = load(suite, agent_id, concurrency, count)
    cpu = cpu_seconds(suite) - before
    cuts = statistics.quantiles(result["latencies"], n=100)
    return {
        "concurrency": concurrency,
        "rate": count / result["seconds"],
        "p50": cuts[49],
        "p95": cuts[94],
        "p99": cuts[98],
        "cpu_ms": cpu / count * 1000,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--quick", action="store_true", help="fewer executions, for a look")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as scratch:
        suite = Suite(Path(scratch) / "home")
        suite.start()
        try:
            report(suite, Path(scratch), quick=quick)
        finally:
            suite.stop()


def report(suite: Suite, scratch: Path, *, quick: bool) -> None:
    """Run everything against a suite that is up, and print the tables."""
    time.sleep(2)
    idle = memory_mb(suite)
    agent_id = publish(suite)
    load(suite, agent_id, 16, 300)
    plan = ((1, 200), (16, 500), (64, 1_000)) if quick else ((1, 500), (16, 1_500), (64, 3_000))
    measured = [react3(suite, agent_id, concurrency, count) for concurrency, count in plan]
    loaded = memory_mb(suite)
    database_url = EmbeddedPostgres(suite.home / "postgres").url
    floors = {clients: commits(database_url, clients, scratch, 3) for clients in (1, 16, 64)}
    calls = {clients: echo(clients, 4_000 if clients == 1 else 15_000) for clients in (1, 16, 64)}
    print("| concurrency | exec/s | p50 ms | p95 ms | p99 ms | CPU ms/exec | of gRPC echo | of pgbench commits |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for row in measured:
        clients = int(row["concurrency"])
        print(
            f"| {clients} | {row['rate']:.0f} | {row['p50']:.1f} | {row['p95']:.1f} | {row['p99']:.1f}"
            f" | {row['cpu_ms']:.2f} | {row['rate'] / calls[clients]:.3f} | {row['rate'] / floors[clients]:.3f} |"
        )
    print(f"\ngRPC echo/s: {', '.join(f'{calls[c]:.0f} at {c}' for c in calls)}")
    print(f"pgbench commits/s: {', '.join(f'{floors[c]:.0f} at {c}' for c in floors)}")
    print(f"memory (PSS): {idle:.0f} MB idle, {loaded:.0f} MB after the load")


if __name__ == "__main__":
    main()
