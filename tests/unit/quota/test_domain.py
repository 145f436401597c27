"""What a batch holds, what a quota may say, and what adds up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from retinue_core.errors import RetinueError
from services.quota import domain
from services.quota.domain import Quota, Settlement, Use

HOME = "01990000-0000-7000-8000-000000000000"
BILL = Settlement(HOME, "r", 1, 2, 3, 4, 5, 6, "completed", "", "", "", "", ())


def test_of_what_a_batch_repeats_the_first_counts() -> None:
    batch = [replace(BILL, input_tokens=1), replace(BILL, reservation_id="s"), replace(BILL, input_tokens=9)]
    assert domain.checked(batch, "settlements") == batch[:2]


def test_a_batch_may_hold_a_thousand() -> None:
    batch = [replace(BILL, reservation_id=str(number)) for number in range(1_001)]
    assert len(domain.checked(batch[:1_000], "settlements")) == 1_000
    with pytest.raises(RetinueError):
        domain.checked(batch, "settlements")


def test_an_unknown_plan_is_held_to_the_default_one() -> None:
    assert [domain.plan_or_default(plan) for plan in ("local", "standard", "gold", "")] == [
        "local",
        "standard",
        "standard",
        "standard",
    ]


def test_entries_add_up() -> None:
    entries = [Use("a", 1, 2, 3, 4, 5, 6, 7), Use("b", 10, 20, 30, 40, 50, 60, 70)]
    assert domain.total(entries) == Use("", 11, 22, 33, 44, 55, 66, 77)
    assert domain.total([]) == Use()


@pytest.mark.parametrize("limit", [0, domain.LARGEST])
def test_a_limit_may_be_from_zero_to_the_largest(limit: int) -> None:
    domain.check_quota(Quota("USER", "", "TOKENS", "DAY", limit), limit_given=True)


def test_all_problems_of_a_quota_are_named_at_once() -> None:
    with pytest.raises(RetinueError) as caught:
        domain.check_quota(Quota("", "x", "REQUESTS", "DAY", 0), limit_given=False)
    assert [problem.field for problem in caught.value.problems] == ["level", "metric", "limit"]
