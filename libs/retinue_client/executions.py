"""Executions: started, followed to their end, read and stopped.

Owns `client.executions`. What it starts carries an idempotency key, so that a start whose answer is lost is not
started twice.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from datetime import UTC, timedelta
from typing import Any, TypedDict, Unpack

from retinue.execution.v1 import execution_pb2
from retinue.execution.v1 import execution_service_pb2 as pb
from retinue_client.agents import Agent, Agents
from retinue_client.models import Chunk, Event, Execution, Failure, Json, Level, LogEntry, Priority, Status, Step
from retinue_client.paging import conditions, pages
from retinue_client.reading import read
from retinue_client.result import Result
from retinue_client.watching import follow
from retinue_client.wire import DEADLINE, Wire
from retinue_client.writing import duration, enum_number, input_value
from retinue_core import values

_WAIT = 20.0
_PATIENCE = 60.0


class Options(TypedDict, total=False):
    """How an execution is run. `timeout` is in seconds and counts from acceptance."""

    version: str
    priority: Priority
    timeout: float | timedelta
    conversation_id: str
    project_id: str
    metadata: Mapping[str, Json]


class Executions:
    """`client.executions`."""

    def __init__(self, wire: Wire, agents: Agents) -> None:
        """Call over a wire; `agents` knows the agents by name."""
        self._wire = wire
        self._agents = agents

    async def create(
        self, agent: Agent | str, input: Json = None, *, wait: float | timedelta = 0, **options: Unpack[Options]
    ) -> Execution:
        """Start an execution; returns it as accepted, or after `wait` seconds at most as it is then."""
        request = pb.CreateExecutionRequest(
            agent_id=await self._agents.id_of(agent),
            input=values.from_python(input_value(input)),
            version=options.get("version", ""),
            priority=enum_number("priority", execution_pb2.Execution.Priority, options.get("priority")),
            conversation_id=options.get("conversation_id", ""),
            project_id=options.get("project_id", ""),
        )
        waited = duration(wait)
        if waited.ToNanoseconds():
            request.wait.CopyFrom(waited)
        if (timeout := options.get("timeout")) is not None:
            request.timeout.CopyFrom(duration(timeout))
        if (metadata := options.get("metadata")) is not None:
            request.metadata.CopyFrom(values.to_struct(input_value(metadata)))
        deadline = DEADLINE + waited.ToNanoseconds() / 1e9
        answer = await self._wire.call("execution", "CreateExecution", request, timeout=deadline, keyed=True)
        return read(Execution, answer.execution)

    async def run(self, agent: Agent | str, input: Json = None, **options: Unpack[Options]) -> Result:
        """Start an execution and wait for its answer. Raises ExecutionFailedError when it ends without one."""
        if isinstance(agent, str):
            agent = await self._agents.get(agent)
        execution = await self.create(agent, input, wait=_WAIT, **options)
        return Result(await self.wait(execution), agent.output_schema)

    async def wait(self, execution: Execution | str) -> Execution:
        """Wait for the end of an execution, however long that takes."""
        known = await self.get(execution) if isinstance(execution, str) else execution
        if known.ended:
            return known
        async with aclosing(self.watch(known, after=known.last_sequence)) as events:
            async for event in events:
                if event.ends and event.execution is not None:
                    return event.execution
        return await self.get(known)

    async def get(self, execution: Execution | str) -> Execution:
        """Read an execution. Raises EXECUTION_NOT_FOUND."""
        request = pb.GetExecutionRequest(execution_id=_id(execution))
        return read(Execution, (await self._wire.call("execution", "GetExecution", request)).execution)

    async def list(
        self,
        agent: Agent | str = "",
        *,
        status: Status | str = "",
        filter: str = "",
        order_by: str = "",
        page_size: int = 0,
    ) -> AsyncIterator[Execution]:
        """Iterate over executions, the newest first. `filter` is like `project_id=p AND priority=HIGH`."""
        agent_id = await self._agents.id_of(agent) if agent else ""
        both = " AND ".join(part for part in (conditions(agent_id=agent_id, status=status), filter) if part)
        request = pb.ListExecutionsRequest(filter=both, order_by=order_by, page_size=page_size)
        found = pages(self._wire, "execution", "ListExecutions", request, lambda page: map(_execution, page.executions))
        async for execution in found:
            yield execution

    async def cancel(self, execution: Execution | str, reason: str = "") -> Execution:
        """Stop an execution. Once more changes nothing; one that has ended otherwise raises EXECUTION_ENDED."""
        request = pb.CancelExecutionRequest(execution_id=_id(execution), reason=reason)
        return read(Execution, (await self._wire.call("execution", "CancelExecution", request)).execution)

    def steps(self, execution: Execution | str) -> AsyncIterator[Step]:
        """Iterate over the steps of an execution, in their order."""
        request = pb.ListStepsRequest(execution_id=_id(execution))
        return pages(
            self._wire, "execution", "ListSteps", request, lambda page: (read(Step, step) for step in page.steps)
        )

    def logs(self, execution: Execution | str, *, level: Level = "DEBUG") -> AsyncIterator[LogEntry]:
        """Iterate over the log of an execution: the lines that are at least as serious as `level`."""
        request = pb.ListLogsRequest(
            execution_id=_id(execution), level=enum_number("level", execution_pb2.LogEntry.Level, level)
        )
        return pages(
            self._wire, "execution", "ListLogs", request, lambda page: (read(LogEntry, line) for line in page.logs)
        )

    def watch(
        self, execution: Execution | str, *, after: int = 0, patience: float = _PATIENCE
    ) -> AsyncGenerator[Event, None]:
        """Iterate over what happened behind a sequence and then over what happens, until the execution has ended.

        A connection that breaks is opened again by itself, without gap and without repeat; after `patience` seconds
        without any answer, that is an error.
        """
        return follow(
            lambda told: self._events(_id(execution), told),
            after,
            sleep=self._wire.sleep,
            monotonic=time.monotonic,
            patience=patience,
        )

    async def _events(self, execution_id: str, after: int) -> AsyncIterator[Event]:
        request = pb.WatchExecutionRequest(execution_id=execution_id, after=after)
        async with aclosing(self._wire.stream("execution", "WatchExecution", request)) as responses:
            async for response in responses:
                yield _event(response.event)


def _id(execution: Execution | str) -> str:
    return execution.id if isinstance(execution, Execution) else execution


def _execution(message: execution_pb2.Execution) -> Execution:
    return read(Execution, message)


def _event(message: execution_pb2.ExecutionEvent) -> Event:
    kind = message.WhichOneof("data")
    more: dict[str, Any] = {}
    if kind in ("start", "done", "error"):
        more["execution"] = _execution(getattr(message, kind).execution)
    if kind in ("step", "tool"):
        more["step"] = read(Step, getattr(message, kind))
    if kind == "error":
        more["error"] = read(Failure, message.error.error)
    if kind == "chunk":
        more["chunk"] = read(Chunk, message.chunk)
    if kind == "log":
        more["log"] = read(LogEntry, message.log)
    return Event(
        sequence=message.sequence,
        event=message.event,
        kind=message.kind,
        execution_id=message.execution_id,
        time=message.time.ToDatetime(UTC) if message.HasField("time") else None,
        **more,
    )
