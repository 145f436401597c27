"""Agents and their versions, as the suite answers with them.

Owns the shapes of what makes an agent run. The agent itself, which can be run, is in `retinue_client.agents`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

Json = Any
"""Whatever JSON can say."""

Visibility = Literal["PRIVATE", "TEAM", "ORGANIZATION", "PUBLIC"]
TriggerMode = Literal["MANUAL", "EVENT", "SCHEDULED"]
VersionStatus = Literal["DRAFT", "PUBLISHED", "DEPRECATED", "ARCHIVED"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSpec:
    """What makes an agent run. `timeout` is in seconds."""

    instructions: str
    model: str
    tools: tuple[str, ...]
    input_schema: Mapping[str, Json] | None
    output_schema: Mapping[str, Json] | None
    max_steps: int
    timeout: float | None
    max_retries: int
    model_settings: Mapping[str, Json] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentVersion:
    """A version of an agent; a published one never changes."""

    id: str
    agent_id: str
    agent_name: str
    version: str
    status: VersionStatus
    current: bool
    changelog: str
    digest: str
    spec: AgentSpec
    created_by: str
    created_at: datetime | None
    published_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong with the definition of an agent, and what would be right."""

    field: str
    message: str
    suggestion: str
