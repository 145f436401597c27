"""The judgement of a benchmark: met, or missed by how much, and where the results go in a document."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.__main__ import insert
from bench.parallel import most_at_once
from bench.report import TIMES, Goal, Section, goals, number, percentile, table

FASTER = Goal("executions/s", "", 300, 1_000, more=True)
SHORTER = Goal("p50", "ms", 10, 4)


def test_more_is_better_where_the_goal_says_so() -> None:
    assert FASTER.verdict(450).cells() == ("executions/s", "**450**", "300: met", "1,000: missed by 55 %")
    assert FASTER.verdict(1_000).cells()[3] == "1,000: met"


def test_less_is_better_elsewhere() -> None:
    assert SHORTER.verdict(5).cells() == ("p50", "**5 ms**", "10 ms: met", "4 ms: missed by 25 %")
    assert SHORTER.verdict(4).cells()[3] == "4 ms: met"


def test_never_is_missed_by_a_count() -> None:
    never = Goal("started twice", "", 0, 0)
    assert never.verdict(0).cells()[2:] == ("0: met", "0: met")
    assert never.verdict(3).cells()[2] == "0: missed by 3"


def test_a_goal_that_is_not_set_is_not_judged() -> None:
    assert Goal("done", "s", None, 2.5).verdict(2).cells()[2:] == ("-", "2.50 s: met")


def test_a_note_stands_beside_the_value() -> None:
    assert Goal("cost", TIMES, 1.3, 1.05).verdict(1.2, "(100 rows)").cells()[1] == f"**1.20{TIMES}** (100 rows)"


def test_every_verdict_is_a_line() -> None:
    sections = [Section("a", (), (), verdicts=(FASTER.verdict(1), SHORTER.verdict(1))), Section("b", (), ())]
    assert len(goals(sections).splitlines()) == 4


def test_a_table_is_markdown() -> None:
    assert table(("a", "b"), [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


@pytest.mark.parametrize(
    ("value", "shown"), [(12_345.6, "12,346"), (99.5, "99.5"), (12.34, "12.3"), (3, "3"), (1.234, "1.23")]
)
def test_numbers_keep_three_digits(value: float, shown: str) -> None:
    assert number(value) == shown


def test_percentiles_lie_within_the_values() -> None:
    values = [float(value) for value in range(1, 102)]
    assert (percentile(values, 50), percentile(values, 99)) == (51, 100)
    assert percentile([7.0], 99) == 7


def test_spans_that_touch_do_not_overlap() -> None:
    assert most_at_once([(0, 2), (1, 3), (2, 4)]) == 2
    assert most_at_once([(0, 9), (1, 8), (2, 3)]) == 3


def test_results_replace_the_last_ones(tmp_path: Path) -> None:
    document = tmp_path / "benchmarks.md"
    document.write_text("before\n<!-- results -->\nold\n<!-- end of results -->\nafter\n")
    insert(document, "new\n")
    assert document.read_text() == "before\n<!-- results -->\nnew\n<!-- end of results -->\nafter\n"


def test_a_document_without_a_place_for_results_is_refused(tmp_path: Path) -> None:
    document = tmp_path / "README.md"
    document.write_text("nothing\n")
    with pytest.raises(SystemExit, match="README"):
        insert(document, "new\n")
    assert document.read_text() == "nothing\n"
