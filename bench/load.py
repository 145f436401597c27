"""The load generator: executions through REST, closed loop or at a steady rate, in a process of its own.

`python -m bench.load` reads a `Job` from its standard input and prints one JSON object: latencies in milliseconds, the
time it took, and how many failed. Owns nothing of what is run; a job names an agent.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import orjson
import uvloop

from bench.http import Connection


@dataclass(frozen=True, slots=True)
class Job:
    """What to run: `count` executions of an agent, at most `concurrency` requests at a time.

    With a `rate`, requests begin at that many a second, and the latency of one that has to wait for its turn counts
    from when it should have begun. Without a `wait` a request is answered when its execution is accepted. The number
    of an execution is `a` of its input.
    """

    url: str
    token: str
    agent_id: str
    concurrency: int
    count: int
    rate: float = 0.0
    wait: str = "30s"
    input: Mapping[str, Any] = field(default_factory=dict)


class Load:
    """A job under way."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._left: Iterator[int] = iter(range(job.count))
        self._began = 0.0
        self._latencies: list[float] = []
        self._failed: list[Any] = []

    async def run(self) -> dict[str, Any]:
        """Run the job to its end."""
        self._began = time.perf_counter()
        await asyncio.gather(*(self._client() for _ in range(self._job.concurrency)))
        seconds = time.perf_counter() - self._began
        failed, example = len(self._failed), self._failed[:1]
        return {"seconds": seconds, "latencies": self._latencies, "failed": failed, "example": example}

    async def _client(self) -> None:
        url = urlsplit(self._job.url)
        connection = Connection(str(url.hostname), int(url.port or 80), self._job.token)
        for index in self._left:
            await self._one(connection, index)
        connection.close()

    async def _one(self, connection: Connection, index: int) -> None:
        job = self._job
        body: dict[str, Any] = {"input": {"a": index, "b": 23, **job.input}}
        if job.wait:
            body["wait"] = job.wait
        began = time.perf_counter()
        if job.rate:
            began = self._began + index / job.rate
            await asyncio.sleep(max(0.0, began - time.perf_counter()))
        status, answer = await connection.request("POST", f"/v1/agents/{job.agent_id}/executions", body)
        self._latencies.append((time.perf_counter() - began) * 1000)
        if status != 200 or (job.wait and answer["status"] != "COMPLETED"):
            self._failed.append(answer)


def main() -> None:
    """Run the job on the standard input."""
    job = Job(**orjson.loads(sys.stdin.buffer.read()))
    sys.stdout.buffer.write(orjson.dumps(uvloop.run(Load(job).run())))


if __name__ == "__main__":
    main()
