"""Running one execution: decide, do, write down, decide again.

Owns the loop around the pure core. It does what `decide` says and writes down what came of it; a step that is
recorded is never done again. It knows neither streams nor protos.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from retinue_core.clock import Clock
from retinue_core.telemetry import Telemetry
from services.worker import clean
from services.worker.answers import journaled
from services.worker.assignment import Assignment
from services.worker.budget import Budget
from services.worker.core.decide import (
    CallModel,
    CallTools,
    Fail,
    Finish,
    Mode,
    Record,
    ToolCall,
    decide,
    idempotency_key,
)
from services.worker.core.entries import (
    Effect,
    Entry,
    ExecutionCompleted,
    ExecutionFailed,
    Failure,
    Level,
    Logged,
    ModelCompleted,
    ToolDispatched,
    ToolUnknown,
)
from services.worker.core.spec import ModelRequest, Spec
from services.worker.core.state import apply, begin
from services.worker.link import Link
from services.worker.models.asking import Patience, ask
from services.worker.models.contract import ModelError, Provider, Result
from services.worker.models.router import Router
from services.worker.specs import Specs, UnusableError
from services.worker.toolbox import Caller, Toolbox

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a worker runs executions with."""

    specs: Specs
    router: Router
    tools: Toolbox
    spans: Telemetry
    clock: Clock
    patience: Patience


async def run(parts: Parts, job: Assignment, link: Link, leaving: Callable[[], bool]) -> None:
    """Run an execution to its end, or to the step boundary at which `leaving` says to hand it over."""
    ends = parts.clock.monotonic() + job.seconds
    attributes = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": job.agent_name,
        "gen_ai.agent.id": job.agent_id,
        "gen_ai.agent.version": job.agent_version,
        "retinue.execution.id": job.execution_id,
        "retinue.organization.id": job.organization_id,
    }
    with parts.spans.span(f"invoke_agent {job.agent_name}", parent=job.traceparent, attributes=attributes) as span:
        try:
            spec = parts.specs.find(job.spec)
        except UnusableError as error:
            failure: Failure | None = error.failure
            link.append(ExecutionFailed(error.failure))
        else:
            failure = await Run(parts, job, link, spec, ends).to_end(leaving)
        if failure is not None:
            span.fail(failure.code, failure.message)


