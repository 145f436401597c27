"""The calculator: exact decimal arithmetic and statistics over numbers, lists and columns of rows.

Owns the functions that an expression may call and the shape of the answer: a JSON number, or a list of them. Up to 40
significant digits are said; trigonometry is as exact as the machine's floating point.
"""

from __future__ import annotations

import decimal
import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from services.worker.core.entries import Effect
from services.worker.tools.arithmetic import (
    MAX_ITEMS,
    MAX_LENGTH,
    ExpressionError,
    Function,
    Value,
    as_list,
    each,
    evaluate,
    number,
)
from services.worker.tools.contract import ToolContext, ToolError

_SAID = decimal.Context(prec=40)
_LARGEST = Decimal("1.7976931348623157e308")  # what a reader of JSON can hold
_SCHEMA = {
    "type": "object",
    "properties": {
        "expression": {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_LENGTH,
            "description": "For example 2 * (3 + 4), or sum(rows.amount) / count(rows.amount).",
        },
        "variables": {
            "type": "object",
            "description": "Values by name: numbers, lists of numbers, or lists of objects whose columns are "
            "addressed as rows.amount.",
            "additionalProperties": {"type": ["number", "string", "array", "object"]},
        },
    },
    "required": ["expression"],
    "additionalProperties": False,
}


class Calculator:
    """The tool."""

    name = "calculator"
    description = (
        "Computes an arithmetic expression exactly. Operators: + - * / // % ** and parentheses; they also work on "
        "lists, item by item. Functions: sum, mean, min, max, median, stdev, variance, count, round(x, digits), abs, "
        "sqrt, exp, ln, log(x, base), log10, floor, ceil, sin, cos, tan. Constants: pi, e. Data comes in variables."
    )
    input_schema: Mapping[str, Any] = _SCHEMA
    timeout = 10.0
    output_limit = 256 * 1024

    def effect(self, value: Any) -> Effect:
        """Arithmetic changes nothing."""
        return Effect.PURE

    async def call(self, context: ToolContext, value: Any) -> Any:
        """Compute `expression` with `variables`."""
        try:
            names = {"pi": _PI, "e": _E, **_variables(value.get("variables", {}))}
            return _said(evaluate(value["expression"], names, FUNCTIONS))
        except ExpressionError as problem:
            raise ToolError("CALCULATION_FAILED", f"Cannot compute this: {problem}.") from None


def _variables(given: Mapping[str, Any]) -> dict[str, Value]:
    return {name: _variable(name, value) for name, value in given.items()}


def _variable(name: str, value: Any) -> Value:
    if isinstance(value, dict):
        return value
    if isinstance(value, list):
        if len(value) > MAX_ITEMS:
            raise ExpressionError(f"{name} has more than {MAX_ITEMS} items")
        if value and isinstance(value[0], dict):
            return value
        return [number(item, f"{name}[{index}]") for index, item in enumerate(value)]
    return number(value, name)


def _said(value: Value) -> Any:
    if isinstance(value, Decimal):
        return _said_number(value)
    if isinstance(value, Sequence):
        return [_said(item) for item in value]
    if isinstance(value, Mapping):
        raise ExpressionError("the result is a row, not a number")
    return None


def _said_number(value: Decimal) -> Decimal:
    rounded = _SAID.plus(value)
    if abs(rounded) > _LARGEST:
        raise ExpressionError("the result is too large to be said as a JSON number")
    if rounded == 0:
        return Decimal(0)
    plain = rounded.normalize(_SAID)
    return Decimal(format(plain, "f")) if -20 <= plain.adjusted() < 40 else plain


def _numbers(arguments: Sequence[Value], name: str) -> list[Decimal]:
    found: list[Decimal] = []
    for argument in arguments:
        for item in as_list(argument):
            if isinstance(item, Decimal):
                found.append(item)
            elif item is not None:
                raise ExpressionError(f"{name} wants numbers: name a column of the rows")
    return found


