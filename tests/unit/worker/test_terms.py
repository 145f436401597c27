"""The terms that a worker keeps to: its lease, its budget, and what may go into a journal."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retinue_core.clock import FixedClock
from services.worker import clean
from services.worker.budget import Budget, Missing
from services.worker.config import Settings
from services.worker.core.depth import MAX_DEPTH, deeper_than
from services.worker.core.entries import Usage
from services.worker.lease import Lease
from services.worker.models.contract import Bound


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(datetime(2026, 1, 1, tzinfo=UTC))


async def test_a_lease_lives_from_when_it_was_asked_for(clock: FixedClock) -> None:
    lease = Lease(clock)
    seen = [lease.held]
    clock.advance(2)
    lease.renew(5)  # the welcome; it was asked for when the lease was made
    clock.advance(2.9)
    seen.append(lease.held)
    clock.advance(0.1)
    seen.append(lease.held)
    assert seen == [False, True, False]


async def test_an_answer_renews_from_the_oldest_heartbeat_that_it_may_belong_to(clock: FixedClock) -> None:
    lease = Lease(clock)
    lease.renew(5)
    clock.advance(1)
    lease.beat()
    clock.advance(1)
    lease.beat()
    assert lease.silence == 1
    clock.advance(1)
    lease.renew(5)
    assert lease.silence == 0
    clock.advance(2.9)
    assert lease.held
    clock.advance(0.1)
    assert not lease.held


async def test_an_answer_that_nobody_asked_for_renews_nothing(clock: FixedClock) -> None:
    lease = Lease(clock)
    lease.renew(5)
    clock.advance(4)
    lease.renew(5)
    clock.advance(1)
    assert not lease.held


async def test_a_lease_ends_with_its_stream_and_lives_from_when_the_next_one_asked(clock: FixedClock) -> None:
    lease = Lease(clock)
    lease.renew(5)
    lease.beat()
    lease.end()
    seen = [lease.held]
    clock.advance(60)
    lease.ask()
    clock.advance(1)
    seen.append(lease.silence == 1)
    lease.renew(5)
    clock.advance(3.9)
    seen.append(lease.held)
    clock.advance(0.1)
    seen.append(lease.held)
    assert seen == [False, True, True, False]


async def test_an_answer_that_comes_too_late_is_no_renewal(clock: FixedClock) -> None:
    lease = Lease(clock)
    waiting = asyncio.create_task(lease.renewal())
    await asyncio.sleep(0)
    clock.advance(6)
    lease.renew(5)
    await asyncio.sleep(0)
    assert not waiting.done()
    lease.beat()
    lease.renew(5)
    await waiting


async def test_whoever_waits_for_a_renewal_is_told(clock: FixedClock) -> None:
    lease = Lease(clock)
    waiting = asyncio.create_task(lease.renewal())
    await asyncio.sleep(0)
    lease.renew(5)
    await waiting
    assert lease.held


@pytest.mark.parametrize(
    ("held", "bound", "missing"),
    [
        ((100, 100), Bound(100, 100), Missing(0, 0)),
        ((100, 100), Bound(101, 150), Missing(1, 50)),
        ((0, -1), Bound(10, 999), Missing(10, 0)),
        ((-1, 0), Bound(999, 3), Missing(0, 3)),
        ((-1, -1), Bound(999, 999), Missing(0, 0)),
    ],
)
def test_what_is_missing_for_a_call(held: tuple[int, int], bound: Bound, missing: Missing) -> None:
    budget = Budget(*held)
    assert budget.missing(bound) == missing
    assert budget.limited is (held != (-1, -1))
    budget.grant(missing.tokens, missing.cost_micros)
    assert not budget.missing(bound)


def test_what_was_used_is_gone() -> None:
    budget = Budget(100, 100)
    budget.spend(Usage(input_tokens=50, output_tokens=60, cost_micros=30))
    assert budget.missing(Bound(0, 80)) == Missing(10, 10)


def test_a_limit_can_be_lifted() -> None:
    budget = Budget(10, 10)
    budget.grant(-1, -1)
    assert not budget.missing(Bound(10**9, 10**9))
    assert not budget.limited


@pytest.mark.parametrize(
    ("said", "cleaned"),
    [("plain", "plain"), ("grüße 🙂", "grüße 🙂"), ("a\x00b", "a\ufffdb"), ("a\ud800b", "a\ufffdb"), ("", "")],
)
def test_text_is_cleaned(said: str, cleaned: str) -> None:
    assert clean.text(said) == cleaned


@pytest.mark.parametrize(
    ("said", "cleaned"),
    [
        ('{"a": 1}', '{"a": 1}'),
        ('{"a": "\\u0000"}', '{"a":"\ufffd"}'),
        ('{"a": "\\u00e9"}', '{"a": "\\u00e9"}'),
        ('{"a": "\\ud83d\\ude42"}', '{"a":"🙂"}'),
        ("not \\u0000 json", "not \\ufffd json"),
    ],
)
def test_json_text_is_cleaned(said: str, cleaned: str) -> None:
    assert clean.json_text(said) == cleaned


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (Decimal("0.1000"), "0.1000"),
        (Decimal("1E-30"), "1E-30"),
        ({"a": [Decimal(12345678901234567890123)]}, '{"a":[12345678901234567890123]}'),
        ({"a\x00": ["\x00", {"b": "\ud800"}]}, '{"a\ufffd":["\ufffd",{"b":"\ufffd"}]}'),
        ({1: None}, '{"1":null}'),
        (float("nan"), "null"),
    ],
)
def test_values_become_clean_json(value: Any, encoded: str) -> None:
    assert clean.dumps(value) == encoded
    orjson.loads(encoded)


@pytest.mark.parametrize("value", [object(), {"a": {1, 2}}, 2**70])
def test_what_json_cannot_say_is_an_error(value: Any) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        clean.dumps(value)


@settings(deadline=None)
@given(st.recursive(st.none() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=2), max_leaves=30))
def test_depth_is_counted_in_levels(value: Any) -> None:
    depth = _depth(value)
    assert deeper_than(depth, value) is False
    assert depth == 0 or deeper_than(depth - 1, value) is True


@pytest.mark.parametrize(("levels", "deep"), [(1, False), (MAX_DEPTH, False), (MAX_DEPTH + 1, True), (200, True)])
def test_json_text_may_be_nested_so_far(levels: int, deep: bool) -> None:
    assert clean.too_deep("[" * levels + "]" * levels) is deep
    assert clean.too_deep('{"a":' * levels + "1" + "}" * levels) is deep


def _depth(value: Any) -> int:
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


def test_a_worker_without_a_name_is_named_after_its_process() -> None:
    fields: Any = {"identity_jwks": None, "identity_key": None, "access_address": "a:1", "execution_address": "e:1"}
    assert Settings(**fields, name="w").unique_name() == "w"
    assert Settings(**fields).unique_name() != ""
