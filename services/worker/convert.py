"""Between the worker protocol and the loop's own form: journal entries and assignments.

Owns both directions. Entries that a newer version of the suite wrote and this one does not know are `Noted`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retinue.common.v1 import common_pb2
from retinue.execution.v1 import execution_pb2, journal_pb2, worker_pb2
from services.worker.assignment import Assignment
from services.worker.core import entries as core

JournalEntry = journal_pb2.JournalEntry
_Block = journal_pb2.ContentBlock

_EFFECTS = {
    core.Effect.PURE: journal_pb2.EFFECT_CLASS_PURE,
    core.Effect.IDEMPOTENT: journal_pb2.EFFECT_CLASS_IDEMPOTENT,
    core.Effect.PROBEABLE: journal_pb2.EFFECT_CLASS_PROBEABLE,
    core.Effect.IRREVERSIBLE: journal_pb2.EFFECT_CLASS_IRREVERSIBLE,
}
_EFFECTS_BACK = {number: effect for effect, number in _EFFECTS.items()}
_LEVELS = {level: execution_pb2.LogEntry.Level.Value(level.name) for level in core.Level}


def to_assignment(sent: worker_pb2.Assignment) -> Assignment:
    """An assignment as the runner takes it."""
    return Assignment(
        execution_id=sent.execution_id,
        fence=sent.fence,
        organization_id=sent.organization_id,
        agent_id=sent.agent_id,
        agent_name=sent.agent_name,
        agent_version=sent.agent_version,
        spec=sent.spec.SerializeToString(deterministic=True),
        input_json=sent.input_json,
        journal=tuple(from_proto(entry) for entry in sent.journal),
        seconds=sent.remaining_ms / 1000,
        traceparent=sent.traceparent,
        budget_tokens=sent.budget_tokens,
        budget_cost_micros=sent.budget_cost_micros,
    )


def to_proto(entry: core.Entry, sequence: int) -> JournalEntry:
    """An entry as it is sent."""
    field, body = _TO[type(entry)](entry)
    return JournalEntry(**{"sequence": sequence, field: body})


def from_proto(entry: JournalEntry) -> core.Entry:
    """An entry as it was read."""
    field = entry.WhichOneof("body") or ""
    convert = _FROM.get(field)
    return convert(getattr(entry, field)) if convert else core.Noted(field.replace("_", ".", 1))


def to_usage(usage: core.Usage) -> common_pb2.Usage | None:
    """Usage as it is sent; None when nothing was used."""
    if usage == _NOTHING:
        return None
    return common_pb2.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        tool_calls=usage.tool_calls,
        steps=usage.steps,
        cost_micros=usage.cost_micros,
        credits=usage.credits,
    )


def _usage(usage: common_pb2.Usage) -> core.Usage:
    return core.Usage(
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.tool_calls,
        usage.steps,
        usage.cost_micros,
        usage.credits,
    )


def _to_failure(failure: core.Failure) -> common_pb2.Failure:
    return common_pb2.Failure(
        code=failure.code, message=failure.message, retryable=failure.retryable, details=dict(failure.details)
    )


def _failure(failure: common_pb2.Failure) -> core.Failure:
    return core.Failure(failure.code, failure.message, failure.retryable, tuple(sorted(failure.details.items())))


def _to_block(block: core.Block) -> _Block:
    if isinstance(block, core.Text):
        return _Block(text=_Block.Text(text=block.text))
    if isinstance(block, core.ToolUse):
        return _Block(tool_use=_Block.ToolUse(id=block.id, name=block.name, input_json=block.input_json))
    thinking = _Block.Thinking(thinking=block.text, signature=block.signature, redacted_data=block.redacted)
    return _Block(thinking=thinking)


def _blocks(blocks: Any) -> tuple[core.Block, ...]:
    return tuple(found for block in blocks if (found := _block(block)) is not None)


def _block(block: _Block) -> core.Block | None:
    kind = block.WhichOneof("block")
    if kind == "text":
        return core.Text(block.text.text)
    if kind == "tool_use":
        return core.ToolUse(block.tool_use.id, block.tool_use.name, block.tool_use.input_json)
    if kind == "thinking":
        return core.Thinking(block.thinking.thinking, block.thinking.signature, block.thinking.redacted_data)
    return None


def _to_model_completed(entry: core.ModelCompleted) -> tuple[str, Any]:
    return "model_completed", journal_pb2.ModelCompleted(
        step=entry.step,
        provider=entry.provider,
        model=entry.model,
        request_hash=entry.request_hash,
        content=[_to_block(block) for block in entry.content],
        stop_reason=entry.stop_reason,
        usage=to_usage(entry.usage),
        duration_ms=entry.duration_ms,
        price_version=entry.price_version,
    )


def _model_completed(body: journal_pb2.ModelCompleted) -> core.Entry:
    return core.ModelCompleted(
        step=body.step,
        provider=body.provider,
        model=body.model,
        content=_blocks(body.content),
        stop_reason=body.stop_reason,
        usage=_usage(body.usage),
        request_hash=body.request_hash,
        duration_ms=body.duration_ms,
        price_version=body.price_version,
    )


def _to_tool_dispatched(entry: core.ToolDispatched) -> tuple[str, Any]:
    return "tool_dispatched", journal_pb2.ToolDispatched(
        call_id=entry.call_id,
        name=entry.name,
        input_json=entry.input_json,
        effect=_EFFECTS[entry.effect],
        idempotency_key=entry.idempotency_key,
        step=entry.step,
    )


def _tool_dispatched(body: journal_pb2.ToolDispatched) -> core.Entry:
    # An effect that this version does not know counts as the most careful one.
    effect = _EFFECTS_BACK.get(body.effect, core.Effect.IRREVERSIBLE)
    return core.ToolDispatched(body.call_id, body.name, body.input_json, effect, body.idempotency_key, body.step)


def _to_tool_completed(entry: core.ToolCompleted) -> tuple[str, Any]:
    return "tool_completed", journal_pb2.ToolCompleted(
        call_id=entry.call_id,
        output_json=entry.output_json,
        duration_ms=entry.duration_ms,
        usage=to_usage(entry.usage),
    )


def _tool_completed(body: journal_pb2.ToolCompleted) -> core.Entry:
    return core.ToolCompleted(body.call_id, body.output_json, body.duration_ms, _usage(body.usage))


def _to_tool_failed(entry: core.ToolFailed) -> tuple[str, Any]:
    return "tool_failed", journal_pb2.ToolFailed(
        call_id=entry.call_id, error=_to_failure(entry.failure), duration_ms=entry.duration_ms
    )


def _to_log(entry: core.Logged) -> tuple[str, Any]:
    return "log_recorded", journal_pb2.LogRecorded(
        level=_LEVELS[entry.level], message=entry.message, metadata_json=entry.metadata_json
    )


_NOTHING = core.Usage()

_TO: dict[type, Callable[[Any], tuple[str, Any]]] = {
    core.ModelCompleted: _to_model_completed,
    core.ToolDispatched: _to_tool_dispatched,
    core.ToolCompleted: _to_tool_completed,
    core.ToolFailed: _to_tool_failed,
    core.ToolUnknown: lambda e: ("tool_unknown", journal_pb2.ToolUnknown(call_id=e.call_id, reason=e.reason)),
    core.ExecutionCompleted: lambda e: (
        "execution_completed",
        journal_pb2.ExecutionCompleted(output_json=e.output_json),
    ),
    core.ExecutionFailed: lambda e: ("execution_failed", journal_pb2.ExecutionFailed(error=_to_failure(e.failure))),
    core.Logged: _to_log,
}
_FROM: dict[str, Callable[[Any], core.Entry]] = {
    "model_completed": _model_completed,
    "tool_dispatched": _tool_dispatched,
    "tool_completed": _tool_completed,
    "tool_failed": lambda b: core.ToolFailed(b.call_id, _failure(b.error), b.duration_ms),
    "tool_unknown": lambda b: core.ToolUnknown(b.call_id, b.reason),
    "execution_completed": lambda b: core.ExecutionCompleted(b.output_json),
    "execution_failed": lambda b: core.ExecutionFailed(_failure(b.error)),
}
