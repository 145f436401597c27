"""Many clients that each follow an execution of their own by server-sent events, in one process.

`python -m bench.watchers` reads a `Job` from its standard input and prints, for each event of the journal that arrived
while all clients were connected, how many milliseconds after its `time` it arrived. An event that was committed before
its client was connected is history and not counted.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import orjson
import uvloop

from bench.http import Connection

_CREATORS = 16


@dataclass(frozen=True, slots=True)
class Job:
    """Whom to follow: `count` executions of an agent, begun evenly over `ramp` seconds."""

    url: str
    token: str
    agent_id: str
    count: int
    ramp: float


class Watchers:
    """A job under way."""

    def __init__(self, job: Job) -> None:
        self._job = job
        url = urlsplit(job.url)
        self._host, self._port = str(url.hostname), int(url.port or 80)
        self._seen: list[tuple[float, float]] = []
        self._connected = 0
        self._all_connected = float("inf")
        self._first_ended = float("inf")

    async def run(self) -> dict[str, Any]:
        """Create, follow, and return the lags of the window in which everybody followed."""
        began = time.perf_counter()
        left = iter(range(self._job.count))
        async with asyncio.TaskGroup() as group:

            async def create() -> None:
                connection = Connection(self._host, self._port, self._job.token)
                for index in left:
                    await asyncio.sleep(
                        max(0.0, began + index * self._job.ramp / self._job.count - time.perf_counter())
                    )
                    path = f"/v1/agents/{self._job.agent_id}/executions"
                    status, answer = await connection.request("POST", path, {"input": {}})
                    if status != 200:
                        raise RuntimeError(f"not accepted: {answer}")
                    group.create_task(self._follow(answer["id"]))
                connection.close()

            for _ in range(_CREATORS):
                group.create_task(create())
        lags = [
            (at - committed) * 1000
            for committed, at in self._seen
            if self._all_connected < committed and at < self._first_ended
        ]
        return {"lags": lags, "seconds": self._first_ended - self._all_connected, "connected": self._connected}

    async def _follow(self, execution_id: str) -> None:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        head = f"GET /v1/executions/{execution_id}/events HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n"
        writer.write(f"{head}Authorization: Bearer {self._job.token}\r\nAccept: text/event-stream\r\n\r\n".encode())
        status = await reader.readuntil(b"\r\n\r\n")
        if not status.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"no events: {status!r}")
        self._connected += 1
        if self._connected == self._job.count:
            self._all_connected = time.time()
        async for chunk, at in _chunks(reader):
            for event in chunk.split(b"\n\n"):
                self._note(event, at)
        writer.close()

    def _note(self, event: bytes, at: float) -> None:
        _, found, data = event.partition(b"data: ")
        if not found:
            return
        told = orjson.loads(data)
        if told["event"] in ("done", "error"):
            self._first_ended = min(self._first_ended, at)
        if told.get("time"):
            self._seen.append((datetime.fromisoformat(told["time"]).timestamp(), at))


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[tuple[bytes, float]]:
    """The chunks of a response (RFC 9112, 7.1) and when each arrived. The gateway sends one event in one chunk."""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        at = time.time()
        yield (await reader.readexactly(size + 2))[:-2], at


def main() -> None:
    """Run the job on the standard input."""
    job = Job(**orjson.loads(sys.stdin.buffer.read()))
    sys.stdout.buffer.write(orjson.dumps(uvloop.run(Watchers(job).run())))


if __name__ == "__main__":
    main()
