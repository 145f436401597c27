"""The command about what was used: usage.

Owns its table.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from retinue_client.cli.executions import names_of
from retinue_client.cli.output import Column, Format, Output, write, write_table
from retinue_client.cli.session import session
from retinue_client.cli.text import money, number

if TYPE_CHECKING:
    from retinue_client.client import Retinue
    from retinue_client.models import UsageReport

_SPAN = re.compile(r"(\d{1,5})([mhdw])\Z")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_FIGURES = (
    Column("EXECUTIONS", lambda entry: number(entry.executions), number=True),
    Column("STEPS", lambda entry: number(entry.steps), number=True),
    Column("TOOLS", lambda entry: number(entry.tool_calls), number=True),
    Column("TOKENS IN", lambda entry: number(entry.input_tokens), number=True),
    Column("TOKENS OUT", lambda entry: number(entry.output_tokens), number=True),
    Column("CREDITS", lambda entry: number(entry.credits), number=True),
    Column("COST", lambda entry: money(entry.cost_micros), number=True),
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("usage")(usage)


def read_span(text: str) -> timedelta:
    """Read a length of time such as `24h`. Raises BadParameter."""
    found = _SPAN.match(text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is not a length of time like 30m, 24h, 7d or 4w")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def usage(
    context: typer.Context,
    since: Annotated[str, typer.Option(help="How far back, for example 24h, 7d or 30d.")] = "24h",
    by: Annotated[str, typer.Option(help="Split by agent, user or project.")] = "",
    output: Output = Format.TABLE,
) -> None:
    """Show what your organisation used."""
    start = datetime.now(UTC) - read_span(since)

    async def ask(client: Retinue) -> tuple[UsageReport, dict[str, str]]:
        report = await client.usage(start=start, by=by or None)  # type: ignore[arg-type] # checked where it is used
        split = by.upper() == "AGENT" and output is Format.TABLE
        return report, await names_of(client, (entry.key for entry in report.entries)) if split else {}

    found, names = session(context).run(ask)
    total = Column(by.upper(), lambda entry: names.get(entry.key, entry.key) or "total")
    columns = (total, *_FIGURES)
    write(found, output, lambda: write_table(columns, [*found.entries, found.total], empty=""))
