"""What runs while things break: agents whose tools the oracles witness."""

from __future__ import annotations

from typing import Any

from tests.clients.agents import say, scripted, use

USAGE = {"inputTokens": 30, "outputTokens": 10}
TOKENS = 40
"""Tokens of one turn."""


def calling(url: str, calls: int = 3, pause: int = 0, **fields: Any) -> dict[str, Any]:
    """An agent that makes calls to an oracle, one after the other, with `pause` milliseconds before each."""
    turns = [
        use(
            "http",
            {"method": "POST", "url": f"{url}/{n}/{{{{input.n}}}}", "json": {"n": n}},
            delayMs=pause,
            usage=USAGE,
        )
        for n in range(calls)
    ]
    return scripted(*turns, say("Done.", delayMs=pause, usage=USAGE), tools=["http"], **fields)
