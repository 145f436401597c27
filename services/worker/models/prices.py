"""What models cost: a versioned table.

Owns the prices and the arithmetic. Prices are those of the provider's public price list on the day that the version
names; an installation with other terms replaces the table by a JSON file of the same shape.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from services.worker.core.entries import Usage

_DATED = re.compile(r"-\d{8}$|-latest$")


@dataclass(frozen=True, slots=True)
class Price:
    """Prices of a model in US dollars for a million tokens.

    Prompts with more than `threshold` tokens are priced by `above` instead, where there is such a step.
    """

    input: float
    output: float
    cache_read: float
    cache_write: float
    cache_write_1h: float
    threshold: int = 0
    above: Price | None = None

    def of(self, prompt_tokens: int) -> Price:
        """The prices for a prompt of that size."""
        return self.above if self.above is not None and prompt_tokens > self.threshold else self


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices by model, and the name of this edition of them."""

    version: str
    prices: Mapping[str, Price]

    def find(self, model: str) -> Price | None:
        """The price of a model by its name, with or without a date; None when it is not listed."""
        return self.prices.get(model) or self.prices.get(_DATED.sub("", model))


def cost_micros(price: Price, usage: Usage, *, one_hour_writes: int = 0) -> int:
    """Cost of a call in millionths of a US dollar, rounded up.

    The usage counts cached tokens among the input tokens; `one_hour_writes` are those of the cache writes that were
    made for an hour.
    """
    rate = price.of(usage.input_tokens)
    plain = usage.input_tokens - usage.cache_read_tokens - usage.cache_write_tokens
    # A dollar for a million tokens is one micro-dollar for a token; counted in thousandths to stay with whole numbers.
    thousandths = (
        plain * _thousandths(rate.input)
        + usage.cache_read_tokens * _thousandths(rate.cache_read)
        + (usage.cache_write_tokens - one_hour_writes) * _thousandths(rate.cache_write)
        + one_hour_writes * _thousandths(rate.cache_write_1h)
        + usage.output_tokens * _thousandths(rate.output)
    )
    return -(-thousandths // 1000)


def most_micros(price: Price, input_tokens: int, output_tokens: int) -> int:
    """The most that a call of that size can cost: all of its prompt written to the cache."""
    return cost_micros(price, Usage(input_tokens, output_tokens, cache_write_tokens=input_tokens))


def read_table(path: Path) -> PriceTable:
    """Read a table from JSON: `{"version": …, "prices": {"<model>": {"input": …, …}}}`. Raises ValueError."""
    try:
        table = orjson.loads(path.read_bytes())
        prices = {model: _price(row) for model, row in table["prices"].items()}
        return PriceTable(str(table["version"]), prices)
    except (KeyError, TypeError, AttributeError, orjson.JSONDecodeError) as error:
        raise ValueError(f"{path} is not a price table: {error}") from None


def _price(row: Mapping[str, object]) -> Price:
    above = row.get("above")
    numbers = {key: value for key, value in row.items() if key != "above"}
    if not all(isinstance(value, int | float) and value >= 0 for value in numbers.values()):
        raise TypeError("prices are numbers")
    return Price(**numbers, above=_price(above) if isinstance(above, dict) else None)  # type: ignore[arg-type]


def _thousandths(dollars: float) -> int:
    return round(dollars * 1000)


def _usual(input_: float, output: float, *, read: float = 0.1) -> Price:
    """The usual multipliers: writing to the cache costs 1.25 times the input, 2 times for an hour."""
    return Price(input_, output, round(input_ * read, 6), input_ * 1.25, input_ * 2)


_FABLE_5 = _usual(10, 50)
_OPUS_5 = _usual(5, 25)
_SONNET_4 = _usual(3, 15)

PRICES = PriceTable(
    "2026-11-20",
    {
        "claude-fable-5-2": _usual(8, 40, read=0.025),
        "claude-mythos-5-2": _usual(8, 40, read=0.025),
        "claude-fable-5-1": _usual(10, 50, read=0.025),
        "claude-mythos-5-1": _usual(10, 50, read=0.025),
        "claude-fable-5": _FABLE_5,
        "claude-mythos-5": _FABLE_5,
        "claude-opus-5-5": _usual(4, 20, read=0.05),
        "claude-opus-5": _OPUS_5,
        "claude-opus-4-8": _OPUS_5,
        "claude-opus-4-7": _OPUS_5,
        "claude-opus-4-6": _OPUS_5,
        "claude-opus-4-5": _OPUS_5,
        "claude-sonnet-5-5": _usual(2, 10, read=0.05),
        "claude-sonnet-5": _usual(2, 10),
        "claude-sonnet-4-6": _SONNET_4,
        "claude-sonnet-4-5": _SONNET_4,
        "claude-haiku-5-5": Price(
            0.1, 0.5, 0.01, 0.125, 0.2, threshold=100_000, above=Price(0.5, 2.5, 0.05, 0.625, 1.0)
        ),
        "claude-haiku-4-5": _usual(1, 5),
    },
)
"""Anthropic's list prices (platform.claude.com, "Pricing" and the models' overview pages).

The row of `claude-mythos-5-2` follows Fable 5.2, as Mythos followed Fable in every edition before it.
"""