class Run:
    """One execution under way. `ends` is when its time is over, on the monotonic clock."""

    def __init__(self, parts: Parts, job: Assignment, link: Link, spec: Spec, ends: float) -> None:
        self._parts = parts
        self._job = job
        self._link = link
        self._spec = spec
        self._ends = ends
        self._budget = Budget(job.budget_tokens, job.budget_cost_micros)
        self._caller = Caller(job.execution_id, job.organization_id, spec.max_retries, self._seconds_left)
        self.state = begin(job.input_json)
        for entry in job.journal:
            self.state = apply(spec, self.state, entry)

    async def to_end(self, leaving: Callable[[], bool]) -> Failure | None:
        """Run; returns why it failed, if it did."""
        try:
            async with asyncio.timeout(self._seconds_left()) as limit:
                if self._job.seconds > 0:
                    return await self._steps(leaving)
        except TimeoutError:
            if not limit.expired():
                raise
        failure = Failure(
            "EXECUTION_TIMEOUT", "The execution was not done in its time. Raise timeout, or ask for less."
        )
        self._write(*self._cut_off(), ExecutionFailed(failure))
        return failure

    async def _steps(self, leaving: Callable[[], bool]) -> Failure | None:
        while True:
            match decide(self._spec, self.state):
                case Record(entries):
                    self._write(*entries)
                case CallModel(request) if not leaving():
                    failure = await self._model(request)
                    if failure is not None:
                        self._write(ExecutionFailed(failure))
                        return failure
                case CallTools(calls) if not leaving():
                    await self._tools(calls)
                case Finish(output_json):
                    self._write(ExecutionCompleted(output_json))
                    return None
                case Fail(failure):
                    self._write(ExecutionFailed(failure))
                    return failure
                case CallModel() | CallTools():
                    await self._link.committed(self._link.sequence)
                    self._link.release(self._link.wanted or "draining")
                    return None
                case _:
                    return None

    def _write(self, *entries: Entry) -> int:
        for entry in entries:
            self.state = apply(self._spec, self.state, entry)
        return self._link.append(*entries)

    def _seconds_left(self) -> float:
        return max(0.0, self._ends - self._parts.clock.monotonic())

    async def _model(self, request: ModelRequest) -> Failure | None:
        """Ask the model and write down its answer; returns why there is none."""
        attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": request.model}
        with self._parts.spans.span(f"chat {request.model}", kind="CLIENT", attributes=attributes) as span:
            try:
                provider = self._parts.router.find(request.model)
                refusal = await self._afford(provider, request) if self._budget.limited else None
                if refusal is not None:
                    span.fail(refusal.code, refusal.message)
                    return refusal
                started = self._parts.clock.monotonic()
                result = await self._ask(provider, request)
                entry = self._answer(provider, request, result, self._parts.clock.monotonic() - started)
            except ModelError as error:
                span.fail(error.failure.code, error.failure.message)
                return error.failure
            self._write(entry)
            if self._parts.spans.enabled:
                span.set(_answered(entry))
        return None

    async def _afford(self, provider: Provider, request: ModelRequest) -> Failure | None:
        """See to it that the call is paid for before it is made; returns why it cannot be."""
        missing = self._budget.missing(provider.bound(request))
        if not missing:
            return None
        grant = await self._link.budget(missing)
        self._budget.grant(grant.tokens, grant.cost_micros)
        if not self._budget.missing(provider.bound(request)):
            return None
        words = grant.refusal or "The budget does not cover the next model call."
        details = (("missingTokens", str(missing.tokens)), ("missingCostMicros", str(missing.cost_micros)))
        return Failure("RESOURCE_EXHAUSTED", words, details=details)

    async def _ask(self, provider: Provider, request: ModelRequest) -> Result:
        return await ask(
            provider,
            request,
            retries=self._spec.max_retries,
            seconds_left=self._seconds_left,
            watch=lambda delta: self._link.say(request.step, delta),
            retrying=self._note_retry,
            patience=self._parts.patience,
        )

    def _note_retry(self, error: ModelError, attempt: int, seconds: float) -> None:
        facts = clean.dumps({"code": error.failure.code, "attempt": attempt, "pauseSeconds": round(seconds, 3)})
        message = f"The model call failed and is made again: {clean.text(error.failure.message)}"
        self._write(Logged(Level.WARN, message, facts))

    def _answer(self, provider: Provider, request: ModelRequest, result: Result, seconds: float) -> ModelCompleted:
        self._budget.spend(result.usage)
        return ModelCompleted(
            step=request.step,
            provider=provider.name,
            model=result.model,
            content=journaled(result.content, request.step, self.state.call_ids),
            stop_reason=result.stop_reason,
            usage=result.usage,
            request_hash=request.hash,
            duration_ms=int(seconds * 1000),
            price_version=result.price_version,
        )

    async def _tools(self, calls: Sequence[ToolCall]) -> None:
        """Record the intents, then make all calls at once."""
        intents = {call.id: call.dispatched or self._intent(call) for call in calls}
        new = [intents[call.id] for call in calls if call.mode is Mode.START]
        sequence = self._write(*new) if new else self._link.sequence
        if len(calls) == 1:
            await self._tool(calls[0], intents[calls[0].id], sequence)
            return
        async with asyncio.TaskGroup() as group:
            for call in calls:
                group.create_task(self._tool(call, intents[call.id], sequence))

    def _intent(self, call: ToolCall) -> ToolDispatched:
        key = idempotency_key(self._job.execution_id, call.id)
        return ToolDispatched(call.id, call.name, call.input_json, self._parts.tools.effect(call), key, call.step)

    async def _tool(self, call: ToolCall, sent: ToolDispatched, sequence: int) -> None:
        attributes = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": call.name,
            "gen_ai.tool.call.id": call.id,
            "gen_ai.tool.type": "function",
        }
        with self._parts.spans.span(f"execute_tool {call.name}", attributes=attributes) as span:
            if sent.effect is not Effect.PURE:
                await self._cleared(call, sequence)
            outcome = await self._parts.tools.make(call, sent, self._caller)
            if isinstance(outcome, ToolUnknown):
                span.fail("EFFECT_UNKNOWN", outcome.reason)
            self._write(outcome)

    async def _cleared(self, call: ToolCall, sequence: int) -> None:
        """Wait until the intent is committed and this worker certainly holds the execution.

        A worker that was stopped past its lease proves that it still holds the execution by a fenced write.
        """
        await self._link.committed(sequence)
        lease = self._link.lease
        while not lease.held:
            await lease.renewal()
            message = f"The worker was away for longer than its lease before it called {call.name}."
            await self._link.committed(self._write(Logged(Level.WARN, message)))

    def _cut_off(self) -> list[Entry]:
        """What is unknown now that the time is over: calls under way that must not be repeated."""
        reason = "The time of the execution was over while the call was under way."
        return [
            ToolUnknown(call.use.id, reason)
            for call in self.state.calls
            if call.dispatched is not None and call.result is None and call.dispatched.effect is not Effect.PURE
        ]


def _answered(entry: ModelCompleted) -> dict[str, str | bool | int | float | list[str]]:
    return {
        "gen_ai.provider.name": entry.provider,
        "gen_ai.response.model": entry.model,
        "gen_ai.response.finish_reasons": [entry.stop_reason],
        "gen_ai.usage.input_tokens": entry.usage.input_tokens,
        "gen_ai.usage.output_tokens": entry.usage.output_tokens,
        "retinue.cost_micros": entry.usage.cost_micros,
    }
