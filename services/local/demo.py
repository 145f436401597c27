"""The agent that a new suite is born with, so that the first request has something to run.

Owns what the demo agent is and its seeding over REST, as any client would do it. It refuses to touch an agent that is
there: the demo belongs to whoever has edited it.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

NAME = "demo"

_INSTRUCTIONS = "You answer questions about numbers. Use the calculator for every sum, and say what it returned."
_ON_CLAUDE = "Adds up what it is asked, with a calculator. Runs on Claude."
_ON_SCRIPT = (
    "Adds 19 and 23 with a calculator, whatever it is asked. Runs on the scripted model, which follows a script and "
    "understands nothing: start the suite with ANTHROPIC_API_KEY to have new demo agents run on Claude."
)


def definition(*, on_claude: bool) -> dict[str, Any]:
    """Return the demo agent as it is sent to `POST /v1/agents`."""
    agent: dict[str, Any] = {
        "name": NAME,
        "description": _ON_CLAUDE if on_claude else _ON_SCRIPT,
        "instructions": _INSTRUCTIONS,
        "model": "balanced" if on_claude else "scripted",
        "tools": ["calculator"],
        "visibility": "ORGANIZATION",
    }
    if not on_claude:
        agent["modelSettings"] = {
            "script": [
                [{"text": "I need a sum."}, {"toolUse": {"name": "calculator", "input": {"expression": "19 + 23"}}}],
                [{"text": "The calculator says {{tool.output}}. (I am a script, not a language model.)"}],
            ]
        }
    return agent


def seed(url: str, token: str, *, on_claude: bool) -> None:
    """Create and publish the demo agent unless it is there already. Raises urllib.error.HTTPError."""
    found = _call("GET", f"{url}/v1/agents?filter=name%3D{NAME}", token).get("agents", [])
    agent = found[0] if found else _call("POST", f"{url}/v1/agents", token, definition(on_claude=on_claude))
    if not agent.get("currentVersion"):
        _call("POST", f"{url}/v1/agents/{agent['id']}/versions/draft/publish", token, {})


def _call(method: str, url: str, token: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - our own gateway
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return dict(json.loads(answer.read()))
