"""An agent from nothing to its answer: create, publish, execute, read its journal.

Start a suite with `make run`, then run `.venv/bin/python examples/quickstart.py` beside it. Without ANTHROPIC_API_KEY
the agent follows a script; with it (where the suite was started, too) it runs on Claude.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from retinue_client import RetinueError
from retinue_client.sync import Retinue

QUESTION = "What is (19 + 23) * 2?"
SCRIPT = [
    [
        {"text": "I compute it instead of guessing."},
        {"toolUse": {"name": "calculator", "input": {"expression": "(19 + 23) * 2"}}},
    ],
    [{"text": '{"answer": "(19 + 23) * 2 is {{tool.output}}.", "value": {{tool.output}}}'}],
]


def choose_model() -> dict[str, Any]:
    """The model to run on, and what it needs."""
    if os.environ.get("ANTHROPIC_API_KEY"):
        print("The agent runs on Claude.")
        return {"model": "balanced", "model_settings": None}
    print("The agent runs on the scripted model: it follows a script and understands nothing.")
    return {"model": "scripted", "model_settings": {"script": SCRIPT}}


def main() -> None:
    """Run the example against the suite of the environment."""
    with Retinue.from_env() as client:
        agent = client.agents.ensure(
            name="quickstart",
            signature='question: str -> answer: str, value: float "the number alone"',
            instructions="Answer questions about numbers. Use the calculator for every computation.",
            tools=["calculator"],
            **choose_model(),
        )
        if agent.draft_version:
            print(f"Published {agent.publish('Written by the quickstart.').version}.")

        result = agent.execute(question=QUESTION)
        print(f"{QUESTION} {result.answer} (as a number: {result.value:g})")

        print("Its journal:")
        for event in client.executions.watch(result.execution):
            print(f"  {event.sequence} {event.kind}")
        used = result.usage
        print(f"It took {used.steps} model calls, {used.tool_calls} tool call and ${used.cost:.4f}.")


if __name__ == "__main__":
    try:
        main()
    except RetinueError as error:
        sys.exit(f"{error.message} {' '.join(error.actions)}")
