"""The execution service as workers see it: a real gRPC server for `WorkerService.Attach`, without a database.

Owns the wire and a journal in memory. It believes fences as the real one does; what it answers by itself, and what
only when the test says so, is set by `acks`, `alive`, `adopts` and `welcomes`.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import orjson

from retinue.agent.v1 import agent_pb2
from retinue.execution.v1 import journal_pb2, worker_pb2, worker_service_pb2, worker_service_pb2_grpc
from retinue_core import values

Entry = journal_pb2.JournalEntry
ServerFrame = worker_pb2.ServerFrame
_TERMINAL = ("execution_completed", "execution_failed")


def agent_spec(
    script: Sequence[Any] = (),
    *,
    model: str = "scripted",
    tools: Sequence[str] = ("calculator", "http"),
    settings: Mapping[str, Any] | None = None,
    **changes: Any,
) -> agent_pb2.AgentSpec:
    """A definition whose scripted model says these turns."""
    chosen = {"script": list(script), **(settings or {})}
    spec = agent_pb2.AgentSpec(model=model, tools=tools, model_settings=values.to_struct(chosen))
    schema = changes.pop("output_schema", None)
    if schema is not None:
        spec.output_schema.CopyFrom(values.to_struct(schema))
    for name, value in changes.items():
        setattr(spec, name, value)
    return spec


class Stream:
    """One attached worker. `frames` is everything it said, in order."""

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self.session_id = ""
        self.hello = worker_pb2.Hello()
        self.frames: list[worker_pb2.WorkerFrame] = []
        self._outgoing: asyncio.Queue[ServerFrame | None] = asyncio.Queue()

    def send(self, **frame: Any) -> None:
        """Say something to the worker."""
        self._outgoing.put_nowait(ServerFrame(**frame))

    def end(self) -> None:
        """End the stream."""
        self._outgoing.put_nowait(None)

    async def next(self) -> list[ServerFrame]:
        """What to say in the next message: all there is, as the real service does; nothing at the end."""
        frames = [await self._outgoing.get()]
        while not self._outgoing.empty():
            frames.append(self._outgoing.get_nowait())
        return [] if None in frames else [frame for frame in frames if frame is not None]

    def kinds(self) -> list[str]:
        """The kinds of frames it said, without heartbeats."""
        kinds = [str(frame.WhichOneof("frame")) for frame in self.frames]
        return [kind for kind in kinds if kind != "heartbeat"]


class FakeExecution(worker_service_pb2_grpc.WorkerServiceServicer):
    """The service. `streams` are all that ever attached, the newest last."""

    def __init__(self, lease_ms: int = 5000) -> None:
        self.lease_ms = lease_ms
        self.acks = True
        self.alive = True
        self.adopts = True
        self.welcomes = True
        self.streams: list[Stream] = []
        self.journals: dict[str, list[Entry]] = {}
        self.fences: dict[str, int] = {}
        self.changed = asyncio.Condition()
        self.on_budget: Callable[[worker_pb2.BudgetRequest], worker_pb2.BudgetGrant] | None = None
        self._ids = itertools.count(1)

    @property
    def stream(self) -> Stream:
        """The newest stream."""
        return self.streams[-1]

    async def until(self, true: Callable[[], Any]) -> Any:
        """Wait until something is true, looking whenever a frame came or a stream ended."""
        async with asyncio.timeout(30), self.changed:
            await self.changed.wait_for(true)
        return true()

    async def assign(
        self,
        spec: agent_pb2.AgentSpec,
        value: Any = "go",
        journal: Sequence[Entry] = (),
        *,
        execution_id: str = "",
        **terms: Any,
    ) -> str:
        """Give an execution to the newest worker; returns its id."""
        await self.until(lambda: self.streams and self.stream.session_id)
        execution_id = execution_id or f"execution-{next(self._ids)}"
        fence = self.fences[execution_id] = self.fences.get(execution_id, 0) + 1
        kept = self.journals.setdefault(execution_id, [])
        for entry in journal:
            entry.sequence = len(kept) + 1
            kept.append(entry)
        assignment = worker_pb2.Assignment(
            execution_id=execution_id,
            fence=fence,
            organization_id="org",
            agent_id="agent",
            agent_name="tester",
            agent_version="1.0.0",
            spec=spec,
            input_json=orjson.dumps(value).decode(),
            journal=kept,
        )
        for name, term in {"remaining_ms": 60_000, "budget_tokens": -1, "budget_cost_micros": -1, **terms}.items():
            setattr(assignment, name, term)
        self.stream.send(assignment=assignment)
        return execution_id

    async def ended(self, execution_id: str) -> Entry:
        """Wait for the last entry of an execution."""
        entry: Entry = await self.until(lambda: self.last(execution_id, *_TERMINAL))
        return entry

    def last(self, execution_id: str, *kinds: str) -> Entry | None:
        """The newest entry of an execution, if it is of one of these kinds."""
        journal = self.journals.get(execution_id)
        return journal[-1] if journal and journal[-1].WhichOneof("body") in kinds else None

    def kinds(self, execution_id: str) -> list[str]:
        """The kinds of an execution's entries."""
        return [str(entry.WhichOneof("body")) for entry in self.journals[execution_id]]

    def acknowledge(self, execution_id: str) -> None:
        """Say that everything that was written is committed."""
        newest = self.journals[execution_id][-1].sequence
        ack = worker_pb2.Ack(execution_id=execution_id, fence=self.fences[execution_id], sequence=newest)
        self.stream.send(ack=ack)

    def revoke(self, execution_id: str, reason: str = "cancelled") -> None:
        """Take an execution away; what is written to it from now on is refused."""
        fence = self.fences[execution_id]
        self.fences[execution_id] = fence + 1
        self.stream.send(revoked=worker_pb2.Revoked(execution_id=execution_id, fence=fence, reason=reason))

    async def Attach(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        metadata = dict(context.invocation_metadata())
        stream = Stream(str(metadata.get("x-retinue-identity", "")))
        self.streams.append(stream)
        reading = asyncio.create_task(self._read(stream, request_iterator))
        try:
            while frames := await stream.next():
                yield worker_service_pb2.AttachResponse(frames=frames)
        finally:
            reading.cancel()
            await self._note()

    async def _read(self, stream: Stream, requests: AsyncIterator[Any]) -> None:
        async for request in requests:
            for frame in request.frames:
                self._take(stream, frame)
                stream.frames.append(frame)
            await self._note()
        stream.end()

    async def _note(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    def _take(self, stream: Stream, frame: worker_pb2.WorkerFrame) -> None:
        kind = frame.WhichOneof("frame")
        if kind == "hello":
            stream.hello = frame.hello
            if self.welcomes:
                self.welcome(stream)
        elif kind == "heartbeat" and self.alive:
            stream.send(alive=worker_pb2.Alive(lease_ms=self.lease_ms))
        elif kind == "append":
            self._append(stream, frame.append)
        elif kind == "budget_request" and self.on_budget is not None:
            stream.send(budget_grant=self.on_budget(frame.budget_request))

    def welcome(self, stream: Stream) -> None:
        """Answer a worker's hello: it goes on with the session it had, and with what it names by the present fence."""
        hello = stream.hello
        known = {one.session_id for one in self.streams} - {""}
        goes_on = self.adopts and hello.previous_session_id in known
        stream.session_id = hello.previous_session_id if goes_on else f"session-{len(self.streams)}"
        welcome = worker_pb2.Welcome(session_id=stream.session_id, lease_ms=self.lease_ms)
        for held in hello.held if goes_on else ():
            journal = self.journals[held.execution_id]
            ended = journal and journal[-1].WhichOneof("body") in _TERMINAL
            if held.fence == self.fences[held.execution_id] and not ended:
                newest = journal[-1].sequence if journal else 0
                welcome.kept.add(execution_id=held.execution_id, fence=held.fence, sequence=newest)
        stream.send(welcome=welcome)

    def _append(self, stream: Stream, append: worker_pb2.Append) -> None:
        journal = self.journals[append.execution_id]
        if append.fence != self.fences[append.execution_id]:
            revoked = worker_pb2.Revoked(execution_id=append.execution_id, fence=append.fence, reason="fenced")
            stream.send(revoked=revoked)
            return
        for entry in append.entries:
            assert entry.sequence == len(journal) + 1, f"entry {entry.sequence} after {len(journal)}"
            journal.append(entry)
        if self.acks:
            ack = worker_pb2.Ack(
                execution_id=append.execution_id, fence=append.fence, sequence=append.entries[-1].sequence
            )
            stream.send(ack=ack)


@asynccontextmanager
async def fake_execution(lease_ms: int = 5000, port: int = 0) -> AsyncIterator[tuple[FakeExecution, int]]:
    """Serve on a port of loopback until the block ends."""
    service = FakeExecution(lease_ms)
    server = grpc.aio.server()
    worker_service_pb2_grpc.add_WorkerServiceServicer_to_server(service, server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield service, bound
    finally:
        await server.stop(0)
