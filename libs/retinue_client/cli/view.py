"""An execution as somebody watches it.

Owns what is known of it after each event (a fold, without a clock and without a terminal), and the two ways to show
that: a picture that changes in place, and lines that are added.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from retinue_client.cli.text import clean, length, line, money, number, shown

if TYPE_CHECKING:
    from rich.console import RenderableType

    from retinue_client.models import Event, Execution, Step

_MOST_LINES = 12
_MARKS = {"RUNNING": "…", "COMPLETED": "✓", "FAILED": "✗", "UNKNOWN": "?"}
_STYLES = {"RUNNING": "cyan", "COMPLETED": "green", "FAILED": "red", "UNKNOWN": "red", "CANCELLED": "yellow"}


@dataclass(slots=True)
class View:
    """What is known of an execution that is watched. `title` is what it is called."""

    title: str
    execution: Execution | None = None
    status: str = "PENDING"
    steps: dict[int, Step] = field(default_factory=dict)
    saying: str = ""
    thinking: str = ""
    note: str = ""

    def take(self, event: Event) -> None:
        """Take an event in."""
        if event.execution is not None:
            self.execution, self.status = event.execution, event.execution.status
        if event.chunk is not None:
            self.saying += event.chunk.text
            self.thinking += event.chunk.thinking
            self.status = "RUNNING"
        if event.step is not None:
            self.steps[event.step.number] = event.step
            self.saying = self.thinking = self.note = ""
            self.status = "RUNNING"
        if event.log is not None:
            self.note = event.log.message
            self.status = _STATUS_BY_KIND.get(event.kind, self.status)
        if event.ends:
            self.saying = self.thinking = self.note = ""

    @property
    def tokens(self) -> int:
        """Tokens so far, in and out."""
        usages = [step.usage for step in self.steps.values()]
        return sum(usage.input_tokens + usage.output_tokens for usage in usages)

    @property
    def cost_micros(self) -> int:
        """Cost so far, in millionths of a US dollar."""
        return sum(step.usage.cost_micros for step in self.steps.values())

    def summary(self, seconds: float) -> str:
        """How far it is, in one line."""
        count = len(self.steps)
        steps = f"{count} step{'' if count == 1 else 's'}"
        return f"{self.status}  {steps}  {number(self.tokens)} tokens  {money(self.cost_micros)}  {length(seconds)}"


_STATUS_BY_KIND = {"execution.started": "RUNNING", "execution.recovered": "PENDING"}


def said(step: Step) -> str:
    """A step in one line."""
    took = f"  {length(step.duration)}" if step.duration is not None and step.status != "RUNNING" else ""
    return f"{_MARKS.get(step.status, '·')} {step.number} {_done(step)}{took}"


def _done(step: Step) -> str:
    if step.kind == "MODEL":
        tokens = f"{number(step.usage.input_tokens)} → {number(step.usage.output_tokens)} tokens"
        words = shown(step.output) or step.reasoning
        return f"{clean(step.action)}  {line(words)}  ({tokens})" if words else f"{clean(step.action)}  ({tokens})"
    asked = f"{clean(step.action)} {shown(step.input, 60)}".rstrip()
    if step.error is not None:
        return f"{asked}  {line(step.error.message)} [{step.error.code}]"
    return asked if step.status == "RUNNING" else f"{asked} → {shown(step.output, 60)}"


def added(event: Event) -> str:
    """What an event adds, as one line; empty where it adds nothing that is worth one."""
    if event.step is not None:
        return said(event.step)
    if event.log is not None:
        return f"· {line(event.log.message, 200)}"
    return ""


def picture(view: View, seconds: float, moving: Any) -> RenderableType:
    """All that is known, for a terminal; `moving` is something that shows that it goes on."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    parts: list[Any] = [Text(line(view.title, 200), style="bold")]
    steps = [view.steps[number] for number in sorted(view.steps)]
    if len(steps) > _MOST_LINES:
        parts.append(Text(f"  … {len(steps) - _MOST_LINES} steps before", style="dim"))
    parts += [
        Text(
            f"  {said(step)}",
            style=_STYLES.get(step.status, "") if step.status != "COMPLETED" else "",
            overflow="ellipsis",
            no_wrap=True,
        )
        for step in steps[-_MOST_LINES:]
    ]
    if current := view.saying or view.thinking or view.note:
        style = "" if view.saying else "dim"
        parts.append(Text(f"  {line(current[-400:], 400)}", style=style))
    foot = Table.grid(padding=(0, 1))
    ended = view.execution is not None and view.execution.ended
    summary = Text(view.summary(seconds), style=_STYLES.get(view.status, ""))
    foot.add_row(Text("■", style=_STYLES.get(view.status, "")) if ended else moving, summary)
    return Group(*parts, foot)
