"""What a command answers, as a table for people or as JSON and YAML for programs.

Owns the three forms. JSON and YAML say all there is under REST's names; a table says what its columns say, with lines
and colours only on a terminal, and never cut where it is not one.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, NamedTuple, TextIO

import typer

from retinue_client.cli.text import clean, line

_STEERING = re.compile(r"[\x7f-\x9f\u2028\u2029]")


class Format(StrEnum):
    """How an answer is written."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


Output = Annotated[Format, typer.Option("--output", "-o", help="How the answer is written.")]


class Column(NamedTuple):
    """A column of a table: its title, what it says of an item, and whether that is a number."""

    title: str
    value: Callable[[Any], str]
    number: bool = False


def write(found: Any, form: Format, table: Callable[[], None]) -> None:
    """Write a model, or many, in a form; `table` writes it for people."""
    if form is Format.TABLE:
        table()
    elif form is Format.JSON:
        sys.stdout.write(as_json(found) + "\n")
    else:
        write_yaml(found, sys.stdout)


def say(text: str) -> None:
    """Write one line for people."""
    sys.stdout.write(f"{line(text, 1_000)}\n")


def write_each(found: Any, form: Format, text: str) -> None:
    """Write one of many that come one after the other: `text`, a line of JSON, or a document of YAML."""
    if form is Format.YAML:
        sys.stdout.write("---\n")
        write_yaml(found, sys.stdout)
    else:
        sys.stdout.write((as_json(found, indent=None) if form is Format.JSON else text) + "\n")
    sys.stdout.flush()


def as_json(found: Any, *, indent: int | None = 2) -> str:
    """JSON text of models, lists of them, or plain data."""
    from retinue_client.reading import to_json

    text = json.dumps(to_json(found), indent=indent, ensure_ascii=False)
    return _STEERING.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def write_yaml(found: Any, file: TextIO) -> None:
    """Write YAML 1.2 of models, lists of them, or plain data; texts of several lines as blocks."""
    from ruamel.yaml import YAML
    from ruamel.yaml.scalarstring import LiteralScalarString

    from retinue_client.reading import to_json

    def blocks(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: blocks(item) for key, item in value.items()}
        if isinstance(value, list):
            return [blocks(item) for item in value]
        return LiteralScalarString(value) if isinstance(value, str) and "\n" in value else value

    yaml = YAML()
    yaml.width = 120
    yaml.dump(blocks(to_json(found)), file)


def write_table(columns: Sequence[Column], items: Iterable[Any], *, empty: str) -> None:
    """Write a table; `empty` says that there is nothing."""
    rows = [[clean(column.value(item)) for column in columns] for item in items]
    if not rows:
        sys.stderr.write(empty + "\n")
    elif sys.stdout.isatty():
        _draw(columns, rows)
    else:
        _align(columns, rows)


def write_facts(facts: Mapping[str, str]) -> None:
    """Write names and values, one to a line; those without a value are left out."""
    widest = max(map(len, facts))
    for name, value in facts.items():
        if value:
            first, *more = clean(value).splitlines() or [""]
            sys.stdout.write(f"{name:<{widest}}  {first}\n")
            sys.stdout.writelines(f"{'':<{widest}}  {line}\n" for line in more)


def _draw(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column.title, justify="right" if column.number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    Console(highlight=False).print(table)


_STYLES = {
    "COMPLETED": "green",
    "PUBLISHED": "green",
    "FAILED": "red",
    "CANCELLED": "yellow",
    "UNKNOWN": "red",
    "RUNNING": "cyan",
    "DRAFT": "yellow",
}


def _align(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    titles = [column.title for column in columns]
    widths = [max(map(len, cells)) for cells in zip(titles, *rows, strict=True)]
    for row in (titles, *rows):
        cells = (
            cell.rjust(width) if column.number else cell.ljust(width)
            for cell, width, column in zip(row, widths, columns, strict=True)
        )
        sys.stdout.write("  ".join(cells).rstrip() + "\n")
