"""Where an execution stands, folded from its journal one entry at a time.

Owns `State` and `apply`. What an entry costs to apply does not depend on how many came before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from services.worker.core.entries import (
    Entry,
    ExecutionCompleted,
    ExecutionFailed,
    Failure,
    ModelCompleted,
    Noted,
    Text,
    ToolCompleted,
    ToolDispatched,
    ToolFailed,
    ToolUnknown,
    ToolUse,
)
from services.worker.core.output import Reading, read, repair_request
from services.worker.core.spec import MAX_REPAIRS, Spec
from services.worker.core.stops import CONTINUES, FAILS
from services.worker.core.transcript import Message, ToolResult, Transcript

TAKEN_UP = "execution.started"
"""The entry by which a worker takes an execution up; after an end it means that the execution is tried again."""

_NO_INPUT = "(no input)"


class JournalError(ValueError):
    """A journal that no run of the loop could have written."""


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call of the newest answer: wished for, perhaps dispatched, perhaps answered."""

    use: ToolUse
    dispatched: ToolDispatched | None = None
    result: ToolResult | None = None


class State(NamedTuple):
    """Where an execution stands. A named tuple, because one is made for every entry and `replace` is slow.

    `calls` are the tool calls of the newest answer, `unanswered` how many of them have no result. `reading` is the
    newest answer read as output, when it asked for nothing more; `mending` says that the model has been asked to
    mend it. `measured_*` say how many tokens the provider counted for the conversation, and how large it was then.
    """

    input: Any
    transcript: Transcript
    steps: int = 0
    tool_calls: int = 0
    calls: tuple[Call, ...] = ()
    unanswered: int = 0
    unknown: ToolUnknown | None = None
    call_ids: frozenset[str] = frozenset()
    stop_reason: str = ""
    reading: Reading | None = None
    mending: bool = False
    repairs: int = 0
    measured_tokens: int = 0
    measured_size: int = 0
    ended: bool = False


def begin(input_json: str) -> State:
    """The state of an execution that has only been accepted."""
    value = orjson.loads(input_json) if input_json else None
    text = value if isinstance(value, str) else "" if value is None else orjson.dumps(value).decode()
    message = Message("user", (Text(text or _NO_INPUT),))
    return State(input=value, transcript=Transcript().plus(message))


def apply(spec: Spec, state: State, entry: Entry) -> State:
    """The state after one more entry. Raises JournalError when the entry cannot follow."""
    after = state
    match entry:
        case ModelCompleted():
            after = _model_completed(spec, state, entry)
        case ToolDispatched():
            after = state._replace(calls=_with_call(state, entry.call_id, dispatched=entry))
        case ToolCompleted():
            after = _answered(state, ToolResult(entry.call_id, entry.output_json))
        case ToolFailed():
            after = _answered(state, ToolResult(entry.call_id, tool_error(entry.failure), is_error=True))
        case ToolUnknown():
            after = state._replace(calls=_with_call(state, entry.call_id), unknown=entry)
        case ExecutionCompleted() | ExecutionFailed():
            after = state._replace(ended=True)
        case Noted(kind) if kind == TAKEN_UP and state.ended:
            after = state._replace(ended=False)
    return after


def tool_error(failure: Failure) -> str:
    """What a model is told of a tool that failed."""
    return f"{failure.code}: {failure.message}"


def _model_completed(spec: Spec, state: State, entry: ModelCompleted) -> State:
    if entry.step != state.steps + 1 or state.unanswered:
        raise JournalError(f"model call {entry.step} cannot follow call {state.steps}")
    uses = tuple(block for block in entry.content if isinstance(block, ToolUse))
    transcript = state.transcript
    if entry.content:
        transcript = transcript.plus(Message("assistant", entry.content))
    measured_size = transcript.size
    final = not uses and entry.stop_reason not in CONTINUES and entry.stop_reason not in FAILS
    reading = read(_text(entry), spec.output) if final else None
    mending = (
        reading is not None and bool(reading.problems) and state.repairs < MAX_REPAIRS and entry.step < spec.max_steps
    )
    if reading is not None and mending:
        transcript = transcript.plus(Message("user", (Text(repair_request(reading.problems)),)))
    return state._replace(
        transcript=transcript,
        steps=entry.step,
        tool_calls=state.tool_calls + len(uses),
        calls=tuple(Call(use) for use in uses),
        unanswered=len(uses),
        call_ids=state.call_ids.union(use.id for use in uses) if uses else state.call_ids,
        stop_reason=entry.stop_reason,
        reading=reading,
        mending=mending,
        repairs=state.repairs + mending,
        measured_tokens=entry.usage.tokens,
        measured_size=measured_size,
    )


def _text(entry: ModelCompleted) -> str:
    return "".join(block.text for block in entry.content if isinstance(block, Text))


def _answered(state: State, result: ToolResult) -> State:
    calls = _with_call(state, result.call_id, result=result)
    unanswered = state.unanswered - 1
    transcript = state.transcript
    if not unanswered:
        results = tuple(call.result for call in calls if call.result is not None)
        transcript = transcript.plus(Message("user", results))
    return state._replace(calls=calls, unanswered=unanswered, transcript=transcript)


def _with_call(
    state: State, call_id: str, *, dispatched: ToolDispatched | None = None, result: ToolResult | None = None
) -> tuple[Call, ...]:
    for index, call in enumerate(state.calls):
        if call.use.id == call_id and call.result is None:
            changed = Call(call.use, dispatched or call.dispatched, result)
            return (*state.calls[:index], changed, *state.calls[index + 1 :])
    raise JournalError(f"no tool call {call_id!r} is waiting for this")
