"""What may be limited, reserved and booked, and when a request to do so is sound.

Owns the vocabulary of quotas and its rules. It refuses to know how much is left: that is decided under a lock in the
database, by the functions of `migrations/versions/0002_holding.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import TypeVar

from retinue_core.errors import Problem, invalid
from retinue_core.ids import is_id

DEFAULT_PLAN = "standard"
PLANS = (DEFAULT_PLAN, "local")
"""The plans whose limits the migrations hold."""

LEVELS = ("ORGANIZATION", "TEAM", "USER", "AGENT")
SPENT = ("TOKENS", "COST_MICROS", "CREDITS")
METRICS = ("CONCURRENT_EXECUTIONS", *SPENT)
WINDOWS = ("MINUTE", "DAY", "MONTH", "TOTAL")
GROUPS = ("", "AGENT", "USER", "PROJECT")
ENDED = ("", "completed", "failed", "cancelled")

MOST_IN_BATCH = 1_000
LONGEST_TEXT = 200
LARGEST = 10**15
"""The largest amount or limit: a thousand million dollars in millionths, or as many tokens."""

PERIOD = timedelta(hours=24)
"""The period that usage is reported for unless another one is asked for."""


@dataclass(frozen=True, slots=True)
class Quota:
    """A limit on one metric of one subject; each subject of the level by itself when `subject_id` is empty.

    `window` is empty for CONCURRENT_EXECUTIONS. `source` is `plan` or `organization`; `used` and `reserved` are zero
    unless the quota has one subject.
    """

    level: str
    subject_id: str
    metric: str
    window: str
    limit: int
    id: str = ""
    source: str = "organization"
    used: int = 0
    reserved: int = 0


@dataclass(frozen=True, slots=True)
class Reservation:
    """Something to hold back. Its field names are those of the table. `expires_at` has a default in the database."""

    id: str
    organization_id: str
    user_id: str
    agent_id: str
    execution_id: str
    project_id: str
    team_ids: tuple[str, ...]
    tokens: int
    cost_micros: int
    credits: int
    expires_at: datetime | None

    @property
    def key(self) -> tuple[str, ...]:
        """What makes it the same one again."""
        return self.organization_id, self.id


@dataclass(frozen=True, slots=True)
class Extension:
    """Something to hold back beyond a reservation. Its field names are those of the table."""

    organization_id: str
    reservation_id: str
    id: str
    tokens: int
    cost_micros: int
    credits: int

    @property
    def key(self) -> tuple[str, ...]:
        """What makes it the same one again."""
        return self.organization_id, self.reservation_id, self.id


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a reservation or an extension.

    `outcome` is the name of a `Grant.Outcome`. An amount of -1 says that no limit applies. `limit` is the one that
    stood in the way.
    """

    outcome: str
    tokens: int = 0
    cost_micros: int = 0
    credits: int = 0
    limit: Quota | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a reservation came to. Its field names are those of the database's type."""

    organization_id: str
    reservation_id: str
    input_tokens: int
    output_tokens: int
    cost_micros: int
    credits: int
    steps: int
    tool_calls: int
    ended: str
    user_id: str
    agent_id: str
    execution_id: str
    project_id: str
    team_ids: tuple[str, ...]

    @property
    def key(self) -> tuple[str, ...]:
        """What makes it the same one again."""
        return self.organization_id, self.reservation_id


@dataclass(frozen=True, slots=True)
class Overrun:
    """How far a settlement went beyond what was held."""

    reservation_id: str
    tokens: int
    cost_micros: int
    credits: int


@dataclass(frozen=True, slots=True)
class Use:
    """What one agent, user or project used in a period, or all together (`key` is empty)."""

    key: str = ""
    executions: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_micros: int = 0
    credits: int = 0
    steps: int = 0
    tool_calls: int = 0


Booked = Reservation | Extension | Settlement
Item = TypeVar("Item", Reservation, Extension, Settlement)


def plan_or_default(plan: str) -> str:
    """The plan to hold an organisation to: one that nobody knows must not mean that nothing is limited."""
    return plan if plan in PLANS else DEFAULT_PLAN


