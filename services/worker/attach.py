"""Attached to the execution service: work comes down one stream, journal entries go up.

Owns the stream and what is held by it: who runs, who is told to stop, when to say that one is alive, and coming back
when the stream breaks. When it breaks everything that was held is given up, for its leases may end unseen.
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
from services.worker.convert import to_assignment
from services.worker.core.entries import ExecutionFailed, Failure
from services.worker.lease import Lease
from services.worker.link import Link
from services.worker.outbox import Outbox
from services.worker.runner import Parts, run

log = logging.getLogger(__name__)

_LONGEST_PAUSE = 2.0
_PATIENCE = 5.0  # seconds after which a service that does not answer is worth a word
_INTERNAL = Failure("INTERNAL", "The worker has a fault and could not go on.")


@dataclass(frozen=True, slots=True)
class Hello:
    """How a worker introduces itself."""

    worker: str
    pool: str
    slots: int
    software_version: str
    tools: tuple[str, ...]


@dataclass(slots=True)
class Held:
    """An execution that this worker holds."""

    link: Link
    task: asyncio.Task[None]


class Worker:
    """A worker, attached for as long as it runs. `chance` draws from 0 to 1 and spreads reconnects."""

    def __init__(self, peer: Peer, hello: Hello, parts: Parts, chance: Callable[[], float]) -> None:
        self._stub = worker_service_pb2_grpc.WorkerServiceStub(peer.channel)
        self._peer = peer
        self._hello = hello
        self._parts = parts
        self._chance = chance
        self._leaving = asyncio.Event()
        self._previous = ""

    async def run(self, grace: float) -> None:
        """Stay attached until told to leave, then finish or hand over what is held within `grace` seconds."""
        pause = 0.05
        while not self._leaving.is_set():
            session = Session(self._hello, self._previous, self._parts, self._leaving)
            try:
                await session.serve(self._stub, self._peer.metadata(""), grace)
            except (grpc.RpcError, RetinueError, OSError) as error:
                log.warning("not attached to execution: %s", _words(error))
            pause = 0.05 if session.id else min(_LONGEST_PAUSE, pause * 2)
            self._previous = session.id or self._previous
            if not self._leaving.is_set():
                await asyncio.sleep(pause * (0.5 + self._chance() / 2))

    def leave(self) -> None:
        """Take no new work and end."""
        self._leaving.set()


class Session:
    """One stream and everything that is held by it. `id` is empty until the service has welcomed the worker."""

    def __init__(self, hello: Hello, previous: str, parts: Parts, leaving: asyncio.Event) -> None:
        self.id = ""
        self._hello = hello
        self._previous = previous
        self._parts = parts
        self._leaving = leaving
        self._outbox = Outbox()
        self._lease = Lease(parts.clock)
        self._lease_seconds = 0.0
        self._held: dict[str, Held] = {}
        self._greeted = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    async def serve(self, stub: worker_service_pb2_grpc.WorkerServiceStub, metadata: Any, grace: float) -> None:
        """Serve the stream until it ends, or until the worker has left."""
        attach: Any = stub.Attach
        call = attach(metadata=metadata, wait_for_ready=True)
        self._greet()
        works = (self._send(call), self._read(call), self._beat(), self._leave(call, grace))
        tasks = [asyncio.create_task(work) for work in works]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await self._abandon(tasks)
            call.cancel()

    async def _abandon(self, tasks: list[asyncio.Task[None]]) -> None:
        held = list(self._held.values())
        for one in held:
            one.link.revoke()
        running = [*tasks, *(one.task for one in held)]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _greet(self) -> None:
        hello = self._outbox.frame().hello
        hello.worker = self._hello.worker
        hello.pool = self._hello.pool
        hello.slots = self._hello.slots
        hello.software_version = self._hello.software_version
        hello.tools.extend(self._hello.tools)
        hello.previous_session_id = self._previous

    async def _send(self, call: Any) -> None:
        while True:
            await call.write(await self._outbox.take())

    async def _read(self, call: Any) -> None:
        async for response in call:
            for frame in response.frames:
                self._take(frame)

    async def _beat(self) -> None:
        """Say every third of a lease that this worker is alive; end when nobody answers for two leases."""
        while not self.id:
            try:
                async with asyncio.timeout(_PATIENCE):
                    await self._greeted.wait()
            except TimeoutError:
                log.warning("execution does not answer yet")
        while True:
            await asyncio.sleep(self._lease_seconds / 3)
            if self._lease.silence > 2 * self._lease_seconds:
                raise OSError("the execution service does not answer")
            self._lease.beat()
            self._outbox.frame().heartbeat.SetInParent()

    async def _leave(self, call: Any, grace: float) -> None:
        """Once told to leave: no new work, then hand over at step boundaries, and by force when time is short."""
        await self._leaving.wait()
        if not self.id:
            return
        self._outbox.frame().draining.SetInParent()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace * 0.8):
                await self._idle.wait()
        for one in list(self._held.values()):
            one.task.cancel()
            one.link.release("draining")
        with suppress(TimeoutError):
            async with asyncio.timeout(grace * 0.2):
                await self._outbox.close()
                await call.done_writing()
                # The service ends the stream when it has read everything, and with it this session.
                await asyncio.Event().wait()

    def _take(self, frame: worker_pb2.ServerFrame) -> None:
        kind = frame.WhichOneof("frame")
        if kind == "assignment":
            self._assigned(frame.assignment)
        elif kind == "ack":
            self._acknowledged(frame.ack)
        elif kind == "revoked":
            self._revoked(frame.revoked)
        elif kind == "hand_back":
            self._wanted_back(frame.hand_back)
        elif kind == "alive":
            self._lease.renew(frame.alive.lease_ms / 1000)
        elif kind == "budget_grant":
            held = self._held.get(frame.budget_grant.execution_id)
            if held is not None:
                held.link.granted(frame.budget_grant)
        elif kind == "welcome":
            self._welcomed(frame.welcome)

    def _welcomed(self, welcome: worker_pb2.Welcome) -> None:
        self.id = welcome.session_id
        self._lease_seconds = welcome.lease_ms / 1000
        self._lease.renew(self._lease_seconds)
        self._greeted.set()
        log.info("attached to execution as %s, session %s", self._hello.worker, self.id)

    def _assigned(self, sent: worker_pb2.Assignment) -> None:
        before = self._held.get(sent.execution_id)
        if before is not None:
            self._let_go(before)
        newest = sent.journal[-1].sequence if sent.journal else 0
        link = Link(sent.execution_id, sent.fence, newest, self._outbox, self._lease)
        if self._leaving.is_set():
            link.release("draining")
            return
        task = asyncio.create_task(self._run(sent, link))
        self._held[sent.execution_id] = Held(link, task)
        self._idle.clear()
        task.add_done_callback(lambda _: self._forget(link))

    async def _run(self, sent: worker_pb2.Assignment, link: Link) -> None:
        try:
            await run(self._parts, to_assignment(sent), link, lambda: self._leaving.is_set() or bool(link.wanted))
        except Exception:
            log.exception("execution %s met a fault of the worker", link.execution_id)
            link.append(ExecutionFailed(_INTERNAL))

    def _acknowledged(self, ack: worker_pb2.Ack) -> None:
        held = self._held.get(ack.execution_id)
        if held is not None and held.link.fence == ack.fence:
            held.link.acknowledge(ack.sequence)
            if held.task.done():
                self._forget(held.link)

    def _revoked(self, revoked: worker_pb2.Revoked) -> None:
        held = self._held.get(revoked.execution_id)
        if held is not None and held.link.fence == revoked.fence:
            log.info("execution %s is no longer held: %s", revoked.execution_id, revoked.reason)
            self._let_go(held)

    def _wanted_back(self, wanted: worker_pb2.HandBack) -> None:
        held = self._held.get(wanted.execution_id)
        if held is not None and held.link.fence == wanted.fence:
            held.link.wanted = wanted.reason

    def _let_go(self, held: Held) -> None:
        held.link.revoke()
        held.task.cancel()
        self._forget(held.link)

    def _forget(self, link: Link) -> None:
        """Forget an execution that has ended here, once all it wrote is committed or no longer matters."""
        held = self._held.get(link.execution_id)
        if held is not None and held.link is link and (link.cut or (held.task.done() and link.settled)):
            del self._held[link.execution_id]
            if not self._held:
                self._idle.set()


def _words(error: BaseException) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name} {error.details()}"
    return str(error)
