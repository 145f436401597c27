"""Pages of a list: sizes, and tokens that continue only the list they came from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinue_core.errors import RetinueError
from retinue_core.pages import page_key, page_size, page_token

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@pytest.mark.parametrize(("asked", "given"), [(0, 50), (1, 1), (1000, 1000), (1001, 1000), (2**31 - 1, 1000)])
def test_a_page_has_a_size_within_bounds(asked: int, given: int) -> None:
    assert page_size(asked) == given


def test_a_size_below_zero_is_refused() -> None:
    with pytest.raises(RetinueError) as refused:
        page_size(-1)
    assert refused.value.problems[0].field == "pageSize"


@given(st.lists(TEXTS, max_size=3), st.lists(TEXTS, max_size=3))
def test_a_token_gives_back_its_key_for_the_same_question(key: list[str], asked: list[str]) -> None:
    assert page_key(page_token(key, *asked), len(key), *asked) == tuple(key)


@given(TEXTS, st.lists(TEXTS, max_size=3), st.lists(TEXTS, max_size=3))
def test_a_token_leads_nowhere_for_another_question(key: str, asked: list[str], other: list[str]) -> None:
    if asked == other:
        return
    with pytest.raises(RetinueError) as refused:
        page_key(page_token([key], *asked), 1, *other)
    assert refused.value.code == "INVALID_PAGE_TOKEN"


@given(st.text(min_size=1))
def test_a_text_that_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(RetinueError) as refused:
        page_key(token, 1, "x")
    assert refused.value.code == "INVALID_PAGE_TOKEN"


def test_no_token_is_the_first_page() -> None:
    assert page_key("", 2, "x") is None
