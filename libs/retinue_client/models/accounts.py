"""Who there is, and what was used, as the suite answers with them.

Owns the shapes of people, tokens, quotas and reports.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Role = Literal["ADMIN", "MEMBER", "VIEWER"]
UserKind = Literal["PERSON", "SERVICE_ACCOUNT"]
GroupBy = Literal["AGENT", "USER", "PROJECT"]


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person or a machine that acts in one organisation."""

    id: str
    organization_id: str
    email: str
    name: str
    kind: UserKind
    role: Role
    created_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Organization:
    """A tenant."""

    id: str
    name: str
    plan: str
    created_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who a token stands for, and what it allows."""

    user: User
    organization: Organization
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An API token without its secret; `prefix` is how that begins."""

    id: str
    user_id: str
    name: str
    scopes: tuple[str, ...]
    prefix: str
    expires_at: datetime | None
    created_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """A token that was just made, with its secret, which is never shown again."""

    token: Token
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """A limit, and what is used and reserved of it."""

    id: str
    level: str
    subject_id: str
    metric: str
    window: str
    limit: int | None
    source: str
    used: int
    reserved: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageEntry:
    """What one agent, user or project used, or all together where `key` is empty."""

    key: str
    executions: int
    input_tokens: int
    output_tokens: int
    cost_micros: int
    credits: int
    steps: int
    tool_calls: int

    @property
    def cost(self) -> float:
        """The cost in US dollars."""
        return self.cost_micros / 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageReport:
    """What the organisation used between two moments; `entries` are empty when it is not split."""

    start: datetime | None
    end: datetime | None
    total: UsageEntry
    entries: tuple[UsageEntry, ...]
