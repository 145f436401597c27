"""The filter of a list: what it means, and at which character it stops making sense."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinue_core.errors import RetinueError
from retinue_core.filters import Condition
from services.agent.domain.filters import parse_agent_filter as parse_filter
from services.agent.domain.filters import search_words

VALUES = st.text(st.characters(exclude_categories=["Cc", "Cs"]))
PLAIN = st.sampled_from(["name", "department", "project", "model", "tag"])


def quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(st.lists(st.tuples(PLAIN, VALUES), max_size=20), st.sampled_from([" AND ", " and ", "  And\t"]))
def test_what_is_written_is_what_is_read(written: list[tuple[str, str]], joint: str) -> None:
    text = joint.join(f"{field} = {quoted(value)}" for field, value in written)
    if len(text) <= 2_000:
        assert parse_filter(text) == tuple(Condition(field, value) for field, value in written)


def outcome(text: str) -> tuple[Condition, ...] | RetinueError:
    try:
        return parse_filter(text)
    except RetinueError as error:
        return error


@given(st.text() | st.text('abc=:"\\ AND nametagctive.', max_size=40))
def test_any_text_is_read_or_refused_with_a_position(text: str) -> None:
    found = outcome(text)
    if isinstance(found, RetinueError):
        assert (found.code, found.problems[0].field) == ("INVALID_FILTER", "filter")
        assert found.problems[0].message.startswith("at character ")
    else:
        assert bool(found) == bool(text.strip(" \t"))


@pytest.mark.parametrize(
    ("text", "position", "reason"),
    [
        ("colour=red", 1, "not a field"),
        ("departmnt=x", 1, "Did you mean 'department'"),
        ("=x", 1, "a field is expected"),
        ("name", 5, "`=` is expected"),
        ("name=", 6, "a value is expected"),
        ("name~x", 5, "`=` is expected"),
        ("department:x", 11, "not searched with `:`"),
        ("name=a b=c", 8, "`AND` is expected"),
        ("name=a AND", 11, "a field is expected"),
        ("name=a AND AND", 12, "not a field"),
        ("name=a OR name=b", 8, "`AND` is expected"),
        ('name="open', 6, "a value is expected"),
        ('name="a\\n"', 6, "a value is expected"),
        ("active=yes", 8, "true or false"),
        ("visibility=SECRET", 12, "one of PRIVATE"),
        ("name:---", 6, "no word"),
        ("name=a\x00", 6, "control characters"),
        (" AND ".join(["tag=a"] * 21), 201, "more than 20"),
        ("name=" + "x" * 2_000, 2_001, "longer than"),
    ],
)
def test_what_is_wrong_is_said_with_its_position(text: str, position: int, reason: str) -> None:
    with pytest.raises(RetinueError) as refused:
        parse_filter(text)
    assert refused.value.problems[0].message.startswith(f"at character {position}: ")
    assert reason in refused.value.problems[0].message


def test_words_of_a_search_are_those_of_names() -> None:
    assert search_words("CSV-Reader_v2 (neu)") == ("csv", "reader", "v2", "neu")
