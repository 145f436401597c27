"""From what a model said to what is written down of it.

Owns the last mending before the journal: clean text, tool calls with ids that no other call of the execution has, and
no arguments that are nested deeper than the journal can carry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from services.worker import clean
from services.worker.core.entries import Block, ToolUse
from services.worker.models.failures import unusable


def journaled(content: Sequence[Block], step: int, used: frozenset[str]) -> tuple[Block, ...]:
    """What a model said in call `step` as it may be stored. `used` are the ids of earlier tool calls.

    Raises ModelError (MODEL_ANSWER_UNUSABLE).
    """
    seen: set[str] = set()
    blocks: list[Block] = []
    for index, block in enumerate(content):
        if isinstance(block, ToolUse):
            blocks.append(_journaled_use(block, f"{step}_{index}", used, seen))
        else:
            said = clean.text(block.text)
            blocks.append(block if said is block.text else replace(block, text=said))
    return tuple(blocks)


def _journaled_use(use: ToolUse, place: str, used: frozenset[str], seen: set[str]) -> ToolUse:
    input_json = clean.json_text(use.input_json)
    if _unreadably_deep(input_json):
        raise unusable(
            "MODEL_ANSWER_UNUSABLE", f"The model called {use.name} with arguments that are nested too deeply."
        )
    call_id = clean.text(use.id)
    if not call_id or call_id in used or call_id in seen:
        call_id = f"{call_id or 'call'}_{place}"
    seen.add(call_id)
    name = clean.text(use.name)
    unchanged = call_id == use.id and name is use.name and input_json is use.input_json
    return use if unchanged else ToolUse(call_id, name, input_json)


def _unreadably_deep(input_json: str) -> bool:
    try:
        return clean.too_deep(input_json)
    except ValueError:
        return False  # it is not JSON, and the model is told so
