"""Tables as data: CSV text into rows that models and the calculator can use.

Owns how cells become numbers: only what is plainly a number and survives the way there and back, so that postal
codes and identifiers keep their zeros.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import Any

_WHOLE = re.compile(r"-?(?:0|[1-9]\d{0,14})\Z")
_DECIMAL = re.compile(r"-?(?:0|[1-9]\d{0,14})?\.\d{1,15}(?:[eE][+-]?\d{1,2})?\Z")
_DELIMITERS = ",;\t|"


def read_csv(text: str) -> list[dict[str, Any]] | None:
    """Read CSV with a header line into one object for each row; None when it is not such a table.

    The delimiter is the most frequent of comma, semicolon, tab and bar in the header line.
    """
    header = text.split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=header.count)
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True) if row]
    except csv.Error:
        return None
    if not rows:
        return None
    names = [name.strip() for name in rows[0]]
    if len(set(names)) < len(names) or not all(names):
        return None
    return [_row(names, row) for row in rows[1:]]


def _row(names: Sequence[str], cells: Sequence[str]) -> dict[str, Any]:
    padded = [*cells, *[""] * (len(names) - len(cells))]
    return {name: _cell(cell) for name, cell in zip(names, padded, strict=False)}


def _cell(cell: str) -> Any:
    text = cell.strip()
    if _WHOLE.match(text):
        return int(text)
    if _DECIMAL.match(text):
        return float(text)
    return cell
