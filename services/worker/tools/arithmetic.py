"""Reading and computing arithmetic expressions: a Pratt parser over decimals, without `eval`.

Owns the grammar and the operators; names and functions come from outside. Everything is bounded: the length of an
expression, its depth, the digits of a number and its exponent.
"""

from __future__ import annotations

import decimal
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

MAX_LENGTH = 4096
MAX_DEPTH = 64
MAX_ITEMS = 100_000
MAX_WORK = 500_000

Value = Decimal | Sequence[Any] | Mapping[str, Any] | None
"""A number, a list (of numbers, gaps, or rows), or a row."""

Function = Callable[[Sequence[Value]], Value]

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[^\W\d]\w*)|(?P<sign>\*\*|//|[-+*/%^(),.\[\]]))"
)
_BINDING = {"+": 10, "-": 10, "*": 20, "/": 20, "//": 20, "%": 20, "**": 40, "^": 40, ".": 50, "[": 50}
_UNARY = 30
_COSTLY = frozenset({"exp", "ln", "log", "log10", "**", "^"})  # about a hundred times an addition
_CONTEXT = decimal.Context(
    prec=60,
    Emax=999,
    Emin=-999,
    traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow],
)


class ExpressionError(ValueError):
    """An expression that cannot be read or computed, said in words for whoever wrote it."""


def evaluate(expression: str, names: Mapping[str, Value], functions: Mapping[str, Function]) -> Value:
    """Compute an expression. Numbers have up to 60 significant digits and exponents up to 999."""
    if len(expression) > MAX_LENGTH:
        raise ExpressionError(f"the expression is longer than {MAX_LENGTH} characters")
    with decimal.localcontext(_CONTEXT):
        try:
            return _Parser(_tokens(expression), names, functions).whole()
        except decimal.DivisionByZero:
            raise ExpressionError("division by zero") from None
        except decimal.Overflow:
            raise ExpressionError("the number is too large: exponents end at 999") from None
        except decimal.InvalidOperation:
            raise ExpressionError("the operation is not defined for these numbers") from None


def each(operation: Callable[[Decimal], Decimal], value: Value) -> Value:
    """Apply to a number, or to every number of a list; gaps stay gaps."""
    if value is None or isinstance(value, Decimal):
        return None if value is None else operation(value)
    return [each(operation, item) for item in as_list(value)]


def as_list(value: Value) -> Sequence[Any]:
    """The value as a list; a number is a list of one."""
    if isinstance(value, Mapping):
        raise ExpressionError("a row is not a number: name one of its columns")
    if value is None or isinstance(value, Decimal):
        return [value]
    return value


def number(value: Any, where: str) -> Decimal | None:
    """Read a JSON value as a number; None for null and the empty text. Raises ExpressionError."""
    if value is None or isinstance(value, Decimal):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return Decimal(repr(value))
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return None
        try:
            read = _CONTEXT.create_decimal(text)
        except (decimal.InvalidOperation, decimal.Overflow):
            raise ExpressionError(f"{where} is {value[:40]!r}, which is not a number in range") from None
        if read.is_finite():
            return read
    raise ExpressionError(f"{where} is not a number")


