"""The calculator: exact, bounded, and plain about what it cannot do."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.worker.egress.client import Egress
from services.worker.egress.policy import parse_policy
from services.worker.tools.calculator import Calculator
from services.worker.tools.contract import ToolContext, ToolError

CONTEXT = ToolContext("e", "o", "k", 10.0, Egress(parse_policy([])))
ROWS = [
    {"region": "north", "amount": 12.5, "quantity": 2},
    {"region": "south", "amount": "7.25", "quantity": 4},
    {"region": "west", "amount": "", "quantity": 1},
]


async def compute(expression: str, **variables: Any) -> Any:
    return await Calculator().call(CONTEXT, {"expression": expression, "variables": variables})


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("2 + 3", "5"),
        ("2 + 3 * 4", "14"),
        ("(2 + 3) * 4", "20"),
        ("10 - 4 - 3", "3"),
        ("2 ** 3 ** 2", "512"),
        ("2 ^ 10", "1024"),
        ("-2 ** 2", "-4"),
        ("2 ** -1", "0.5"),
        ("--3", "3"),
        ("0.1 + 0.2", "0.3"),
        ("1e3 + .5", "1000.5"),
        ("7 // 2", "3"),
        ("-7 // 2", "-4"),
        ("7 % 3", "1"),
        ("-7 % 3", "2"),
        ("1 / 3 * 3", "1"),
        ("10 / 4", "2.5"),
        ("12345678901234567890 * 98765432109876543210", "1219326311370217952237463801111263526900"),
        ("2 ** 100", "1267650600228229401496703205376"),
        ("0 ** 0", "1"),
        ("0 * -1", "0"),
        ("1e-30", "1E-30"),
        ("sum(1, 2, 3)", "6"),
        ("sum([1, 2], 3)", "6"),
        ("sum([])", "0"),
        ("mean(1, 2, 4, 5)", "3"),
        ("median(3, 1, 2)", "2"),
        ("median([4, 1, 2, 3])", "2.5"),
        ("min(3, 1, 2) + max(3, 1, 2)", "4"),
        ("variance(1, 2, 3, 4)", "1.666666666666666666666666666666666666667"),
        ("stdev(2, 4)", "1.414213562373095048801688724209698078570"),
        ("count(1, 2, 3)", "3"),
        ("round(2.5)", "3"),
        ("round(-2.5)", "-3"),
        ("round(1.005, 2)", "1.01"),
        ("round(1234, -2)", "1200"),
        ("abs(-3)", "3"),
        ("sqrt(16)", "4"),
        ("floor(2.7) + ceil(2.1)", "5"),
        ("log10(1000)", "3"),
        ("log(8, 2)", "3"),
        ("log(1000, 10)", "3"),
        ("ln(exp(1))", "1"),
        ("exp(0)", "1"),
        ("cos(0)", "1"),
        ("[10, 20, 30][1]", "20"),
        ("[10, 20, 30][-1]", "30"),
    ],
)
async def test_it_computes(expression: str, result: str) -> None:
    assert await compute(expression) == Decimal(result)


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("sum(rows.amount)", "19.75"),
        ("count(rows.amount)", "2"),
        ("count(rows)", "3"),
        ("mean(rows.amount)", "9.875"),
        ("sum(rows.amount * rows.quantity)", "54"),
        ("max(rows.quantity)", "4"),
        ("rows[0].amount + 1", "13.5"),
        ("x * 2 + sum(list)", "26"),
        ("row.total", "9"),
        ("pi - pi + text", "1.5"),
    ],
)
async def test_it_computes_with_variables(expression: str, result: str) -> None:
    variables = {"rows": ROWS, "x": 10, "list": [1, 2, 3], "row": {"total": 9}, "text": "1.5"}
    assert await compute(expression, **variables) == Decimal(result)


async def test_a_list_is_a_result_too() -> None:
    assert await compute("rows.amount * 2", rows=ROWS) == [25, Decimal("14.5"), None]
    assert await compute("round(-[1.25, 2.35], 1)") == [Decimal("-1.3"), Decimal("-2.4")]


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("9**9**9", "too large"),
        ("9**9**9**9**9", "too large"),
        ("10 ** 400", "too large"),
        ("1e999999999", "too large"),
        ("1e500 + 1", "too large"),
        ("1 / 0", "division by zero"),
        ("0 / 0", "not defined"),
        ("sqrt(-1)", "not defined"),
        ("ln(0) + 1", "not defined|too large"),
        ("(-8) ** 0.5", "not defined"),
        ("asin(2)", "not defined"),
        ("1 +", "the end"),
        ("1 2", "did not expect '2'"),
        ("(1", "expected '\\)'"),
        ("1)", "did not expect '\\)'"),
        ("", "did not expect"),
        ("a + 1", "no variable 'a'"),
        ("launch(1)", "no function 'launch'"),
        ("__import__('os')", "cannot read|no function"),
        ("().__class__", "did not expect"),
        ("rows.price", "no column 'price'"),
        ("rows.region", "not a number"),
        ("rows + 1", "row is not a number"),
        ("rows[0]", "is a row"),
        ("sum(rows)", "name a column"),
        ("[1, 2] + [1, 2, 3]", "do not go together"),
        ("[1, 2][2]", "no item"),
        ("[1, 2][0.5]", "whole number"),
        ("mean([])", "at least 1"),
        ("stdev(1)", "at least 2"),
        ("round(1, 99)", "between -40 and 40"),
        ("sqrt(1, 2)", "takes one"),
        ("(" * 100 + "1" + ")" * 100, "nested deeper"),
        ("-" * 200 + "1", "nested deeper"),
        ("1" * 5000, "longer than"),
        ("sum(big * big * big * big * big * big)", "more work"),
        ("exp(big)", "more work"),
        ("1 ; 2", "cannot read"),
        ("x.y.z", "has no columns"),
    ],
)
async def test_it_says_what_it_cannot_do(expression: str, says: str) -> None:
    with pytest.raises(ToolError, match=says) as failed:
        await compute(expression, rows=ROWS, big=[1.5] * 100_000, x=1)
    assert failed.value.failure.code == "CALCULATION_FAILED"


@pytest.mark.parametrize("value", [["a"], [[1]], [True], ["nan"], ["Infinity"], [1] * 100_001, ["1e99999"]])
async def test_a_variable_that_is_no_number_is_named(value: list[Any]) -> None:
    with pytest.raises(ToolError, match="items"):
        await compute("sum(items)", items=value)


@settings(deadline=None)
@given(st.lists(st.integers(-(10**15), 10**15), min_size=1, max_size=20))
async def test_sums_of_whole_numbers_are_exact(values: list[int]) -> None:
    assert await compute("sum(items)", items=values) == sum(values)


@settings(deadline=None)
@given(st.text(alphabet="0123456789.eE+-*/%^()[], abrows", max_size=60))
async def test_any_text_is_computed_or_refused(text: str) -> None:
    assert isinstance(await _outcome(text), Decimal | list | str | None)


async def _outcome(text: str) -> Any:
    try:
        return await compute(text, rows=ROWS, a=2)
    except ToolError as error:
        return error.failure.message
