"""Free JSON goes into protobuf and comes back as `json_format` would have it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from hypothesis import given
from hypothesis import strategies as st

from retinue_core.errors import Kind, RetinueError
from retinue_core.values import from_python, struct_to_python, to_python, to_struct

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=20,
)
OBJECTS = st.dictionaries(TEXT, JSON, max_size=5)


def same(found: Any, wanted: Any) -> bool:
    """Compare like JSON: a truth value is no number."""
    return json.dumps(found, sort_keys=True) == json.dumps(normal(wanted), sort_keys=True)


def normal(found: Any) -> Any:
    """A number without a fraction as JSON text would have it, up to where a double is exact."""
    if isinstance(found, float) and found.is_integer() and abs(found) <= 2**53:
        return int(found)
    if isinstance(found, dict):
        return {key: normal(item) for key, item in found.items()}
    if isinstance(found, list):
        return [normal(item) for item in found]
    return found


@given(JSON)
def test_what_goes_in_comes_back(found: Any) -> None:
    assert same(to_python(from_python(found)), found)


@given(JSON)
def test_a_value_is_the_one_that_json_format_makes(found: Any) -> None:
    assert from_python(found) == json_format.ParseDict(found, Value())


@given(JSON)
def test_a_value_is_read_as_json_format_reads_it(found: Any) -> None:
    value = json_format.Parse(json.dumps(found), Value())
    assert same(to_python(value), json_format.MessageToDict(value))


@given(OBJECTS)
def test_a_struct_is_the_one_that_json_format_makes_and_reads(found: dict[str, Any]) -> None:
    struct = to_struct(found)
    assert struct == json_format.ParseDict(found, Struct())
    assert same(struct_to_python(struct), json_format.MessageToDict(struct))


@given(JSON)
def test_a_value_survives_the_wire(found: Any) -> None:
    data = from_python(found).SerializeToString()
    assert same(to_python(Value.FromString(data)), found)


def test_empty_things_are_kept_apart() -> None:
    empty: tuple[Any, ...] = ({}, [], None, False, 0, "")
    for found in empty:
        value = from_python(found)
        assert value.WhichOneof("kind") is not None
        assert same(to_python(value), found)
    assert to_python(Value()) is None
    assert to_python(Value(list_value=ListValue())) == []


@pytest.mark.parametrize(("number", "kind"), [(1.0, int), (-(2.0**53), int), (2.0**53 + 2, float), (1e300, float)])
def test_a_number_is_an_int_where_that_is_exact(number: float, kind: type) -> None:
    found = to_python(Value(number_value=number))
    assert found == number
    assert type(found) is kind


def test_a_tuple_is_a_list() -> None:
    assert to_python(from_python((1, ("a",)))) == [1, ["a"]]


def deep(levels: int) -> Any:
    found: Any = 1
    for _ in range(levels):
        found = [found]
    return found


UNFIT = [
    math.nan,
    math.inf,
    -math.inf,
    10**400,
    "\ud800",
    object(),
    {1: "a"},
    {"\ud800": 1},
    [{"a": math.nan}],
    deep(9_000),
]


@pytest.mark.parametrize("found", UNFIT, ids=[str(number) for number in range(len(UNFIT))])
def test_what_is_not_json_is_refused_with_a_typed_error(found: Any) -> None:
    with pytest.raises(RetinueError) as refused:
        from_python(found)
    assert (refused.value.kind, refused.value.code) == (Kind.INVALID_ARGUMENT, "INVALID_JSON")
    with pytest.raises(RetinueError):
        to_struct({"a": found})
