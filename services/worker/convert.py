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

_SMALL = 400  # bytes of an entry without its free text, generously
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


def fill(entries: Any, entry: core.Entry, sequence: int) -> None:
    """Add an entry to a repeated field. What cannot be said in a proto is not added."""
    added = entries.add(sequence=sequence)
    try:
        _FILL[type(entry)](added, entry)
    except BaseException:
        del entries[-1]
        raise


def from_proto(entry: JournalEntry) -> core.Entry:
    """An entry as it was read."""
    field = entry.WhichOneof("body") or ""
    convert = _FROM.get(field)
    return convert(getattr(entry, field)) if convert else core.Noted(field.replace("_", ".", 1))


def size_of(entry: core.Entry) -> int:
    """About how many bytes an entry takes."""
    if isinstance(entry, core.ToolCompleted | core.ExecutionCompleted):
        return _SMALL + len(entry.output_json)
    if isinstance(entry, core.ModelCompleted):
        said = (len(block.input_json if isinstance(block, core.ToolUse) else block.text) for block in entry.content)
        return _SMALL + sum(said)
    return _SMALL


def _fill_usage(target: common_pb2.Usage, usage: core.Usage) -> None:
    target.input_tokens = usage.input_tokens
    target.output_tokens = usage.output_tokens
    target.cache_read_tokens = usage.cache_read_tokens
    target.cache_write_tokens = usage.cache_write_tokens
    target.tool_calls = usage.tool_calls
    target.steps = usage.steps
    target.cost_micros = usage.cost_micros
    target.credits = usage.credits


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


def _fill_failure(target: common_pb2.Failure, failure: core.Failure) -> None:
    target.code = failure.code
    target.message = failure.message
    target.retryable = failure.retryable
    target.details.update(dict(failure.details))


def _failure(failure: common_pb2.Failure) -> core.Failure:
    return core.Failure(failure.code, failure.message, failure.retryable, tuple(sorted(failure.details.items())))


def _fill_block(target: journal_pb2.ContentBlock, block: core.Block) -> None:
    if isinstance(block, core.Text):
        target.text.text = block.text
    elif isinstance(block, core.ToolUse):
        use = target.tool_use
        use.id = block.id
        use.name = block.name
        use.input_json = block.input_json
    else:
        thinking = target.thinking
        thinking.thinking = block.text
        thinking.signature = block.signature
        thinking.redacted_data = block.redacted


def _block(block: journal_pb2.ContentBlock) -> core.Block | None:
    kind = block.WhichOneof("block")
    if kind == "text":
        return core.Text(block.text.text)
    if kind == "tool_use":
        return core.ToolUse(block.tool_use.id, block.tool_use.name, block.tool_use.input_json)
    if kind == "thinking":
        return core.Thinking(block.thinking.thinking, block.thinking.signature, block.thinking.redacted_data)
    return None


def _fill_model_completed(target: JournalEntry, entry: core.ModelCompleted) -> None:
    body = target.model_completed
    body.step = entry.step
    body.provider = entry.provider
    body.model = entry.model
    body.request_hash = entry.request_hash
    body.stop_reason = entry.stop_reason
    body.duration_ms = entry.duration_ms
    body.price_version = entry.price_version
    _fill_usage(body.usage, entry.usage)
    for block in entry.content:
        _fill_block(body.content.add(), block)


def _model_completed(body: journal_pb2.ModelCompleted) -> core.Entry:
    return core.ModelCompleted(
        step=body.step,
        provider=body.provider,
        model=body.model,
        content=tuple(found for block in body.content if (found := _block(block)) is not None),
        stop_reason=body.stop_reason,
        usage=_usage(body.usage),
        request_hash=body.request_hash,
        duration_ms=body.duration_ms,
        price_version=body.price_version,
    )


def _fill_tool_dispatched(target: JournalEntry, entry: core.ToolDispatched) -> None:
    body = target.tool_dispatched
    body.call_id = entry.call_id
    body.name = entry.name
    body.input_json = entry.input_json
    body.effect = _EFFECTS[entry.effect]
    body.idempotency_key = entry.idempotency_key
    body.step = entry.step


def _tool_dispatched(body: journal_pb2.ToolDispatched) -> core.Entry:
    # An effect that this version does not know counts as the most careful one.
    effect = _EFFECTS_BACK.get(body.effect, core.Effect.IRREVERSIBLE)
    return core.ToolDispatched(body.call_id, body.name, body.input_json, effect, body.idempotency_key, body.step)


def _fill_tool_completed(target: JournalEntry, entry: core.ToolCompleted) -> None:
    body = target.tool_completed
    body.call_id = entry.call_id
    body.output_json = entry.output_json
    body.duration_ms = entry.duration_ms
    if entry.usage != _NOTHING:
        _fill_usage(body.usage, entry.usage)


def _tool_completed(body: journal_pb2.ToolCompleted) -> core.Entry:
    return core.ToolCompleted(body.call_id, body.output_json, body.duration_ms, _usage(body.usage))


def _fill_tool_failed(target: JournalEntry, entry: core.ToolFailed) -> None:
    body = target.tool_failed
    body.call_id = entry.call_id
    body.duration_ms = entry.duration_ms
    _fill_failure(body.error, entry.failure)


def _fill_tool_unknown(target: JournalEntry, entry: core.ToolUnknown) -> None:
    target.tool_unknown.call_id = entry.call_id
    target.tool_unknown.reason = entry.reason


def _fill_completed(target: JournalEntry, entry: core.ExecutionCompleted) -> None:
    target.execution_completed.output_json = entry.output_json


def _fill_failed(target: JournalEntry, entry: core.ExecutionFailed) -> None:
    _fill_failure(target.execution_failed.error, entry.failure)


def _fill_log(target: JournalEntry, entry: core.Logged) -> None:
    body = target.log_recorded
    body.level = _LEVELS[entry.level]
    body.message = entry.message
    body.metadata_json = entry.metadata_json


_NOTHING = core.Usage()

_FILL: dict[type, Callable[[JournalEntry, Any], None]] = {
    core.ModelCompleted: _fill_model_completed,
    core.ToolDispatched: _fill_tool_dispatched,
    core.ToolCompleted: _fill_tool_completed,
    core.ToolFailed: _fill_tool_failed,
    core.ToolUnknown: _fill_tool_unknown,
    core.ExecutionCompleted: _fill_completed,
    core.ExecutionFailed: _fill_failed,
    core.Logged: _fill_log,
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