def _over(name: str, operation: Callable[[list[Decimal]], Decimal], least: int = 1) -> Function:
    def function(arguments: Sequence[Value]) -> Value:
        values = _numbers(arguments, name)
        if len(values) < least:
            raise ExpressionError(f"{name} needs at least {least} number{'s' if least > 1 else ''}")
        return operation(values)

    return function


def _of(name: str, operation: Callable[[Decimal], Decimal]) -> Function:
    def function(arguments: Sequence[Value]) -> Value:
        if len(arguments) != 1:
            raise ExpressionError(f"{name} takes one number")
        return each(operation, arguments[0])

    return function


def _float(operation: Callable[[float], float]) -> Callable[[Decimal], Decimal]:
    def computed(value: Decimal) -> Decimal:
        try:
            return Decimal(repr(operation(float(value))))
        except (ValueError, OverflowError):
            raise ExpressionError("the function is not defined there") from None

    return computed


def _count(arguments: Sequence[Value]) -> Value:
    return Decimal(sum(1 for argument in arguments for item in as_list(argument) if item is not None))


def _round(arguments: Sequence[Value]) -> Value:
    if not 1 <= len(arguments) <= 2:
        raise ExpressionError("round takes a number and, if you like, how many digits")
    digits = arguments[1] if len(arguments) == 2 else Decimal(0)
    if not isinstance(digits, Decimal) or digits != int(digits) or not -40 <= digits <= 40:
        raise ExpressionError("the digits to round to must be a whole number between -40 and 40")
    unit = Decimal(1).scaleb(-int(digits))
    return each(lambda item: (item / unit).to_integral_value(decimal.ROUND_HALF_UP) * unit, arguments[0])


def _log(arguments: Sequence[Value]) -> Value:
    if not 1 <= len(arguments) <= 2:
        raise ExpressionError("log takes a number and, if you like, a base")
    if len(arguments) == 1:
        return each(lambda item: item.ln(), arguments[0])
    base = arguments[1]
    if not isinstance(base, Decimal):
        raise ExpressionError("the base of log must be a number")
    return each(lambda item: item.log10() if base == 10 else item.ln() / base.ln(), arguments[0])


def _mean(values: list[Decimal]) -> Decimal:
    return sum(values, Decimal(0)) / len(values)


def _median(values: list[Decimal]) -> Decimal:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _variance(values: list[Decimal]) -> Decimal:
    """Of a sample: divided by one less than the count, as spreadsheets do."""
    middle = _mean(values)
    return sum(((value - middle) ** 2 for value in values), Decimal(0)) / (len(values) - 1)


_PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494")
_E = Decimal("2.71828182845904523536028747135266249775724709369995957496697")

FUNCTIONS: Mapping[str, Function] = {
    "sum": _over("sum", lambda values: sum(values, Decimal(0)), least=0),
    "mean": _over("mean", _mean),
    "average": _over("average", _mean),
    "avg": _over("avg", _mean),
    "min": _over("min", min),
    "max": _over("max", max),
    "median": _over("median", _median),
    "variance": _over("variance", _variance, least=2),
    "stdev": _over("stdev", lambda values: _variance(values).sqrt(), least=2),
    "count": _count,
    "round": _round,
    "log": _log,
    "abs": _of("abs", abs),
    "sqrt": _of("sqrt", lambda value: value.sqrt()),
    "exp": _of("exp", lambda value: value.exp()),
    "ln": _of("ln", lambda value: value.ln()),
    "log10": _of("log10", lambda value: value.log10()),
    "floor": _of("floor", lambda value: value.to_integral_value(decimal.ROUND_FLOOR)),
    "ceil": _of("ceil", lambda value: value.to_integral_value(decimal.ROUND_CEILING)),
    "sin": _of("sin", _float(math.sin)),
    "cos": _of("cos", _float(math.cos)),
    "tan": _of("tan", _float(math.tan)),
    "asin": _of("asin", _float(math.asin)),
    "acos": _of("acos", _float(math.acos)),
    "atan": _of("atan", _float(math.atan)),
}
"""What an expression may call, by name."""
