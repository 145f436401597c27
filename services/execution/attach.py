"""The workers' stream: work flows down, journal entries flow up.

Owns the protocol of `WorkerService.Attach`, and that a worker whose stream broke may go on with what it still runs. It
believes a worker only as far as its fence: what a worker says about an execution it does not hold is answered with
`revoked`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any

from retinue.execution.v1 import worker_pb2, worker_service_pb2, worker_service_pb2_grpc
from retinue.quota.v1 import quota_pb2, quota_service_pb2
from retinue_core import ids
from retinue_core.errors import Problem, RetinueError, invalid
from services.execution.clients import Reservations
from services.execution.convert import kind_of
from services.execution.domain import OF_A_WORKER, STATUS_AFTER, Execution
from services.execution.feed import Feed
from services.execution.journal import Entries, Journal
from services.execution.matching import Attachment, Matcher
from services.execution.recovery import Recovery
from services.execution.store import Holding
from services.execution.store.holding import Kept, Session

log = logging.getLogger(__name__)

Request = worker_service_pb2.AttachRequest
Response = worker_service_pb2.AttachResponse
ServerFrame = worker_pb2.ServerFrame
_MOST_SLOTS = 10_000


class WorkerService(worker_service_pb2_grpc.WorkerServiceServicer):
    """Serves workers."""

    def __init__(
        self,
        lease: float,
        reattach: float,
        matcher: Matcher,
        holding: Holding,
        journal: Journal,
        feed: Feed,
        reservations: Reservations,
        recovery: Recovery,
    ) -> None:
        self._lease = lease
        self._reattach = reattach
        self._matcher = matcher
        self._holding = holding
        self._journal = journal
        self._feed = feed
        self._reservations = reservations
        self._recovery = recovery
        self._background: set[asyncio.Task[Any]] = set()
        self._draining = False

    async def Attach(  # noqa: N802 - the proto names it
        self, request_iterator: AsyncIterator[Request], _: Any
    ) -> AsyncIterator[Response]:
        """Serve one worker for as long as its stream lives."""
        first = await anext(aiter(request_iterator), None)
        if first is None or not first.frames or first.frames[0].WhichOneof("frame") != "hello":
            raise invalid("A worker says hello first.", Problem("frames[0]", "must be `hello`"))
        attachment = await self._welcome(first.frames[0].hello)
        reader = asyncio.create_task(self._read(attachment, first, request_iterator))
        try:
            while frames := await attachment.sent():
                yield Response(frames=frames)
        finally:
            reader.cancel()
            self._matcher.remove(attachment)
            attachment.close()
            self._start(self._left(attachment))

    async def drain(self) -> None:
        """Say goodbye to every worker, with what was on its way to it, and let what they say last be committed.

        Nothing is given back: workers go on with their sessions elsewhere, or here once the service is back.
        """
        self._draining = True
        for attachment in self._matcher:
            attachment.draining = True
        await self._matcher.promises_kept()
        for attachment in self._matcher:
            attachment.send(ServerFrame(goodbye=worker_pb2.Goodbye()))
        await self._journal.drain()
        for attachment in self._matcher:
            attachment.close()

    async def _left(self, attachment: Attachment) -> None:
        """What a stream that ended leaves behind is taken back, unless its worker goes on with it in time."""
        if not attachment.draining:
            await asyncio.sleep(self._reattach)
        if not self._draining:
            await self._recovery.left(_session(attachment))

    async def _welcome(self, hello: worker_pb2.Hello) -> Attachment:
        slots = min(max(0, hello.slots), _MOST_SLOTS)
        attachment = Attachment(ids.new_id(), hello.worker, hello.pool or "default", slots)
        kept = await self._adopted(attachment, hello) if ids.is_id(hello.previous_session_id) else None
        if kept is None:
            await self._holding.attach(_session(attachment), self._lease)
        welcome = worker_pb2.Welcome(session_id=attachment.id, lease_ms=int(self._lease * 1000))
        for one in kept or ():
            execution = one.execution
            welcome.kept.add(execution_id=execution.id, fence=execution.fence, sequence=execution.last_sequence)
        attachment.send(ServerFrame(welcome=welcome))
        self._matcher.add(attachment)
        for one in kept or ():
            if one.wanted:
                self._matcher.want_back(one.execution.id, "pause")
        if self._draining:
            attachment.draining = True
            attachment.send(ServerFrame(goodbye=worker_pb2.Goodbye()))
            attachment.close()
        log.info("worker %s attached with %d slots and %d executions", attachment.worker, slots, len(kept or ()))
        return attachment

    async def _adopted(self, attachment: Attachment, hello: worker_pb2.Hello) -> list[Kept] | None:
        """Make a stream go on with the session that its worker had; None when that one is over."""
        before = replace(_session(attachment), id=hello.previous_session_id)
        held = [(one.execution_id, one.fence) for one in hello.held if ids.is_id(one.execution_id)]
        self._matcher.drop(before.id)
        adopted = await self._recovery.adopt(before, held)
        if adopted is None:
            return None
        attachment.id, attachment.epoch = before.id, adopted.epoch
        attachment.held.update({one.execution.id: one.execution for one in adopted.kept})
        return adopted.kept

    async def _read(self, attachment: Attachment, first: Request, requests: AsyncIterator[Request]) -> None:
        try:
            for frame in first.frames[1:]:
                await self._take(attachment, frame)
            async for request in requests:
                for frame in request.frames:
                    await self._take(attachment, frame)
        finally:
            attachment.close()

    async def _take(self, attachment: Attachment, frame: worker_pb2.WorkerFrame) -> None:
        kind = frame.WhichOneof("frame")
        if kind == "append":
            self._append(attachment, frame.append)
        elif kind == "delta":
            if _holds(attachment, frame.delta.execution_id, frame.delta.fence):
                await self._feed.delta(frame.delta)
        elif kind == "heartbeat":
            attachment.beating = True
        elif kind == "budget_request":
            self._start(self._extend(attachment, frame.budget_request))
        elif kind == "release":
            self._release(attachment, frame.release)
        elif kind == "draining":
            attachment.draining = True

    def _append(self, attachment: Attachment, append: worker_pb2.Append) -> None:
        execution = _holds(attachment, append.execution_id, append.fence)
        if execution is None:
            _revoke(attachment, append.execution_id, append.fence, "fenced")
            return
        entries = tuple(append.entries)
        first = entries[0].sequence if entries else 0
        in_order = all(entry.sequence == first + index for index, entry in enumerate(entries))
        if not entries or not in_order or any(kind_of(entry) not in OF_A_WORKER for entry in entries):
            log.error("worker %s sent entries that it may not write", attachment.worker)
            self._give_back(attachment, append.execution_id, append.fence, "protocol violated")
            return
        handed = Entries(execution.organization_id, execution.id, append.fence, entries)
        self._journal.append(handed).add_done_callback(partial(self._appended, attachment, handed))

    def _appended(self, attachment: Attachment, handed: Entries, result: asyncio.Future[bool]) -> None:
        if result.cancelled():
            return
        if error := result.exception():
            log.error("entries of %s cannot be stored: %s", handed.execution_id, error)
            self._give_back(attachment, handed.execution_id, handed.fence, "its entries cannot be stored")
        elif not result.result():
            self._matcher.let_go(attachment, handed.execution_id)
            _revoke(attachment, handed.execution_id, handed.fence, "fenced")
        else:
            last = handed.entries[-1]
            ack = worker_pb2.Ack(execution_id=handed.execution_id, fence=handed.fence, sequence=last.sequence)
            attachment.send(ServerFrame(ack=ack))
            if kind_of(last) in STATUS_AFTER:
                self._matcher.let_go(attachment, handed.execution_id)

    def _release(self, attachment: Attachment, release: worker_pb2.Release) -> None:
        if _holds(attachment, release.execution_id, release.fence):
            self._matcher.let_go(attachment, release.execution_id)
            self._start(self._recovery.released(attachment.id, attachment.worker, release))

    def _give_back(self, attachment: Attachment, execution_id: str, fence: int, reason: str) -> None:
        self._matcher.let_go(attachment, execution_id)
        _revoke(attachment, execution_id, fence, reason)
        release = worker_pb2.Release(execution_id=execution_id, fence=fence, reason=reason)
        self._start(self._recovery.released(attachment.id, attachment.worker, release))

    async def _extend(self, attachment: Attachment, request: worker_pb2.BudgetRequest) -> None:
        execution = _holds(attachment, request.execution_id, request.fence)
        if execution is None:
            return
        answer = worker_pb2.BudgetGrant(execution_id=request.execution_id, request_id=request.request_id)
        extension = quota_service_pb2.ExtendRequest.Extension(
            reservation_id=execution.reservation_id,
            organization_id=execution.organization_id,
            id=request.request_id,
            tokens=request.tokens,
            cost_micros=request.cost_micros,
        )
        try:
            grant = await self._reservations.extend(extension)
        except RetinueError as error:
            answer.refusal = error.message
        else:
            answer.tokens, answer.cost_micros = grant.tokens, grant.cost_micros
            if grant.outcome != quota_pb2.Grant.GRANTED:
                answer.refusal = "The budget is used up."
        attachment.send(ServerFrame(budget_grant=answer))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _session(attachment: Attachment) -> Session:
    return Session(attachment.id, attachment.worker, attachment.pool, attachment.slots, attachment.epoch)


def _holds(attachment: Attachment, execution_id: str, fence: int) -> Execution | None:
    execution = attachment.held.get(execution_id)
    return execution if execution is not None and execution.fence == fence else None


def _revoke(attachment: Attachment, execution_id: str, fence: int, reason: str) -> None:
    revoked = worker_pb2.Revoked(execution_id=execution_id, fence=fence, reason=reason)
    attachment.send(ServerFrame(revoked=revoked))
