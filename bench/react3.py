"""The load generator of react3: a closed loop of executions through REST, in a process of its own.

`python -m bench.react3 URL TOKEN AGENT CONCURRENCY COUNT` prints one JSON object: latencies in milliseconds, the time
it took, and how many failed.
"""

from __future__ import annotations

import asyncio
import sys
import time
from urllib.parse import urlsplit

import orjson
import uvloop

from bench.http import Connection

_TEXT = "The sum of the two numbers is worked out with the calculator, which is exact, and then told to the person. "
SCRIPT = [
    [
        {"text": (_TEXT * 3)[:300]},
        {"toolUse": {"name": "calculator", "input": {"expression": "19 + 23"}}},
    ],
    [{"text": (_TEXT * 3)[:280] + "{{tool.output}}"}],
]
AGENT = {
    "name": "react3",
    "description": "The work of docs/benchmarks.md: model, tool, model.",
    "instructions": "Add the numbers that you are given.",
    "model": "scripted",
    "tools": ["calculator"],
    "inputSchema": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
    "modelSettings": {"script": SCRIPT},
}


async def measure(url: str, token: str, agent_id: str, concurrency: int, count: int) -> dict[str, object]:
    """Run `count` executions, `concurrency` at a time."""
    host, port = str(urlsplit(url).hostname), int(urlsplit(url).port or 80)
    left = iter(range(count))
    latencies: list[float] = []
    failed: list[object] = []

    async def client() -> None:
        connection = Connection(host, port, token)
        for number in left:
            body = {"input": {"a": number, "b": 23}, "wait": "30s"}
            began = time.perf_counter()
            status, answer = await connection.request("POST", f"/v1/agents/{agent_id}/executions", body)
            latencies.append((time.perf_counter() - began) * 1000)
            if status != 200 or answer["status"] != "COMPLETED" or answer["usage"]["steps"] != 2:
                failed.append(answer)
        connection.close()

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(concurrency)))
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "latencies": latencies, "failed": len(failed), "example": failed[:1]}


def main() -> None:
    """Measure what the command line says."""
    url, token, agent_id, concurrency, count = sys.argv[1:]
    result = uvloop.run(measure(url, token, agent_id, int(concurrency), int(count)))
    sys.stdout.write(orjson.dumps(result).decode())


if __name__ == "__main__":
    main()