def checked(batch: Sequence[Item], name: str) -> list[Item]:
    """Check a batch and leave out what it repeats: the first of each counts.

    Raises INVALID_ARGUMENT with every problem; `name` is the field that holds the batch.
    """
    if len(batch) > MOST_IN_BATCH:
        raise invalid("The batch is too large.", Problem(name, f"holds {len(batch)}; send at most {MOST_IN_BATCH}"))
    if problems := [problem for number, item in enumerate(batch) for problem in _item(item, f"{name}[{number}].")]:
        raise invalid("The batch cannot be booked.", *problems)
    first: dict[tuple[str, ...], Item] = {}
    for item in batch:
        first.setdefault(item.key, item)
    return list(first.values())


def organizations(batch: Iterable[Booked]) -> frozenset[str]:
    """The organisations of a batch."""
    return frozenset(item.organization_id for item in batch)


def total(entries: Iterable[Use]) -> Use:
    """All entries together."""
    rows = list(entries)
    return Use("", *(sum(getattr(row, field.name) for row in rows) for field in fields(Use)[1:]))


def check_quota(quota: Quota, *, limit_given: bool) -> None:
    """Check a quota that is to be set. Raises INVALID_ARGUMENT with every problem."""
    if problems := [*_subject(quota), *_metric(quota), *_limit(quota, given=limit_given)]:
        raise invalid("The quota cannot be set.", *problems)


def check_usage(start: datetime | None, end: datetime | None, group: str) -> None:
    """Check what is asked about usage. Raises INVALID_ARGUMENT with every problem."""
    problems = []
    if start is not None and end is not None and start >= end:
        problems.append(Problem("from", "must be before `to`"))
    if group not in GROUPS:
        problems.append(Problem("groupBy", f"must be {_either(GROUPS[1:])}"))
    if problems:
        raise invalid("The usage cannot be reported.", *problems)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _columns(kind: type[Booked]) -> tuple[tuple[str, str, str], ...]:
    return tuple((field.name, _camel(field.name), str(field.type)) for field in fields(kind))


_COLUMNS = {kind: _columns(kind) for kind in (Reservation, Extension, Settlement)}
"""The fields of what a batch holds: each with its name as callers write it, and what it is."""


def _item(item: Booked, path: str) -> Iterator[Problem]:
    for name, written, kind in _COLUMNS[type(item)]:
        value = getattr(item, name)
        if kind == "int" and not 0 <= value <= LARGEST:
            yield Problem(path + written, f"must be from 0 to {LARGEST}")
        elif kind == "str":
            yield from _text(value, path + written)
        elif kind == "tuple[str, ...]":
            for number, text in enumerate(value):
                yield from _text(text, f"{path}{written}[{number}]")
    if not is_id(item.organization_id):
        yield Problem(f"{path}organizationId", "must be the id of an organisation, a UUID in lower case")
    if isinstance(item, Settlement) and item.ended not in ENDED:
        yield Problem(f"{path}ended", "must be completed, failed, cancelled or empty")


def _text(value: str, path: str) -> Iterator[Problem]:
    if len(value) > LONGEST_TEXT:
        yield Problem(path, f"has {len(value)} characters; send at most {LONGEST_TEXT}")
    if "\0" in value:
        yield Problem(path, "holds a null byte; remove it")


def _subject(quota: Quota) -> Iterator[Problem]:
    if quota.level not in LEVELS:
        yield Problem("level", f"cannot be limited by a quota; choose {_either(LEVELS)}")
    elif quota.level == "ORGANIZATION" and quota.subject_id:
        yield Problem("subjectId", "must be empty: a quota of the level ORGANIZATION is for your own")
    elif quota.subject_id and not is_id(quota.subject_id):
        yield Problem("subjectId", f"must be the id of a {quota.level.lower()}, or empty for each of them")


def _metric(quota: Quota) -> Iterator[Problem]:
    if quota.metric not in METRICS:
        yield Problem("metric", f"cannot be limited by a quota; choose {_either(METRICS)}")
    elif quota.metric in SPENT and quota.window not in WINDOWS:
        yield Problem("window", f"is missing; choose {_either(WINDOWS)}")
    elif quota.metric not in SPENT and quota.window:
        yield Problem("window", "must not be set: what runs at the same time has no window")


def _limit(quota: Quota, *, given: bool) -> Iterator[Problem]:
    if not given:
        yield Problem("limit", "is missing; zero is a limit too and must be sent")
    elif not 0 <= quota.limit <= LARGEST:
        yield Problem("limit", f"must be from 0 to {LARGEST}")


def _either(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
