"""Which provider answers for a model name.

Owns the reading of names: `scripted`, tiers, `claude…` and `anthropic/…`. It refuses what nobody answers for, with
what to do about it.
"""

from __future__ import annotations

from collections.abc import Mapping

from services.worker.models.anthropic import Anthropic
from services.worker.models.contract import Provider
from services.worker.models.failures import unusable
from services.worker.models.scripted import NAME as SCRIPTED
from services.worker.models.scripted import Scripted

TIERS: Mapping[str, str] = {
    "fast": "claude-haiku-5-5",
    "balanced": "claude-sonnet-5-5",
    "powerful": "claude-opus-5-5",
}
"""What each tier stands for unless the operator says otherwise."""


class Router:
    """Finds providers. `anthropic` is None where no key for it is set."""

    def __init__(self, anthropic: Anthropic | None, *, tiers: Mapping[str, str] = TIERS) -> None:
        self._anthropic = anthropic
        self._scripted = Scripted()
        self._tiers = tiers

    def find(self, model: str) -> Provider:
        """The provider of a model by its name. Raises ModelError (MODEL_NOT_AVAILABLE)."""
        name = self._tiers.get(model, model)
        if name == SCRIPTED or name.startswith(f"{SCRIPTED}/"):
            return self._scripted
        if not name.startswith(("claude", "anthropic/")):
            message = (
                f"No provider answers for the model {model!r}. Use a Claude model such as {self._tiers['balanced']}, a "
                f"tier ({', '.join(self._tiers)}), or {SCRIPTED}."
            )
            raise unusable("MODEL_NOT_AVAILABLE", message)
        if self._anthropic is None:
            message = (
                f"The model {model!r} needs an API key. Set ANTHROPIC_API_KEY where the workers run, or use the "
                f"model {SCRIPTED!r}."
            )
            raise unusable("MODEL_NOT_AVAILABLE", message)
        return self._anthropic.model(name)
