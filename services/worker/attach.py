"""Attached to the execution service: work comes down one stream, journal entries go up.

Owns the stream: who says hello, when to say that one is alive, leaving, and coming back when the stream breaks. What is
held outlives it (`holding`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import grpc

from retinue.execution.v1 import worker_pb2, worker_service_pb2_grpc
from retinue_core.errors import RetinueError
from retinue_core.rpc.client import Peer
from services.worker.holding import ALONE, Holding
from services.worker.lease import Lease
from services.worker.outbox import Outbox
from services.worker.runner import Parts

log = logging.getLogger(__name__)

_SHORTEST_PAUSE = 0.05
_LONGEST_PAUSE = 2.0
_PATIENCE = 5.0  # seconds after which a service that does not answer is worth a word


@dataclass(frozen=True, slots=True)
class Hello:
    """How a worker introduces itself."""

    worker: str
    pool: str
    slots: int
    software_version: str
    tools: tuple[str, ...]


class Worker:
    """A worker, attached for as long as it runs. `chance` draws from 0 to 1 and spreads reconnects."""

    def __init__(self, peer: Peer, hello: Hello, parts: Parts, chance: Callable[[], float]) -> None:
        self._stub = worker_service_pb2_grpc.WorkerServiceStub(peer.channel)
        self._peer = peer
        self._hello = hello
        self._chance = chance
        self._leaving = asyncio.Event()
        self._lease = Lease(parts.clock)
        self._holding = Holding(parts, self._lease, self._leaving.is_set)

    async def run(self, grace: float) -> None:
        """Stay attached until told to leave, then finish or hand over what is held within `grace` seconds."""
        staying = asyncio.create_task(self._stay(grace))
        leaving = asyncio.create_task(self._leaving.wait())
        try:
            await asyncio.wait((staying, leaving), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait((staying,), timeout=grace)
            if staying.done():
                staying.result()
        finally:
            for task in (staying, leaving):
                task.cancel()
            await asyncio.gather(staying, leaving, return_exceptions=True)
            await self._holding.let_go()

    def leave(self) -> None:
        """Take no new work and end."""
        self._leaving.set()

    async def _stay(self, grace: float) -> None:
        """Attach again and again. A worker that is leaving needs a stream for as long as it holds anything."""
        pause, previous = _SHORTEST_PAUSE, ""
        while True:
            stream = Stream(self._hello, previous, self._holding, self._lease, self._leaving)
            try:
                await stream.serve(self._stub, self._peer.metadata(""), grace)
            except (grpc.RpcError, RetinueError, OSError) as error:
                log.warning("not attached to execution: %s", _words(error))
            if self._leaving.is_set() and self._holding.idle:
                return
            pause = _SHORTEST_PAUSE if stream.id else min(_LONGEST_PAUSE, pause * 2)
            previous = stream.id or previous
            await asyncio.sleep(pause * (0.5 + self._chance() / 2))


class Stream:
    """One stream. `id` is the session, empty until the service has welcomed the worker."""

    def __init__(self, hello: Hello, previous: str, holding: Holding, lease: Lease, leaving: asyncio.Event) -> None:
        self.id = ""
        self._hello = hello
        self._previous = previous
        self._holding = holding
        self._lease = lease
        self._lease_seconds = 0.0
        self._leaving = leaving
        self._outbox = Outbox()
        self._greeted = asyncio.Event()

    async def serve(self, stub: worker_service_pb2_grpc.WorkerServiceStub, metadata: Any, grace: float) -> None:
        """Serve the stream until it ends, or until the worker has left."""
        attach: Any = stub.Attach
        call = attach(metadata=metadata, wait_for_ready=True)
        self._greet()
        works = (_send(self._outbox, call), self._read(call), self._beat(), self._leave(call, grace))
        tasks = [asyncio.create_task(work) for work in works]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            if self.id:
                self._holding.hold(self._lease_seconds + ALONE)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            call.cancel()

    def _greet(self) -> None:
        self._lease.ask()
        hello = self._outbox.frame().hello
        hello.worker = self._hello.worker
        hello.pool = self._hello.pool
        hello.slots = self._hello.slots
        hello.software_version = self._hello.software_version
        hello.tools.extend(self._hello.tools)
        hello.previous_session_id = self._previous
        hello.held.extend(self._holding.named())

    async def _read(self, call: Any) -> None:
        async for response in call:
            for frame in response.frames:
                if frame.HasField("goodbye"):
                    return
                self._take(frame)

    async def _beat(self) -> None:
        """Say every third of a lease that this worker is alive; end when nobody answers for two leases."""
        while not self.id:
            try:
                async with asyncio.timeout(_PATIENCE):
                    await self._greeted.wait()
            except TimeoutError:
                log.warning("execution does not answer yet")
        if not self._lease.held:
            self._heartbeat()  # the welcome was long in coming
        while True:
            await asyncio.sleep(self._lease_seconds / 3)
            if self._lease.silence > 2 * self._lease_seconds:
                raise OSError("the execution service does not answer")
            self._heartbeat()

    def _heartbeat(self) -> None:
        self._lease.beat()
        self._outbox.frame().heartbeat.SetInParent()

    async def _leave(self, call: Any, grace: float) -> None:
        """Once told to leave: no new work, then hand over at step boundaries, and by force when time is short."""
        await self._leaving.wait()
        if not self.id:
            if self._holding.idle:
                return
            await self._greeted.wait()
        self._outbox.frame().draining.SetInParent()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace * 0.8):
                await self._holding.until_idle()
        self._holding.hand_over()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace * 0.2):
                await self._outbox.close()
                await call.done_writing()
                # The service ends the stream when it has read everything, and with it this session.
                await asyncio.Event().wait()

    def _take(self, frame: worker_pb2.ServerFrame) -> None:
        kind = frame.WhichOneof("frame")
        if kind == "assignment":
            self._holding.assigned(frame.assignment, self._outbox)
        elif kind == "ack":
            self._holding.acknowledged(frame.ack)
        elif kind == "revoked":
            self._holding.revoked(frame.revoked)
        elif kind == "hand_back":
            self._holding.wanted_back(frame.hand_back)
        elif kind == "alive":
            self._lease.renew(frame.alive.lease_ms / 1000)
        elif kind == "budget_grant":
            self._holding.granted(frame.budget_grant)
        elif kind == "welcome":
            self._welcomed(frame.welcome)

    def _welcomed(self, welcome: worker_pb2.Welcome) -> None:
        self.id = welcome.session_id
        self._lease_seconds = welcome.lease_ms / 1000
        self._lease.renew(self._lease_seconds)
        self._holding.resume(welcome.kept, self._outbox)
        self._greeted.set()
        log.info("attached to execution as %s, session %s", self._hello.worker, self.id)


async def _send(outbox: Outbox, call: Any) -> None:
    while True:
        request = await outbox.take()
        try:
            await call.write(request)
        except asyncio.InvalidStateError as error:  # what gRPC says of a call that has just ended
            raise OSError("the stream has ended") from error


def _words(error: BaseException) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name} {error.details()}"
    return str(error)
