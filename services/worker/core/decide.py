"""What has to be done next.

Owns `decide`: the one function that runs, resumes and replays an execution. It is called at step boundaries only,
so a tool call that is dispatched and has no result was interrupted, never under way.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum
from typing import Any

import orjson

from services.worker.core.entries import Effect, Entry, Failure, ToolDispatched, ToolFailed, ToolUnknown, ToolUse
from services.worker.core.spec import MAX_TOOL_CALLS, ModelRequest, Spec
from services.worker.core.state import Call, State
from services.worker.core.stops import FAILS


class Mode(Enum):
    """How a tool call is to be made."""

    START = "start"
    AGAIN = "again"
    PROBE = "probe"


@dataclass(frozen=True, slots=True)
class CallModel:
    """Ask the model."""

    request: ModelRequest


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool call to make: a first time, again with the same key, or by asking first whether it took effect."""

    id: str
    name: str
    input: Any
    input_json: str
    mode: Mode
    step: int
    dispatched: ToolDispatched | None = None


@dataclass(frozen=True, slots=True)
class CallTools:
    """Call these tools, all at once."""

    calls: tuple[ToolCall, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """Write down what follows from the journal alone, then decide again."""

    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Finish:
    """The execution is done, with this output."""

    output_json: str


@dataclass(frozen=True, slots=True)
class Fail:
    """The execution cannot go on."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Stop:
    """The journal says that the execution has ended."""


Action = CallModel | CallTools | Record | Finish | Fail | Stop


def decide(spec: Spec, state: State) -> Action:
    """Say what comes next."""
    if state.ended:
        return Stop()
    if state.unknown is not None:
        return Fail(_effect_unknown(state.unknown))
    if state.stop_reason in FAILS:
        return Fail(FAILS[state.stop_reason])
    if state.reading is not None and not state.mending:
        problems = state.reading.problems
        return Fail(_invalid_output(state, problems)) if problems else Finish(state.reading.output_json)
    if state.steps >= spec.max_steps:
        return Fail(_too_many_steps(spec))
    return _tools(spec, state) if state.unanswered else CallModel(_request(spec, state))


def idempotency_key(execution_id: str, call_id: str) -> str:
    """The key of a tool call, the same whenever it is repeated: SHA-256 of both ids, in hexadecimal."""
    return hashlib.sha256(f"{execution_id}\n{call_id}".encode()).hexdigest()


def _tools(spec: Spec, state: State) -> Action:
    if state.tool_calls > MAX_TOOL_CALLS:
        message = f"The model asked for more than {MAX_TOOL_CALLS} tool calls in one execution."
        return Fail(Failure("TOOL_CALL_LIMIT", message))
    facts: list[Entry] = []
    calls: list[ToolCall] = []
    for call in state.calls:
        if call.result is not None:
            continue
        found = _interrupted(call, call.dispatched, state) if call.dispatched else _wished(spec, call.use, state)
        if isinstance(found, ToolCall):
            calls.append(found)
        else:
            facts.append(found)
    return Record(tuple(facts)) if facts else CallTools(tuple(calls))


def _wished(spec: Spec, use: ToolUse, state: State) -> ToolCall | ToolFailed:
    validator = spec.arguments.get(use.name)
    if validator is None:
        known = ", ".join(sorted(spec.arguments)) or "none"
        return ToolFailed(use.id, Failure("UNKNOWN_TOOL", f"There is no tool {use.name!r}. Tools: {known}."))
    try:
        value = orjson.loads(use.input_json)
    except orjson.JSONDecodeError as error:
        return ToolFailed(use.id, Failure("INVALID_TOOL_ARGUMENTS", f"The arguments are not JSON: {error}."))
    problems = validator.problems(value)
    if problems:
        message = f"The arguments do not match the tool's schema: {'; '.join(problems)}."
        return ToolFailed(use.id, Failure("INVALID_TOOL_ARGUMENTS", message))
    return ToolCall(use.id, use.name, value, use.input_json, Mode.START, state.steps)


def _interrupted(call: Call, sent: ToolDispatched, state: State) -> ToolCall | ToolUnknown:
    if sent.effect is Effect.IRREVERSIBLE:
        reason = "The worker was lost while the call was under way, and the call cannot be repeated safely."
        return ToolUnknown(call.use.id, reason)
    mode = Mode.PROBE if sent.effect is Effect.PROBEABLE else Mode.AGAIN
    value = orjson.loads(sent.input_json)
    return ToolCall(call.use.id, sent.name, value, sent.input_json, mode, state.steps, sent)


def _request(spec: Spec, state: State) -> ModelRequest:
    new = state.transcript.size - state.measured_size
    return ModelRequest(
        step=state.steps + 1,
        model=spec.model,
        system=spec.system,
        tools=spec.tools,
        settings=spec.settings,
        messages=state.transcript.messages,
        input=state.input,
        hash=state.transcript.request_hash(spec.rest),
        measured_tokens=state.measured_tokens,
        unmeasured_bytes=new if state.measured_tokens else new + spec.fixed_bytes,
    )


def _too_many_steps(spec: Spec) -> Failure:
    message = f"The agent was not done after {spec.max_steps} model calls. Raise maxSteps, or ask for less."
    return Failure("MAX_STEPS_EXCEEDED", message)


def _invalid_output(state: State, problems: tuple[str, ...]) -> Failure:
    message = f"The model's answer does not match outputSchema, after {state.repairs} requests to mend it."
    return Failure("INVALID_OUTPUT", message, details=(("problems", "; ".join(problems)),))


def _effect_unknown(unknown: ToolUnknown) -> Failure:
    message = (
        "A tool may or may not have taken effect, and it cannot be repeated safely. Check the outside world, "
        "then start a new execution."
    )
    return Failure("EFFECT_UNKNOWN", message, details=(("callId", unknown.call_id), ("reason", unknown.reason)))
