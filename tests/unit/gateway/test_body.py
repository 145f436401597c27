"""The door: what is JSON goes in, everything else is refused with its place."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from retinue_core.errors import RetinueError
from services.gateway.transcode.body import parse


def refused(body: bytes) -> RetinueError:
    with pytest.raises(RetinueError) as caught:
        parse(body)
    return caught.value


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"a":[1,-2.5e3,true,null,"\\ud83d\\ude00"]}',
        b'{"a":{"k":1},"b":{"k":2}}',
        b'{"text":"a:b: \\u003a c"}',
        b'{"\\u003a":1}',
        b'{"a":"\\\\u0000"}',
        b"[" * 45 + b"]" * 45,
        b'{"a":' * 30 + b"1" + b"}" * 30,
        b"[" + b"{}," * 5000 + b"{}]",
    ],
)
def test_takes_json(body: bytes) -> None:
    assert parse(body) == json.loads(body)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b"", "line 1 column 1"),
        (b"{", "line 1"),
        (b'{"a":1,}', "line 1 column 7"),
        (b'{\n "a": tru}', "line 2 column 7"),
        (b"{'a':1}", "line 1 column 2"),
        (b'{"a":1} x', "line 1 column 9"),
        (b'{"a":"\x00"}', "line 1 column 7"),
        (b'{"a":"\xff"}', "line 1"),
        (b"\xef\xbb\xbf{}", "line 1"),
        (b'{"a":"\xed\xa0\x80"}', "line 1"),
        (b'{"a":1.}', "line 1"),
    ],
)
def test_says_where_a_body_stops_being_json(body: bytes, place: str) -> None:
    error = refused(body)
    assert error.code == "INVALID_JSON"
    assert place in error.message


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b'{"a":{"b":["x","y\\u0000"]}}', ["a.b[1]"]),
        (b'{"a\\u0000":1}', ["a\\u0000"]),
        (b'{"a":"\\ud800"}', ["a"]),
        (b'{"a":["\\udc00\\ud800"]}', ["a[0]"]),
        (b'{"\\ud800":1}', ["\\ud800"]),
        (b'{"a":NaN,"b":[Infinity,-Infinity]}', ["a", "b[0]", "b[1]"]),
        (b'{"a":1e999}', ["a"]),
        (b'{"a":1,"a":2}', ["a"]),
        (b'{"o":{"k":1,"b":[{"x":1,"x":1}],"k":2}}', ["o.k", "o.b[0].x"]),
        (b'{"a":1,"a":"\\u003a"}', ["a"]),
        (b'{"a":1,"a":"\\u003A"}', ["a"]),
        (b'{"a":1,"\\u0061":":"}', ["a"]),
    ],
)
def test_names_the_fields_that_hold_what_nothing_behind_can(body: bytes, fields: list[str]) -> None:
    error = refused(body)
    assert error.code == "INVALID_ARGUMENT"
    assert [problem.field for problem in error.problems] == fields
    orjson.dumps([problem.field for problem in error.problems])


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b'{"a":' * 31 + b"1" + b"}" * 31, ".".join(["a"] * 30)),
        (b"[" * 46 + b"]" * 46, "[0]" * 45),
        (b'{"x":1,"deep":' + b"[" * 65 + b"]" * 65 + b"}", "deep" + "[0]" * 43),
        (b'{"n":NaN,"deep":' + b"[" * 65 + b"]" * 65 + b"}", "deep" + "[0]" * 43),
        (b"[" * 5000 + b"]" * 5000, ""),
        (b"[" * 900 + b"]" * 900, "[0]" * 45),
    ],
)
def test_refuses_deep_nesting(body: bytes, path: str) -> None:
    error = refused(body)
    assert error.code == "BODY_TOO_DEEP"
    assert [problem.field for problem in error.problems] == [path]


def test_names_at_most_fifty_problems() -> None:
    assert len(refused(b"[" + b'"\\u0000",' * 1000 + b"1]").problems) == 50


_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(st.sampled_from('a:"\\{}[],é'), max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.sampled_from('a:"\\'), max_size=3), inner),
    max_leaves=10,
)


@settings(max_examples=200, deadline=None)
@given(_JSON, st.booleans())
def test_never_mistakes_colons_in_strings_for_keys(value: Any, ascii_only: bool) -> None:
    assert parse(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40) | st.text(st.sampled_from('{}[]:,"a0\\u'), max_size=20).map(str.encode))
def test_never_fails_in_another_way(body: bytes) -> None:
    try:
        assert parse(body) == json.loads(body)
    except RetinueError as error:
        event(error.code)
