"""Why a model stopped, and what that means for the loop.

Owns the table. A reason that is in neither list ends the model's turn in the ordinary way.
"""

from __future__ import annotations

from services.worker.core.entries import Failure

CONTINUES = frozenset({"pause_turn"})
"""The model wants to go on: it is called again with what it said so far."""

FAILS = {
    "max_tokens": Failure(
        "MODEL_OUTPUT_TRUNCATED",
        "The model reached its limit of output tokens before it was done. Raise modelSettings.maxTokens.",
    ),
    "refusal": Failure("MODEL_REFUSED", "The model refused to answer."),
    "model_context_window_exceeded": Failure(
        "CONTEXT_WINDOW_EXCEEDED",
        "The conversation no longer fits into the model's context window. Give it less, or use another model.",
    ),
}
"""The answer is not whole, so neither its text nor its tool calls are used."""
