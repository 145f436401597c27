"""The grammar of filters: what it reads, and where it says that it cannot."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinue_core.errors import Kind, RetinueError
from retinue_core.filters import LONGEST_FILTER, MOST_CONDITIONS, Condition, one_of, parse_filter, text_value

FIELDS = {"status": one_of("ACTIVE", "INACTIVE"), "owner_id": text_value, "name": text_value}
SEARCHABLE = {"name": text_value}
READABLE = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=30)


def read(text: str) -> tuple[Condition, ...]:
    return parse_filter(text, FIELDS, SEARCHABLE)


def refusal(text: str) -> tuple[int, str]:
    """Where and why a filter is refused."""
    with pytest.raises(RetinueError) as refused:
        read(text)
    assert (refused.value.kind, refused.value.code) == (Kind.INVALID_ARGUMENT, "INVALID_FILTER")
    (problem,) = refused.value.problems
    assert problem.field == "filter"
    found = re.fullmatch(r"at character (\d+): (.*)", problem.message)
    assert found is not None
    return int(found[1]), found[2]


READ: list[tuple[str, tuple[Condition, ...]]] = [
    ("", ()),
    (" \t ", ()),
    ("owner_id=ada", (Condition("owner_id", "ada"),)),
    ("  owner_id \t=  ada  ", (Condition("owner_id", "ada"),)),
    ('owner_id="ada lovelace"', (Condition("owner_id", "ada lovelace"),)),
    (r'owner_id="a \"b\" \\ c"', (Condition("owner_id", r'a "b" \ c'),)),
    ('owner_id=""', (Condition("owner_id", ""),)),
    ("status=active", (Condition("status", "ACTIVE"),)),
    ("name:echo", (Condition("name", "echo", search=True),)),
    ("name=a AND name:b", (Condition("name", "a"), Condition("name", "b", search=True))),
    ("name=a and\tstatus=ACTIVE", (Condition("name", "a"), Condition("status", "ACTIVE"))),
    ('name="x"AND name=y', (Condition("name", "x"), Condition("name", "y"))),
    ("name=AND AND name=b", (Condition("name", "AND"), Condition("name", "b"))),
]


@pytest.mark.parametrize(("text", "conditions"), READ)
def test_a_filter_is_read(text: str, conditions: tuple[Condition, ...]) -> None:
    assert read(text) == conditions


REFUSED: list[tuple[str, int, str]] = [
    ("=", 1, "field"),
    ("name", 5, "`=`"),
    ("name=", 6, "value"),
    ("name==a", 6, "value"),
    ("name>3", 5, "`=`"),
    ("nam=a", 1, "Did you mean 'name'?"),
    ("colour=a", 1, "name, owner_id, status"),
    ("owner_id:ada", 9, "searched"),
    ("status=OLD", 8, "ACTIVE, INACTIVE"),
    ("name=a b", 8, "`AND`"),
    ("name=a AND", 11, "field"),
    ("name=a AND ", 12, "field"),
    ("AND name=a", 1, "'AND' is not a field"),
    ("name=a OR name=b", 8, "`AND`"),
    ("(name=a)", 1, "field"),
    ("name=(a)", 6, "value"),
    ('name="a', 6, "value"),
    (r'name="a\n"', 6, "value"),
    ('name="a\n"', 6, "control"),
    ("name=a\x00", 6, "control"),
    ('name="\x7f"', 6, "control"),
    ("name=x\ny", 7, "`AND`"),
    ("é=1", 1, "field"),
]


@pytest.mark.parametrize(("text", "at", "reason"), REFUSED)
def test_a_filter_that_cannot_be_read_is_refused_with_the_place(text: str, at: int, reason: str) -> None:
    found = refusal(text)
    assert found[0] == at
    assert reason in found[1]


def test_a_field_that_can_only_be_searched_is_not_compared() -> None:
    with pytest.raises(RetinueError, match="cannot be read"):
        parse_filter("name=a", {}, SEARCHABLE)
    assert parse_filter("name:a", {}, SEARCHABLE) == (Condition("name", "a", search=True),)


def test_filters_are_bounded() -> None:
    most = " AND ".join(["name=a"] * MOST_CONDITIONS)
    assert len(read(most)) == MOST_CONDITIONS
    assert str(MOST_CONDITIONS) in refusal(f"{most} AND name=a")[1]
    longest = "name=".ljust(LONGEST_FILTER, "a")
    assert len(read(longest)) == 1
    assert str(LONGEST_FILTER) in refusal(longest + "a")[1]


@given(st.lists(st.tuples(st.sampled_from(["owner_id", "name"]), READABLE, st.booleans()), max_size=MOST_CONDITIONS))
def test_any_text_in_quotes_is_read_as_it_is(wanted: list[tuple[str, str, bool]]) -> None:
    conditions = [Condition(field, value, search and field == "name") for field, value, search in wanted]
    text = " AND ".join(
        condition.field
        + (":" if condition.search else "=")
        + '"'
        + condition.value.replace("\\", "\\\\").replace('"', '\\"')
        + '"'
        for condition in conditions
    )
    if len(text) <= LONGEST_FILTER:
        assert read(text) == tuple(conditions)


@given(st.text() | st.text('name=: "\\ANDstu', max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        conditions = read(text)
    except RetinueError as error:
        at = int(error.problems[0].message.split()[2].rstrip(":"))
        assert 1 <= at <= len(text) + 1
    else:
        assert all(condition.field in FIELDS for condition in conditions)
