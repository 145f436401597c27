"""The REST API as a client of the suite meets it: JSON in and out, errors, server-sent events, polling.

Owns the wire. It knows no test and nothing of the suite's code, so that it sees what any client sees.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import httpx

ENDED = ("COMPLETED", "FAILED", "CANCELLED")
PATIENCE = 90.0
"""Seconds after which a state that was polled for is given up; generous, for a machine that is busy."""


class Refused(Exception):  # noqa: N818 - it is what the suite did, not a fault of the test
    """An answer that is not 200, with its error body."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(f"{response.status_code} {response.text}")
        self.status = response.status_code
        self.headers = response.headers
        self.error: dict[str, Any] = response.json()["error"] if response.text else {}

    @property
    def code(self) -> str:
        """The stable code of the error."""
        return str(self.error.get("code"))

    @property
    def fields(self) -> list[str]:
        """The paths of the fields that are wrong."""
        return [problem["field"] for problem in self.error["details"].get("validationErrors", [])]

    @property
    def actions(self) -> list[str]:
        """What the caller is told to do."""
        return list(self.error["details"]["suggestedActions"])


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event; `id` is None where the line is missing."""

    event: str
    data: dict[str, Any] = field(default_factory=dict)
    id: int | None = None


class Rest:
    """A client with a token. `user_id` and `organization_id` say whose it is, where the test made it."""

    def __init__(self, url: str, token: str = "", *, organization_id: str = "", user_id: str = "") -> None:
        self.url = url
        self.token = token
        self.organization_id = organization_id
        self.user_id = user_id
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        limits = httpx.Limits(max_connections=1_000)
        self.http = httpx.AsyncClient(
            base_url=url, headers=headers, timeout=PATIENCE, trust_env=False, verify=False, limits=limits
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Send JSON and return the answer's; raises Refused. Names of headers are written with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = await self.http.request(method, path, json=body, headers=named)
        if response.status_code != 200:
            raise Refused(response)
        return response.json()

    async def get(self, path: str, **query: Any) -> Any:
        """Read something."""
        response = await self.http.get(path, params=query)
        if response.status_code != 200:
            raise Refused(response)
        return response.json()

    async def post(self, path: str, body: Any = None, **headers: str) -> Any:
        """Create or do something."""
        return await self.call("POST", path, {} if body is None else body, **headers)

    async def raw(self, method: str, path: str, content: bytes = b"", **headers: str) -> httpx.Response:
        """Send bytes as they are."""
        named = {"Content-Type": "application/json"} | {name.replace("_", "-"): v for name, v in headers.items()}
        return await self.http.request(method, path, content=content, headers=named)

    @asynccontextmanager
    async def events(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[AsyncIterator[Event]]:
        """Open a stream of events; raises Refused."""
        async with self.http.stream(method, path, json=body, headers=headers) as response:
            if response.status_code != 200:
                await response.aread()
                raise Refused(response)
            assert response.headers["content-type"].startswith("text/event-stream")
            yield parsed(response.aiter_lines())

    async def followed(self, execution_id: str, **query: Any) -> list[Event]:
        """Follow an execution to its end and return all events that have an id."""
        path = httpx.URL(f"/v1/executions/{execution_id}/events", params=query)
        async with self.events("GET", str(path)) as events:
            return [event async for event in events if event.id is not None]

    async def publish(self, definition: Mapping[str, Any]) -> str:
        """Create an agent, publish its draft and return its id."""
        agent = await self.post("/v1/agents", dict(definition))
        await self.post(f"/v1/agents/{agent['id']}/versions/draft/publish")
        return str(agent["id"])

    async def start(self, agent_id: str, given: Any = None, **more: Any) -> dict[str, Any]:
        """Accept an execution and return it as it is then."""
        return dict(await self.post(f"/v1/agents/{agent_id}/executions", {"input": given, **more}))

    async def run(self, agent_id: str, given: Any = None, **more: Any) -> dict[str, Any]:
        """Run an agent and return the execution as it ended."""
        return await self.start(agent_id, given, wait=f"{PATIENCE:.0f}s", **more)

    async def execution(self, execution_id: str) -> dict[str, Any]:
        """Read an execution."""
        return dict(await self.get(f"/v1/executions/{execution_id}"))

    async def until(self, execution_id: str, *statuses: str, seconds: float = PATIENCE) -> dict[str, Any]:
        """Poll an execution until it has one of some statuses, or has ended where none is named."""
        deadline = time.monotonic() + seconds
        while True:
            found = await self.execution(execution_id)
            if found["status"] in (statuses or ENDED):
                return found
            assert time.monotonic() < deadline, f"still {found}"
            await asyncio.sleep(0.05)


async def parsed(lines: AsyncIterator[str]) -> AsyncIterator[Event]:
    """Read events out of the lines of a stream."""
    said: dict[str, str] = {}
    async for line in lines:
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            said[name] = value
        elif not line and "data" in said:
            number = int(said["id"]) if "id" in said else None
            yield Event(said.get("event", "message"), json.loads(said["data"]), number)
            said = {}
