"""CSV as data: cells become numbers only when nothing is lost."""

from __future__ import annotations

from typing import Any

import pytest

from services.worker.tools.tables import read_csv


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a,b\n1,2.5\n-3,x\n", [{"a": 1, "b": 2.5}, {"a": -3, "b": "x"}]),
        ("a;b\r\n1;2\r\n", [{"a": 1, "b": 2}]),
        ("a\tb\n1\t\n", [{"a": 1, "b": ""}]),
        ('name,note\n"Smith, J","said ""hi""\nand left"\n', [{"name": "Smith, J", "note": 'said "hi"\nand left'}]),
        ("zip,id,big\n01234,+1,12345678901234567890\n", [{"zip": "01234", "id": "+1", "big": "12345678901234567890"}]),
        ("a,b\n1\n\n2,3,4\n", [{"a": 1, "b": ""}, {"a": 2, "b": 3}]),
        ("a\n.5\n1.\n1e5\nNaN\n", [{"a": 0.5}, {"a": "1."}, {"a": "1e5"}, {"a": "NaN"}]),
        ("only,header\n", []),
    ],
)
def test_a_table_becomes_rows(text: str, rows: list[dict[str, Any]]) -> None:
    assert read_csv(text) == rows


@pytest.mark.parametrize("text", ["", "\n\n", "a,a\n1,2\n", "a,,b\n1,2,3\n", 'a,b\n"open,2\n'])
def test_what_is_no_table_is_none(text: str) -> None:
    assert read_csv(text) is None
