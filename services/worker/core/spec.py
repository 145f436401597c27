"""What runs, in the form the loop needs it: compiled once, shared by every execution of the same version.

Owns the limits of a run and everything of a model request that does not change from call to call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from services.worker.core.schema import Validator
from services.worker.core.transcript import Messages, canonical_rest

DEFAULT_MAX_STEPS = 20
MAX_TOOL_CALLS = 100
MAX_REPAIRS = 2

_OUTPUT_RULE = (
    "Your final answer must be one JSON value and nothing else: no prose around it, no code fence. "
    "It must match this JSON Schema:\n"
)


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as the model sees it."""

    name: str
    description: str
    input_schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Spec:
    """An agent version, compiled. `rest` is the canonical JSON of what every request shares.

    `fixed_bytes` is how large the unchanging part of a prompt is: system prompt and tools.
    """

    model: str
    system: str
    tools: tuple[ToolSpec, ...]
    settings: Mapping[str, Any]
    max_steps: int
    max_retries: int
    arguments: Mapping[str, Validator]
    output: Validator | None
    rest: bytes
    fixed_bytes: int


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One call of a model. `step` counts calls from 1; `input` is what the execution was given.

    `measured_tokens` is what the provider counted for the conversation up to its last answer, `unmeasured_bytes`
    the size of what came since, so that the size of this call can be foreseen.
    """

    step: int
    model: str
    system: str
    tools: tuple[ToolSpec, ...]
    settings: Mapping[str, Any]
    messages: Messages
    input: Any
    hash: bytes
    measured_tokens: int
    unmeasured_bytes: int


def compile_spec(
    *,
    model: str,
    instructions: str = "",
    tools: Sequence[ToolSpec] = (),
    output_schema: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    max_steps: int = 0,
    max_retries: int = 0,
) -> Spec:
    """Compile an agent version. Zero steps mean the default. Raises SchemaError for a schema that is none."""
    system = _system(instructions, output_schema)
    declared = [{"name": t.name, "description": t.description, "inputSchema": dict(t.input_schema)} for t in tools]
    chosen = dict(settings or {})
    rest = {"model": model, "settings": chosen, "system": system, "tools": declared}
    return Spec(
        model=model,
        system=system,
        tools=tuple(tools),
        settings=chosen,
        max_steps=max_steps or DEFAULT_MAX_STEPS,
        max_retries=max_retries,
        arguments={tool.name: Validator(tool.input_schema) for tool in tools},
        output=Validator(output_schema) if output_schema else None,
        rest=canonical_rest(rest),
        fixed_bytes=len(system.encode()) + len(orjson.dumps(declared)),
    )


def _system(instructions: str, output_schema: Mapping[str, Any] | None) -> str:
    if not output_schema:
        return instructions
    rule = _OUTPUT_RULE + orjson.dumps(dict(output_schema)).decode()
    return f"{instructions}\n\n{rule}" if instructions else rule
