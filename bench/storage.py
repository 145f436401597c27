"""What a long conversation takes in the database: 100 model calls, 200,000 tokens.

A token is taken as four bytes of text. The text is random letters, so that no compression flatters the figure, and
comes to the script through the input, so that the agent stays small. Counted is what the journal, the row of the
execution and their indexes grow by, over several conversations, dead row versions included.
"""

from __future__ import annotations

import random
import string
from typing import Any

from bench.report import TIMES, Goal, Section
from bench.stage import Stage

BYTES = Goal("storage of a 100-call, 200,000-token conversation", "MB", 10, 1.6)
RATIO = Goal("… against the text itself", TIMES, 12.5, 2)
_CALLS = 100
_TOKENS = 200_000
_BYTES_PER_TOKEN = 4
_HEADER = ("conversations", "text MB each", "journal MB each", "execution row MB each", "together", "of the text")
_TABLES = ("retinue_execution.journal", "retinue_execution.executions")


def measure(stage: Stage) -> Section:
    """Hold several conversations and see what the tables grow by."""
    subject = stage.plain()
    agent_id = subject.publish(_agent())
    count = stage.choose((5,), (2,))[0]
    text = "".join(random.Random(1).choices(string.ascii_letters, k=_TOKENS * _BYTES_PER_TOKEN // _CALLS))
    before = [subject.bytes_of(table) for table in _TABLES]
    subject.load(agent_id, 1, count, wait="60s", input={"text": text})
    journal, row = ((subject.bytes_of(table) - old) / count for table, old in zip(_TABLES, before, strict=True))
    said = len(text) * _CALLS
    ratio = (journal + row) / said
    whole = f"{(journal + row) / 1e6:.2f} MB"
    cells = (str(count), f"{said / 1e6:.2f}", f"{journal / 1e6:.2f}", f"{row / 1e6:.3f}", whole, f"{ratio:.2f}{TIMES}")
    notes = ("The script that makes the scripted model say this is in the agent, not in the conversation.",)
    verdicts = (BYTES.verdict((journal + row) / 1e6), RATIO.verdict(ratio))
    return Section("Storage of a conversation", _HEADER, [cells], notes, verdicts)


def _agent() -> dict[str, Any]:
    call = {"toolUse": {"name": "calculator", "input": {"expression": "19 + 23"}}}
    turn = [{"text": "{{input.text}}"}, call]
    return {
        "name": "conversation",
        "model": "scripted",
        "tools": ["calculator"],
        "maxSteps": _CALLS,
        "modelSettings": {"script": [turn] * (_CALLS - 1) + [[{"text": "{{input.text}}"}]]},
    }