def _tokens(expression: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    end = len(expression.rstrip())
    position = 0
    while position < end:
        match = _TOKEN.match(expression, position)
        if match is None:
            raise ExpressionError(f"cannot read {expression[position : position + 20].strip()!r}")
        kind = match.lastgroup or ""
        tokens.append((kind, match.group(kind)))
        position = match.end()
    tokens.append(("end", ""))
    return tokens


class _Parser:
    """Computes while it reads: precedence climbing over binding powers."""

    def __init__(
        self, tokens: list[tuple[str, str]], names: Mapping[str, Value], functions: Mapping[str, Function]
    ) -> None:
        self._tokens = tokens
        self._names = names
        self._functions = functions
        self._at = 0
        self._depth = 0
        self._work = 0

    def whole(self) -> Value:
        value = self._expression(0)
        if self._tokens[self._at][0] != "end":
            raise ExpressionError(f"did not expect {self._tokens[self._at][1]!r}")
        return value

    def _next(self) -> tuple[str, str]:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _accept(self, sign: str) -> bool:
        if self._tokens[self._at] == ("sign", sign):
            self._at += 1
            return True
        return False

    def _expect(self, sign: str) -> None:
        if not self._accept(sign):
            raise ExpressionError(f"expected {sign!r} before {self._tokens[self._at][1] or 'the end'!r}")

    def _expression(self, power: int) -> Value:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ExpressionError(f"the expression is nested deeper than {MAX_DEPTH} levels")
        left = self._prefix()
        while True:
            kind, sign = self._tokens[self._at]
            binding = _BINDING.get(sign, 0) if kind == "sign" else 0
            if binding <= power:
                break
            self._at += 1
            left = self._infix(left, sign, binding)
        self._depth -= 1
        return left

    def _prefix(self) -> Value:
        kind, text = self._next()
        if kind == "number":
            return _CONTEXT.create_decimal(text)
        if kind == "name":
            return self._name(text)
        if text == "(":
            value = self._expression(0)
            self._expect(")")
            return value
        if text == "[":
            return self._arguments("]")
        if text in ("-", "+"):
            value = self._expression(_UNARY)
            return each(lambda item: -item, value) if text == "-" else value
        raise ExpressionError(f"did not expect {text or 'the end'!r}")

    def _name(self, name: str) -> Value:
        if self._accept("("):
            function = self._functions.get(name.lower())
            if function is None:
                raise ExpressionError(f"there is no function {name!r}; there are {', '.join(sorted(self._functions))}")
            arguments = self._arguments(")")
            self._spend(name.lower(), arguments)
            return function(arguments)
        if name in self._names:
            return self._names[name]
        raise ExpressionError(f"there is no variable {name!r}; there are {', '.join(sorted(self._names)) or 'none'}")

    def _arguments(self, closing: str) -> list[Value]:
        values: list[Value] = []
        if self._accept(closing):
            return values
        while True:
            values.append(self._expression(0))
            if self._accept(closing):
                return values
            self._expect(",")

    def _infix(self, left: Value, sign: str, binding: int) -> Value:
        if sign == ".":
            kind, name = self._next()
            if kind != "name":
                raise ExpressionError("expected the name of a column after '.'")
            return column(left, name)
        if sign == "[":
            value = _item(left, self._expression(0))
            self._expect("]")
            return value
        right = self._expression(binding - 1 if sign in ("**", "^") else binding)
        self._spend(sign, (left, right))
        return _pairwise(_OPERATIONS[sign], left, right)

    def _spend(self, operation: str, values: Sequence[Value]) -> None:
        items = sum(len(value) if isinstance(value, Sequence) else 1 for value in values)
        self._work += items * (100 if operation in _COSTLY else 1)
        if self._work > MAX_WORK:
            raise ExpressionError("this is more work than one calculation may be: compute it in parts")


def column(value: Value, name: str) -> Value:
    """A member of a row, or that member of every row of a list."""
    if isinstance(value, Mapping):
        if name not in value:
            raise ExpressionError(f"there is no column {name!r}; there are {', '.join(map(str, value))}")
        member = value[name]
        return member if isinstance(member, (list, dict)) else number(member, name)
    if isinstance(value, Sequence):
        if any(not isinstance(row, Mapping) for row in value):
            raise ExpressionError(f"{name!r} is asked of something that has no columns")
        if value and all(name not in row for row in value):
            raise ExpressionError(f"there is no column {name!r}; there are {', '.join(map(str, value[0]))}")
        return [number(row.get(name), f"{name}[{index}]") for index, row in enumerate(value)]
    raise ExpressionError(f"{name!r} is asked of something that has no columns")


def _item(value: Value, index: Value) -> Value:
    if not isinstance(index, Decimal) or index != int(index):
        raise ExpressionError("an index must be a whole number")
    if not isinstance(value, Sequence) or not -len(value) <= index < len(value):
        raise ExpressionError(f"there is no item {index}")
    item: Value = value[int(index)]
    return item


def _pairwise(operation: Callable[[Decimal, Decimal], Decimal], left: Value, right: Value) -> Value:
    if isinstance(left, Decimal) and isinstance(right, Decimal):
        return operation(left, right)
    if left is None or right is None:
        return None
    one, other = list(as_list(left)), list(as_list(right))
    if isinstance(left, Decimal):
        one *= len(other)
    elif isinstance(right, Decimal):
        other *= len(one)
    if len(one) != len(other):
        raise ExpressionError(f"lists of {len(one)} and {len(other)} items do not go together")
    return [_pairwise(operation, a, b) for a, b in zip(one, other, strict=True)]


def _floor_divide(a: Decimal, b: Decimal) -> Decimal:
    return (a / b).to_integral_value(decimal.ROUND_FLOOR)


def _modulo(a: Decimal, b: Decimal) -> Decimal:
    rest = a % b
    return rest + b if rest and (rest < 0) != (b < 0) else rest


def _power(a: Decimal, b: Decimal) -> Decimal:
    return Decimal(1) if b == 0 else a**b


_OPERATIONS: Mapping[str, Callable[[Decimal, Decimal], Decimal]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": _floor_divide,
    "%": _modulo,
    "**": _power,
    "^": _power,
}
