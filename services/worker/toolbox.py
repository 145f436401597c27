"""Making tool calls: within their time, with their key, and with an honest account of how they ended.

Owns what becomes of a call that fails: the model is told where nothing can have happened or repeating is harmless, and
the outcome is unknown where neither is certain.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from services.worker import clean
from services.worker.core.decide import Mode, ToolCall
from services.worker.core.entries import Effect, Failure, ToolCompleted, ToolDispatched, ToolFailed, ToolUnknown
from services.worker.egress.client import Egress
from services.worker.models.asking import Patience, pause_after
from services.worker.tools.catalog import Catalog
from services.worker.tools.contract import Probing, Tool, ToolContext, ToolError

log = logging.getLogger(__name__)

# A tool that keeps its own time says more about how a call ended than one that is cut short.
_MARGIN = 1.0

Outcome = ToolCompleted | ToolFailed | ToolUnknown


@dataclass(frozen=True, slots=True)
class Caller:
    """For whom a call is made, and how much time there is: `seconds_left` on the execution's clock."""

    execution_id: str
    organization_id: str
    retries: int
    seconds_left: Callable[[], float]


class Toolbox:
    """Makes the calls. `monotonic` measures how long they take."""

    def __init__(self, catalog: Catalog, egress: Egress, patience: Patience, monotonic: Callable[[], float]) -> None:
        self._catalog = catalog
        self._egress = egress
        self._patience = patience
        self._monotonic = monotonic

    def effect(self, call: ToolCall) -> Effect:
        """How a call may be repeated."""
        return self._catalog[call.name].effect(call.input)

    async def make(self, call: ToolCall, sent: ToolDispatched, caller: Caller) -> Outcome:
        """Make a call whose intent is recorded as `sent`."""
        tool = self._catalog.get(call.name)
        if tool is None:
            reason = f"This worker does not have the tool {call.name!r}."
            if sent.effect is Effect.PURE:
                return ToolFailed(call.id, Failure("TOOL_NOT_AVAILABLE", reason))
            return ToolUnknown(call.id, reason)
        started = self._monotonic()
        outcome = await self._settled(tool, call, sent, caller)
        took = int((self._monotonic() - started) * 1000)
        if isinstance(outcome, ToolError):
            return ToolFailed(call.id, outcome.failure, took)
        if isinstance(outcome, ToolUnknown):
            return outcome
        return ToolCompleted(call.id, outcome, took)

    async def _settled(
        self, tool: Tool, call: ToolCall, sent: ToolDispatched, caller: Caller
    ) -> str | ToolError | ToolUnknown:
        """The answer as JSON, the error to tell the model, or that nobody knows."""
        attempt = 1
        ask_first = call.mode is Mode.PROBE
        while True:
            try:
                return await self._once(tool, call, sent, caller, ask_first)
            except ToolError as error:
                if not error.unknown or sent.effect is Effect.PURE:
                    return error
                seconds = pause_after(attempt, None, self._patience.chance())
                ask_first = sent.effect is Effect.PROBEABLE
                repeatable = ask_first or sent.effect is Effect.IDEMPOTENT
                if not repeatable or attempt > caller.retries or seconds >= caller.seconds_left():
                    return ToolUnknown(call.id, error.failure.message)
            await self._patience.pause(seconds)
            attempt += 1

    async def _once(self, tool: Tool, call: ToolCall, sent: ToolDispatched, caller: Caller, ask_first: bool) -> str:
        seconds = min(tool.timeout, caller.seconds_left())
        context = ToolContext(caller.execution_id, caller.organization_id, sent.idempotency_key, seconds, self._egress)
        try:
            async with asyncio.timeout(seconds + _MARGIN):
                found = await _probe(tool, context, call.input) if ask_first else None
                return _output(tool, await tool.call(context, call.input) if found is None else found)
        except TimeoutError:
            raise ToolError("TOOL_TIMEOUT", f"The tool took longer than {seconds:g} s.", unknown=True) from None
        except ToolError:
            raise
        except Exception as error:
            log.exception("tool %s crashed in execution %s", tool.name, caller.execution_id)
            raise ToolError("TOOL_CRASHED", "The tool has a fault and stopped.", unknown=True) from error


async def _probe(tool: Tool, context: ToolContext, value: Any) -> Any | None:
    if not isinstance(tool, Probing):
        raise ToolError("TOOL_UNKNOWN", "The tool cannot say whether the call took effect.", unknown=True)
    return await tool.probe(context, value)


def _output(tool: Tool, value: Any) -> str:
    """An answer as JSON text, cut to a preview where it is larger or deeper than it may be."""
    encoded = clean.dumps(value)
    if len(encoded) <= tool.output_limit and not clean.too_deep(encoded):
        return encoded
    reason = f"The output has {len(encoded)} characters and is larger or deeper than it may be; this is its beginning."
    return clean.dumps({"truncated": reason, "preview": encoded[: tool.output_limit // 4]})
