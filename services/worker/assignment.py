"""An execution as a worker is given it."""

from __future__ import annotations

from dataclasses import dataclass

from services.worker.core.entries import Entry


@dataclass(frozen=True, slots=True)
class Assignment:
    """What to run, and on which terms.

    `seconds` is the time that was left when it was sent. Budgets are held for this assignment; below zero no limit
    applies. `spec` is the agent's definition in its serialized form, by which its compiled form is found again.
    """

    execution_id: str
    fence: int
    organization_id: str
    agent_id: str
    agent_name: str
    agent_version: str
    spec: bytes
    input_json: str
    journal: tuple[Entry, ...]
    seconds: float
    traceparent: str
    budget_tokens: int
    budget_cost_micros: int
