"""The suite that is measured: started as `python -m services`, asked over REST, watched from outside.

Owns its life, its CPU time and memory, and what may be read of its database. One suite runs at a time: a figure that
needs other settings gets a new one in a home of its own.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import orjson
import psutil
import psycopg

from bench import floors
from bench.http import Connection
from bench.load import Job
from retinue_core.embedded import EmbeddedPostgres
from retinue_core.ports import free_ports
from retinue_core.testing.suite import Suite

ROOMS = ("access", "agent", "version", "quota", "execution", "worker", "gateway", "postgres", "nats-server")
_POLL = 0.1
_MANY = 100_000
_LINES = 40
_BYTES = """
select sum(pg_total_relation_size(relation))::bigint from (
    select %s::regclass as relation
    union all select inhrelid from pg_inherits where inhparent = %s::regclass) as parts
"""


class Subject:
    """A suite under measurement."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        """Describe the suite; nothing is started."""
        self.suite = Suite(home, **environment)

    def cpu(self) -> float:
        """Seconds of user and system time of the whole suite so far, database, broker and ended processes included."""
        return sum(self.cpu_by_room().values())

    def cpu_by_room(self) -> dict[str, float]:
        """The same, by what used it."""
        return {room: sum(map(_cpu_of, processes)) for room, processes in self._family().items()}

    def memory_mb(self) -> float:
        """Proportional set size of the whole suite, in millions of bytes."""
        return sum(self.memory_by_room().values())

    def memory_by_room(self) -> dict[str, float]:
        """The same, by what uses it."""
        return {
            room: sum(process.memory_full_info().pss for process in processes) / 1e6
            for room, processes in self._family().items()
        }

    def _family(self) -> dict[str, list[psutil.Process]]:
        """Every process of the suite by room or server, each with the processes that it has started."""
        found = {"supervisor": [psutil.Process(self.suite.pid)]}
        for room in ROOMS:
            own = self.suite.processes(room)
            found[room] = [*own, *(child for process in own for child in process.children(recursive=True))]
        return found

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Make one REST call; a refusal ends the run."""
        status, answer = asyncio.run(self._once(method, path, body))
        if status >= 300:
            raise SystemExit(f"{method} {path}: {status} {answer}")
        return answer

    async def _once(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        url = urlsplit(self.suite.url)
        connection = Connection(str(url.hostname), int(url.port or 80), self.suite.token)
        try:
            return await connection.request(method, path, body)
        finally:
            connection.close()

    def publish(self, agent: Mapping[str, Any]) -> str:
        """Create and publish an agent."""
        agent_id: str = self.call("POST", "/v1/agents", agent)["id"]
        self.call("POST", f"/v1/agents/{agent_id}/versions/draft/publish", {})
        return agent_id

    def allow_many(self) -> None:
        """Raise the limit of executions that one user may have running, which a local suite is born with."""
        quota = {"level": "USER", "metric": "CONCURRENT_EXECUTIONS", "limit": _MANY}
        self.call("PUT", "/v1/quotas", quota)

    def load(self, agent_id: str, concurrency: int, count: int, **more: Any) -> dict[str, Any]:
        """Run the load generator in a process of its own; a failed execution ends the run."""
        job = Job(self.suite.url, self.suite.token, agent_id, concurrency, count, **more)
        result: dict[str, Any] = child("bench.load", asdict(job))
        if result["failed"]:
            self._give_up(f"{result['failed']} executions failed, for example {result['example']}")
        return result

    @property
    def database_url(self) -> str:
        """The suite's database, as its owner."""
        return EmbeddedPostgres(self.suite.home / "postgres").url

    def query(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run one statement in the suite's database, as its owner, and return its rows."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def bytes_of(self, table: str) -> int:
        """Bytes of a table and its partitions, with their indexes and what is stored out of line."""
        found: int = self.query(_BYTES, table, table)[0][0]
        return found

    def await_ended(self, agent_id: str, count: int, seconds: float) -> None:
        """Wait until that many executions of an agent have ended."""
        statement = (
            "select count(*) from retinue_execution.executions"
            " where agent_id = %s and status in ('COMPLETED', 'FAILED', 'CANCELLED')"
        )
        deadline = time.monotonic() + seconds
        while self.query(statement, agent_id)[0][0] < count:
            if time.monotonic() > deadline:
                self._give_up(f"not all of {count} executions ended within {seconds:g} s")
            time.sleep(_POLL)

    def _give_up(self, reason: str) -> NoReturn:
        """End the run and show what the suite said last."""
        last = "\n".join(self.suite.output().splitlines()[-_LINES:])
        raise SystemExit(f"{reason}\n{last}")


def _cpu_of(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def child(module: str, job: Mapping[str, Any]) -> Any:
    """Run a load process to its end: a job goes in and a result comes out, both JSON."""
    command = [sys.executable, "-m", module]
    done = subprocess.run(command, input=orjson.dumps(job), stdout=subprocess.PIPE, check=True)
    return orjson.loads(done.stdout)


class Stage:
    """Where figures are measured. `quick` asks for a look instead of a measurement."""

    def __init__(self, scratch: Path, *, quick: bool, rows: int) -> None:
        self.scratch = scratch
        self.quick = quick
        self.rows = rows
        self.tool_port = free_ports(1)[0]
        self._subject: Subject | None = None
        self._environment: Mapping[str, str] | None = None
        self._homes = 0

    def plain(self) -> Subject:
        """The suite as it comes."""
        return self._with({})

    def wide(self) -> Subject:
        """A suite whose one worker takes 2,500 executions at once and may reach the benchmark's own HTTP server."""
        return self._with({"RETINUE_WORKER_SLOTS": "2500", "RETINUE_EGRESS_ALLOW": f"127.0.0.1:{self.tool_port}"})

    def _with(self, environment: Mapping[str, str]) -> Subject:
        if self._subject is None or self._environment != environment:
            self.close()
            self._homes += 1
            self._subject = Subject(self.scratch / f"home{self._homes}", environment)
            self._environment = environment
            self._subject.suite.start()
            if environment:
                self._subject.allow_many()
        return self._subject

    def close(self) -> None:
        """Stop the suite that runs."""
        subject, self._subject = self._subject, None
        if subject is not None:
            subject.suite.stop()

    def choose(self, full: Sequence[int], quick: Sequence[int]) -> Sequence[int]:
        """Sizes for a measurement or for a look."""
        return quick if self.quick else full

    @cached_property
    def floors(self) -> floors.Floors:
        """The floors of this machine in this run, measured when they are first asked for."""
        return floors.measure(self.plain().database_url, self.scratch, quick=self.quick)
