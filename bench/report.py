"""How a measurement is shown: a table, notes, and one line for each goal.

Owns the judgement "met, or missed by how much" and the markdown of it. It measures nothing.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

TIMES = "\N{MULTIPLICATION SIGN}"
"""Unit of a ratio."""

GOALS_HEADER = ("figure", "measured", "first goal", "then")


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure with what it is to reach first and then, where it is to. Less is better unless `more` is set."""

    figure: str
    unit: str
    first: float | None
    then: float | None
    more: bool = False

    def verdict(self, value: float | None, note: str = "") -> Verdict:
        """Judge a measured value; None where nothing could be measured, which `note` explains."""
        return Verdict(self, value, note)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A goal and the value that was measured for it."""

    goal: Goal
    value: float | None
    note: str = ""

    def cells(self) -> tuple[str, ...]:
        """The row of the table of goals."""
        measured = "-" if self.value is None else with_unit(self.value, self.goal.unit)
        return (self.goal.figure, f"**{measured}**" + f" {self.note}".rstrip(), *map(self._against, self._goals))

    @property
    def _goals(self) -> tuple[float | None, float | None]:
        return self.goal.first, self.goal.then

    def _against(self, wanted: float | None) -> str:
        if wanted is None:
            return "-"
        asked = with_unit(wanted, self.goal.unit)
        if self.value is None:
            return f"{asked}: not measured"
        met = self.value >= wanted if self.goal.more else self.value <= wanted
        return f"{asked}: {'met' if met else self._missed_by(wanted)}"

    def _missed_by(self, wanted: float) -> str:
        if not wanted:
            return f"missed by {number(self.value or 0)}"
        return f"missed by {abs((self.value or 0) / wanted - 1) * 100:.0f} %"


@dataclass(frozen=True, slots=True)
class Section:
    """What one module measured."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    verdicts: Sequence[Verdict] = field(default_factory=tuple)

    def markdown(self) -> str:
        """The section as it stands in docs/benchmarks.md."""
        parts = [f"### {self.title}", table(self.header, self.rows), *self.notes]
        return "\n\n".join(parts) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def goals(sections: Iterable[Section]) -> str:
    """One line for each goal."""
    return table(GOALS_HEADER, (verdict.cells() for section in sections for verdict in section.verdicts))


def number(value: float) -> str:
    """A number with three digits that count, or all of them before the point."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def with_unit(value: float, unit: str) -> str:
    """A number and its unit."""
    return f"{number(value)}{' ' if unit and unit != TIMES else ''}{unit}"


def percentile(values: Sequence[float], percent: int) -> float:
    """A percentile, interpolated between the two nearest values."""
    if len(values) < 2:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
