"""Names, prices and pauses of models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from services.worker.core.entries import Usage
from services.worker.models.anthropic import Anthropic, Claude
from services.worker.models.asking import pause_after
from services.worker.models.contract import ModelError
from services.worker.models.failures import model_error
from services.worker.models.prices import PRICES, Price, cost_micros, most_micros, read_table
from services.worker.models.router import TIERS, Router
from services.worker.models.scripted import Scripted

ROUTER = Router(Anthropic("key"))


@pytest.mark.parametrize("name", ["scripted", "scripted/anything"])
def test_scripted_needs_no_key(name: str) -> None:
    assert isinstance(Router(None).find(name), Scripted)


@pytest.mark.parametrize(
    "name",
    [
        "claude-sonnet-5-5",
        "anthropic/claude-sonnet-5-5",
        "anthropic/claude-sonnet-5.5",
        "claude-haiku-4-5-20251001",
        "claude-opus-4-6-latest",
        "fast",
        "balanced",
        "powerful",
    ],
)
def test_claude_models_and_tiers_go_to_anthropic(name: str) -> None:
    assert isinstance(ROUTER.find(name), Claude)


@pytest.mark.parametrize(
    ("router", "name", "says"),
    [
        (Router(None), "claude-sonnet-5-5", "ANTHROPIC_API_KEY"),
        (Router(None), "balanced", "ANTHROPIC_API_KEY"),
        (ROUTER, "gpt-9", "claude-sonnet-5-5"),
        (ROUTER, "openrouter/x", "scripted"),
        (ROUTER, "claude-sonnet-99", "RETINUE_PRICES"),
        (Router(None, tiers={"balanced": "llama"}), "balanced", "llama"),
    ],
)
def test_a_model_that_nobody_answers_for_says_what_to_do(router: Router, name: str, says: str) -> None:
    with pytest.raises(ModelError, match=says) as failed:
        router.find(name)
    assert failed.value.failure.code == "MODEL_NOT_AVAILABLE"


def test_every_tier_has_a_price() -> None:
    assert all(PRICES.find(model) for model in TIERS.values())


@pytest.mark.parametrize(
    ("model", "usage", "micros"),
    [
        ("claude-opus-5-5", Usage(1_000_000, 0), 4_000_000),
        ("claude-opus-5-5", Usage(0, 1_000_000), 20_000_000),
        ("claude-opus-5-5", Usage(1_000_000, 0, cache_read_tokens=1_000_000), 200_000),
        ("claude-opus-5-5", Usage(1_000_000, 0, cache_write_tokens=1_000_000), 5_000_000),
        ("claude-haiku-5-5", Usage(100_000, 0), 10_000),
        ("claude-haiku-5-5", Usage(100_001, 0), 50_001),
        ("claude-haiku-5-5", Usage(1, 0), 1),
        ("claude-haiku-5-5", Usage(0, 0), 0),
    ],
)
def test_what_a_call_costs(model: str, usage: Usage, micros: int) -> None:
    price = PRICES.find(model)
    assert price is not None
    assert cost_micros(price, usage) == micros


def test_writes_for_an_hour_cost_more() -> None:
    price = Price(2, 10, 0.2, 2.5, 4)
    assert cost_micros(price, Usage(1000, 0, cache_write_tokens=1000), one_hour_writes=400) == 600 * 2.5 + 400 * 4


@pytest.mark.parametrize("model", PRICES.prices)
def test_no_mix_of_cached_tokens_costs_more_than_the_bound(model: str) -> None:
    price = PRICES.prices[model]
    for reads, writes in ((0, 0), (5000, 0), (0, 5000), (2000, 3000)):
        usage = Usage(5000, 100, cache_read_tokens=reads, cache_write_tokens=writes)
        assert cost_micros(price, usage) <= most_micros(price, 5000, 100)


def test_a_price_table_can_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    row = {"input": 1, "output": 2, "cache_read": 0.1, "cache_write": 1.25, "cache_write_1h": 2}
    table = {"version": "mine", "prices": {"claude-x": {**row, "threshold": 10, "above": row}}}
    path.write_bytes(orjson.dumps(table))
    read = read_table(path)
    assert read.version == "mine"
    assert read.find("claude-x") == Price(1, 2, 0.1, 1.25, 2, 10, Price(1, 2, 0.1, 1.25, 2))


@pytest.mark.parametrize(
    "table", [[], {}, {"version": "1", "prices": {"m": {"input": "x"}}}, {"version": "1", "prices": {"m": {"in": 1}}}]
)
def test_a_price_table_that_is_none_is_refused(tmp_path: Path, table: Any) -> None:
    path = tmp_path / "prices.json"
    path.write_bytes(orjson.dumps(table))
    with pytest.raises(ValueError, match="not a price table"):
        read_table(path)


def test_pauses_double_with_full_jitter_and_end() -> None:
    assert [pause_after(attempt, None, 1.0) for attempt in (1, 2, 3, 4)] == [0.5, 1.0, 2.0, 4.0]
    assert pause_after(30, None, 1.0) == 20.0
    assert pause_after(3, None, 0.0) == 0.0


def test_a_pause_that_was_asked_for_is_never_shortened() -> None:
    assert pause_after(1, 5.0, 0.0) == 5.0
    assert 5.0 < pause_after(1, 5.0, 1.0) <= 6.0


@pytest.mark.parametrize(("status", "transient"), [(418, False), (507, True), (0, True), (200, True), (599, True)])
def test_a_status_that_is_not_in_the_table_goes_by_its_class(status: int, transient: bool) -> None:
    assert model_error(status=status).failure.retryable is transient


def test_what_a_provider_says_is_cut_and_kept_to_one_line() -> None:
    message = model_error(status=400, message="a\nb" + "c" * 9000).failure.message
    assert "\n" not in message
    assert len(message) < 700
