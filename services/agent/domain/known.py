"""What the platform offers to agents, and how much an agent may hold.

Owns the lists of names and the limits that validation checks against.
"""

from __future__ import annotations

import re

TOOLS = ("calculator", "http")
"""The built-in tools, by name."""

TIERS = ("fast", "balanced", "powerful")
"""Tiers that stand for a model of that class."""

SCRIPTED = "scripted"
"""The model that answers from `modelSettings.script`."""

MODEL_EXAMPLES = (SCRIPTED, *TIERS, "claude-sonnet-4-5", "anthropic/claude-sonnet-4-5")
"""Names to suggest when a model is not known."""

_MODEL = re.compile(r"(?:claude-[\w.@:-]+|[a-z0-9][a-z0-9._-]*/[\w.:@-]+(?:/[\w.:@-]+)*)\Z", re.ASCII)

DEFAULT_MAX_STEPS = 20
DEFAULT_MAX_RETRIES = 3
MOST_STEPS = 100
MOST_RETRIES = 10
LONGEST_TIMEOUT = 24 * 60 * 60.0
"""Seconds."""

LONGEST_NAME = 100
LONGEST_DESCRIPTION = 2_000
LONGEST_INSTRUCTIONS = 100_000
LONGEST_MODEL = 200
LONGEST_LABEL = 100
"""Characters of a department or a project."""

LONGEST_TAG = 50
MOST_TAGS = 50
MOST_TOOLS = 100
MOST_TURNS = 1_000

LARGEST_METADATA = 16 * 1024
LARGEST_SCHEMA = 128 * 1024
LARGEST_SETTINGS = 512 * 1024
"""Bytes of JSON."""


def is_model(name: str) -> bool:
    """Say whether a name could be that of a model: scripted, a tier, a Claude model, or `provider/model`."""
    return name == SCRIPTED or name in TIERS or _MODEL.match(name) is not None
