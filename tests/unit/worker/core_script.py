"""A small world for tests of the loop: answers by number, tools that compute, and a driver of `decide`.

Owns no behaviour of its own: it does what a runner does, synchronously and without a journal to write to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from services.worker.core.decide import CallModel, CallTools, Fail, Finish, Mode, Record, Stop, ToolCall, decide
from services.worker.core.entries import (
    Block,
    Effect,
    Entry,
    ExecutionCompleted,
    ExecutionFailed,
    Failure,
    ModelCompleted,
    Text,
    ToolCompleted,
    ToolDispatched,
    ToolFailed,
    ToolUse,
    Usage,
)
from services.worker.core.spec import ModelRequest, Spec, ToolSpec, compile_spec
from services.worker.core.state import State, apply, begin

ADD = ToolSpec(
    "add",
    "Adds two whole numbers.",
    {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
)
SEND = ToolSpec("send", "Sends something.", {"type": "object"})


def spec(**changes: Any) -> Spec:
    """A specification with the tools of this world."""
    return compile_spec(**{"model": "scripted", "instructions": "Be brief.", "tools": [ADD, SEND], **changes})


def say(text: str) -> tuple[Block, ...]:
    """An answer that asks for nothing."""
    return (Text(text),)


def use(call_id: str, a: Any, b: Any, name: str = "add") -> ToolUse:
    """A wish to call a tool."""
    return ToolUse(call_id, name, orjson.dumps({"a": a, "b": b}).decode())


@dataclass
class World:
    """Answers of the model by number of the call; every effect is kept."""

    answers: Sequence[tuple[Block, ...]]
    stops: dict[int, str] = field(default_factory=dict)
    effect: Callable[[str], Effect] = lambda _: Effect.PURE
    requests: list[ModelRequest] = field(default_factory=list)
    effects: list[str] = field(default_factory=list)

    def model(self, request: ModelRequest) -> ModelCompleted:
        """The answer to a request."""
        self.requests.append(request)
        content = self.answers[request.step - 1]
        wishes = any(isinstance(block, ToolUse) for block in content)
        stop = self.stops.get(request.step, "tool_use" if wishes else "end_turn")
        usage = Usage(input_tokens=10, output_tokens=5)
        return ModelCompleted(request.step, "test", "test", content, stop, usage, request.hash)

    def tool(self, call: ToolCall) -> ToolCompleted | ToolFailed:
        """The result of a tool call."""
        self.effects.append(call.id)
        if call.input.get("a") == 13:
            return ToolFailed(call.id, Failure("UNLUCKY", "Thirteen is not added."))
        return ToolCompleted(call.id, str(call.input.get("a", 0) + call.input.get("b", 0)))


def fold(what: Spec, input_json: str, journal: Sequence[Entry]) -> State:
    """The state after a journal."""
    state = begin(input_json)
    for entry in journal:
        state = apply(what, state, entry)
    return state


def run(what: Spec, world: World, input_json: str, journal: Sequence[Entry] = ()) -> list[Entry]:
    """Run an execution from where its journal ends; returns the whole journal."""
    written = list(journal)
    state = fold(what, input_json, written)
    while True:
        new = _perform(world, decide(what, state))
        if new is None:
            return written
        for entry in new:
            written.append(entry)
            state = apply(what, state, entry)


def _perform(world: World, action: Any) -> list[Entry] | None:
    match action:
        case Stop():
            return None
        case Finish(output_json):
            return [ExecutionCompleted(output_json)]
        case Fail(failure):
            return [ExecutionFailed(failure)]
        case Record(entries):
            return list(entries)
        case CallModel(request):
            return [world.model(request)]
        case CallTools(calls):
            return _call_tools(world, calls)
    raise AssertionError(action)


def _call_tools(world: World, calls: Sequence[ToolCall]) -> list[Entry]:
    starting = [call for call in calls if call.mode is Mode.START]
    intents: list[Entry] = [
        ToolDispatched(call.id, call.name, call.input_json, world.effect(call.name), f"key-{call.id}", call.step)
        for call in starting
    ]
    return [*intents, *(world.tool(call) for call in calls)]
