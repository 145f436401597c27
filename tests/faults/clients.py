"""Clients as careful callers write them: they ask again under their key, and go on after the last event they saw.

Owns the first book: what clients were told. Whatever the suite does to a connection is borne, and nothing is believed
that was not said.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx

from tests.clients.rest import ENDED, PATIENCE, Refused, Rest
from tests.faults.books import Books, Stream

T = TypeVar("T")
_PAUSE = 0.1
_AGAIN = (409, 429, 499, 500, 502, 503, 504)
"""Answers after which a careful client asks again."""

Passing = (httpx.TransportError, httpx.StreamError)


class Client:
    """A client that writes down what it is told."""

    def __init__(self, rest: Rest, books: Books) -> None:
        self.rest = rest
        self._books = books

    async def start(self, agent_id: str, given: Any = None, **more: Any) -> str:
        """Ask under one key until an execution is acknowledged; returns its id."""
        key = str(uuid.uuid4())
        execution = await patiently(lambda: self.rest.post(*_asked(agent_id, given, more), Idempotency_Key=key))
        self._note(execution)
        return str(execution["id"])

    async def ended(self, execution_id: str) -> dict[str, Any]:
        """Ask until an execution has ended."""
        deadline = time.monotonic() + PATIENCE
        while True:
            execution = await patiently(lambda: self.rest.execution(execution_id))
            self._note(execution)
            if execution["status"] in ENDED:
                return execution
            assert time.monotonic() < deadline, f"it does not end: {execution}"
            await asyncio.sleep(_PAUSE)

    async def run(self, agent_id: str, given: Any = None, **more: Any) -> dict[str, Any]:
        """Start an execution and wait for its end."""
        return await self.ended(await self.start(agent_id, given, **more))

    async def watch(self, execution_id: str, each: Callable[[int], None] = lambda _: None) -> None:
        """Follow an execution to its end over as many connections as it takes; `each` hears every id."""
        connections: list[tuple[int, tuple[int, ...]]] = []
        seen, ended = 0, False
        deadline = time.monotonic() + PATIENCE
        while not ended:
            assert time.monotonic() < deadline, f"the stream of {execution_id} does not end: {connections}"
            ids: list[int] = []
            ended = await self._connection(execution_id, seen, ids, each)
            connections.append((seen, tuple(ids)))
            seen = ids[-1] if ids else seen
        self._books.streams.append(Stream(execution_id, tuple(connections), ended))

    async def _connection(self, execution_id: str, seen: int, ids: list[int], each: Callable[[int], None]) -> bool:
        headers = {"Last-Event-ID": str(seen)} if seen else {}
        try:
            path = f"/v1/executions/{execution_id}/events"
            async with self.rest.events("GET", path, headers=headers) as events:
                async for event in events:
                    if event.id is None:
                        continue
                    ids.append(event.id)
                    each(event.id)
                    if event.event in ("done", "error"):
                        return True
        except Passing:
            await asyncio.sleep(_PAUSE)
        except Refused as refused:
            if refused.status not in _AGAIN:
                raise
            await asyncio.sleep(_PAUSE)
        return False

    def _note(self, execution: dict[str, Any]) -> None:
        self._books.told[execution["id"]] = execution["status"]


async def patiently(ask: Callable[[], Awaitable[T]], seconds: float = PATIENCE) -> T:
    """Ask until there is an answer, for as long as another try may bring one."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return await ask()
        except Passing:
            if time.monotonic() > deadline:
                raise
        except Refused as refused:
            if refused.status not in _AGAIN or time.monotonic() > deadline:
                raise
        await asyncio.sleep(_PAUSE)


def _asked(agent_id: str, given: Any, more: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return f"/v1/agents/{agent_id}/executions", {"input": given, **more}
