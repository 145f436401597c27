"""The execution room's calls: convert, decide, store, convert."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, TypeVar

from retinue.execution.v1 import execution_service_pb2, execution_service_pb2_grpc
from retinue_core import ids, telemetry
from retinue_core.errors import Problem, RetinueError, invalid, not_found
from retinue_core.identity import Identity
from retinue_core.pages import page_key, page_size, page_token
from retinue_core.rpc.call import caller, idempotency_key
from retinue_core.rpc.idempotency import check_key, fingerprint, in_use, reused
from services.execution.accept import Acceptor
from services.execution.clients import Resolved
from services.execution.controls import Control
from services.execution.convert import from_execution, from_stored
from services.execution.domain import Execution
from services.execution.feed import Feed
from services.execution.narrate import LogEntry, Narrator, log_line
from services.execution.requests import conditions, descending, page, waiting, wish
from services.execution.store import Executions, Journals
from services.execution.store.journal import StoredEntry
from services.execution.trace import trace
from services.execution.watch import Watcher

pb = execution_service_pb2
T = TypeVar("T")
Wished = pb.CancelExecutionRequest | pb.PauseExecutionRequest | pb.ResumeExecutionRequest | pb.RetryExecutionRequest
_LONGEST_REASON = 1_000


class ExecutionService(execution_service_pb2_grpc.ExecutionServiceServicer):
    """Serves those who start, follow and stop executions."""

    def __init__(
        self,
        acceptor: Acceptor,
        watcher: Watcher,
        feed: Feed,
        executions: Executions,
        journals: Journals,
        control: Control,
    ) -> None:
        self._acceptor = acceptor
        self._watcher = watcher
        self._feed = feed
        self._executions = executions
        self._journals = journals
        self._control = control
        self._background: set[asyncio.Task[Any]] = set()
        self._accepting: set[tuple[str, str]] = set()

    async def CreateExecution(self, request: pb.CreateExecutionRequest, _: Any) -> pb.CreateExecutionResponse:
        """Accept an execution, and wait for its end if the caller wants to."""
        wait, content = waiting(request.wait), fingerprint("CreateExecution", request)
        if known := await self._known(content):
            return pb.CreateExecutionResponse(execution=from_execution(known))
        planned = await self._acceptor.plan(caller(), wish(request, inline=False, fingerprint=content))
        async with self._feed.follow(planned[0].id) as follower:
            execution = await asyncio.shield(self._start(self._acceptor.accept(*planned)))
            if wait:
                execution = await self._watcher.until_ended(execution, follower, wait)
        return pb.CreateExecutionResponse(execution=from_execution(execution))

    async def Execute(self, request: pb.ExecuteRequest, _: Any) -> AsyncIterator[pb.ExecuteResponse]:
        """Run an agent and tell everything, until it has ended or the caller goes away."""
        identity, content = caller(), fingerprint("Execute", request)
        if known := await self._known(content):
            async for event in self._watcher.events(known, 0):
                yield pb.ExecuteResponse(event=event)
            return
        planned = await self._acceptor.plan(identity, wish(request, inline=not request.detach, fingerprint=content))
        ended = False
        async with self._feed.follow_everywhere(identity.organization_id, planned[0].id) as follower:
            accepting = self._start(self._once(*planned))
            try:
                execution = await asyncio.shield(accepting)
                async with aclosing(self._watcher.live(execution, follower)) as events:
                    async for event in events:
                        ended = event.event in ("done", "error")
                        yield pb.ExecuteResponse(event=event)
            finally:
                if not ended and not request.detach:
                    self._start(self._abandon(identity, accepting))

    async def GetExecution(self, request: pb.GetExecutionRequest, _: Any) -> pb.GetExecutionResponse:
        """Read an execution."""
        return pb.GetExecutionResponse(execution=from_execution(await self._find(request.execution_id)))

    async def ListExecutions(self, request: pb.ListExecutionsRequest, _: Any) -> pb.ListExecutionsResponse:
        """List the executions that the caller may see, a page at a time."""
        identity, limit = caller(), page_size(request.page_size)
        wanted = conditions(identity, request.filter)
        newest_first = descending(request.order_by)
        asked = (request.filter, request.order_by)
        before = page_key(request.page_token, 1, *asked)
        if before and not ids.is_id(before[0]):
            raise invalid("The page token cannot be used.", code="INVALID_PAGE_TOKEN")
        found = await self._executions.page(
            identity.organization_id,
            wanted,
            before=before[0] if before else "",
            descending=newest_first,
            limit=limit + 1,
        )
        more = page_token((found[limit - 1].id,), *asked) if len(found) > limit else ""
        return pb.ListExecutionsResponse(
            executions=[from_execution(execution) for execution in found[:limit]], next_page_token=more
        )

    async def CancelExecution(self, request: pb.CancelExecutionRequest, _: Any) -> pb.CancelExecutionResponse:
        """Cancel an execution."""
        execution = await self._control.cancel(caller(), *await self._wished(request))
        return pb.CancelExecutionResponse(execution=from_execution(execution))

    async def PauseExecution(self, request: pb.PauseExecutionRequest, _: Any) -> pb.PauseExecutionResponse:
        """Pause an execution."""
        execution = await self._control.pause(caller(), *await self._wished(request))
        return pb.PauseExecutionResponse(execution=from_execution(execution))

    async def ResumeExecution(self, request: pb.ResumeExecutionRequest, _: Any) -> pb.ResumeExecutionResponse:
        """Let a paused execution go on."""
        execution = await self._control.resume(caller(), *await self._wished(request))
        return pb.ResumeExecutionResponse(execution=from_execution(execution))

    async def RetryExecution(self, request: pb.RetryExecutionRequest, _: Any) -> pb.RetryExecutionResponse:
        """Let a failed execution go on."""
        execution = await self._control.retry(caller(), *await self._wished(request))
        return pb.RetryExecutionResponse(execution=from_execution(execution))

    async def WatchExecution(
        self, request: pb.WatchExecutionRequest, _: Any
    ) -> AsyncIterator[pb.WatchExecutionResponse]:
        """Tell what happened after a sequence, and what happens."""
        execution = await self._find(request.execution_id)
        if request.after < 0 or request.after > execution.last_sequence:
            raise invalid(
                "There is no such sequence.",
                Problem("after", f"must be from 0 to {execution.last_sequence}"),
                code="UNKNOWN_SEQUENCE",
                actions=("Start without `after` and `Last-Event-ID` to read everything.",),
            )
        async with aclosing(self._watcher.events(execution, request.after)) as events:
            async for event in events:
                yield pb.WatchExecutionResponse(event=event)

    async def ListSteps(self, request: pb.ListStepsRequest, _: Any) -> pb.ListStepsResponse:
        """List the steps of an execution."""
        narrator = Narrator()
        for stored in await self._journal(request.execution_id):
            narrator.note(from_stored(stored))
        steps, more = page(narrator.steps, request.page_size, request.page_token, request.execution_id)
        return pb.ListStepsResponse(steps=steps, next_page_token=more)

    async def GetTrace(self, request: pb.GetTraceRequest, _: Any) -> pb.GetTraceResponse:
        """Show where the time of an execution went."""
        execution = await self._find(request.execution_id)
        entries = [from_stored(stored) for stored in await self._journal(execution.id)]
        spans, steps = trace(execution, entries, datetime.now(UTC))
        return pb.GetTraceResponse(
            execution_id=execution.id, trace_id=telemetry.trace_id(execution.traceparent), spans=spans, steps=steps
        )

    async def ListLogs(self, request: pb.ListLogsRequest, _: Any) -> pb.ListLogsResponse:
        """List the log of an execution."""
        lines = [log_line(from_stored(stored)) for stored in await self._journal(request.execution_id)]
        found = [line for line in lines if line.level >= (request.level or LogEntry.DEBUG)]
        asked = (request.execution_id, str(request.level))
        logs, more = page(found, request.page_size, request.page_token, *asked)
        return pb.ListLogsResponse(logs=logs, next_page_token=more)

    async def _known(self, content: bytes) -> Execution | None:
        """The execution that this very request started before. Raises IDEMPOTENCY_KEY_REUSED for another request."""
        if not (key := idempotency_key()):
            return None
        check_key(key)
        found = await self._executions.by_key(caller().organization_id, caller().subject, key)
        if found is not None and found.fingerprint != content:
            raise reused()
        return found

    async def _once(self, execution: Execution, resolved: Resolved, seconds: float) -> Execution:
        """Accept what a stream asked for, and not twice at the same time under one key."""
        key = (execution.created_by, execution.idempotency_key)
        if not execution.idempotency_key:
            return await self._acceptor.accept(execution, resolved, seconds)
        if key in self._accepting:
            raise in_use()
        self._accepting.add(key)
        try:
            return await self._acceptor.accept(execution, resolved, seconds)
        finally:
            self._accepting.discard(key)

    async def _find(self, execution_id: str) -> Execution:
        """An execution that the caller may see: one's own, or any of the organisation for its administrators."""
        identity = caller()
        found = await self._executions.get(identity.organization_id, execution_id) if ids.is_id(execution_id) else None
        if found is None or not (identity.admin or identity.is_service or found.created_by == identity.subject):
            raise not_found("execution", execution_id)
        return found

    async def _wished(self, request: Wished) -> tuple[str, str]:
        """Which execution a wish is about, and why; raises unless the caller may see it."""
        if len(request.reason) > _LONGEST_REASON or "\0" in request.reason:
            problem = Problem("reason", f"must be at most {_LONGEST_REASON} characters and hold no null byte")
            raise invalid("The reason cannot be kept.", problem)
        return (await self._find(request.execution_id)).id, request.reason

    async def _journal(self, execution_id: str) -> list[StoredEntry]:
        execution = await self._find(execution_id)
        return await self._journals.read(execution.organization_id, execution.id, limit=100_000)

    async def _abandon(self, identity: Identity, accepting: asyncio.Task[Execution]) -> None:
        try:
            await self._control.cancel(identity, (await accepting).id, "The caller went away.")
        except RetinueError:
            # Its deadline, a minute at most, ends it.
            return

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin what is carried to its end even if the caller goes away."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task
