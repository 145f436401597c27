"""Whether a schema still accepts what it accepted, and still promises what it promised."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.version.domain.compare import judged
from services.version.domain.numbers import Bump
from services.version.domain.schemas import losses, refusals

Json = dict[str, Any]
TEXT, NUMBER, WHOLE = {"type": "string"}, {"type": "number"}, {"type": "integer"}
NULLABLE = {"anyOf": [TEXT, {"type": "null"}]}


def of(required: tuple[str, ...] = (), **properties: Any) -> Json:
    return {"type": "object", "properties": properties, "required": [*required]}


def tree(**more: Any) -> Json:
    node = {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}, **more}}
    return {"$ref": "#/$defs/Node", "$defs": {"Node": node}}


def chain(depth: int, last: Json) -> Json:
    links: dict[str, Any] = {f"n{at}": of(x={"$ref": f"#/$defs/n{at + 1}"}) for at in range(depth)}
    return {"$ref": "#/$defs/n0", "$defs": {**links, f"n{depth}": last}}


INPUTS = [
    (of(a=TEXT), of(a=TEXT, b=TEXT), Bump.MINOR),
    (of(a=TEXT), of(("b",), a=TEXT, b=TEXT), Bump.MAJOR),
    (of(("a",), a=TEXT), of(a=TEXT), Bump.MINOR),
    (of(a=TEXT), of(a=NUMBER), Bump.MAJOR),
    (of(a=WHOLE), of(a=NUMBER), Bump.MINOR),
    (of(a=NUMBER), of(a=WHOLE), Bump.MAJOR),
    (of(a=TEXT), of(a=NULLABLE), Bump.MINOR),
    (of(a=NULLABLE), of(a=TEXT), Bump.MAJOR),
    (of(a=NULLABLE), of(a={"type": ["string", "null"]}), Bump.MINOR),
    (of(a=TEXT), of(a={**TEXT, "description": "what"}), Bump.PATCH),
    (of(a=TEXT), of(), Bump.MINOR),
    (of(a=TEXT), {**of(), "additionalProperties": False}, Bump.MAJOR),
    ({**of(a=TEXT), "additionalProperties": False}, of(a=TEXT), Bump.MINOR),
    ({**of(), "additionalProperties": TEXT}, of(a=NUMBER), Bump.MAJOR),
    (of(a={"enum": ["x", "y"]}), of(a={"enum": ["x", "y", "z"]}), Bump.MINOR),
    (of(a={"enum": ["x", "y"]}), of(a={"enum": ["x"]}), Bump.MAJOR),
    (of(a={"enum": [1]}), of(a={"enum": [True]}), Bump.MAJOR),
    (of(a=TEXT), of(a={"const": "x"}), Bump.MAJOR),
    (of(a={"const": "x"}), of(a=TEXT), Bump.MINOR),
    (of(a={"maxLength": 5}), of(a={"maxLength": 9}), Bump.MINOR),
    (of(a={"maxLength": 5}), of(a={"maxLength": 4}), Bump.MAJOR),
    (of(a=TEXT), of(a={**TEXT, "minLength": 1}), Bump.MAJOR),
    (of(a={"pattern": "a"}), of(a={}), Bump.MINOR),
    (of(a={"pattern": "a"}), of(a={"pattern": "b"}), Bump.MAJOR),
    (of(a={"items": TEXT}), of(a={"items": NUMBER}), Bump.MAJOR),
    (of(a={"items": TEXT}), of(a={}), Bump.MINOR),
    (of(a={"oneOf": [TEXT]}), of(a={"oneOf": [TEXT]}, b=TEXT), Bump.MINOR),
    (of(a={"oneOf": [TEXT]}), of(a={"oneOf": [NUMBER]}), Bump.MAJOR),
    (of(), {**of(), "patternProperties": {"a": TEXT}}, Bump.MAJOR),
    (of(a={"default": 1}), of(a={"default": 2}), Bump.PATCH),
    (of(default=TEXT), of(default=NUMBER), Bump.MAJOR),
    (of(), of(a=False), Bump.MAJOR),
    (tree(), tree(value=TEXT), Bump.MINOR),
    (tree(value=TEXT), tree(value=NUMBER), Bump.MAJOR),
    ({"$ref": "#x", "$defs": {}}, {"$ref": "#y", "$defs": {}}, Bump.MAJOR),
    ({"properties": {"a": {"$id": "b"}}}, {"properties": {"a": {"$id": "c"}}}, Bump.MAJOR),
    ({**of(), "$id": "one"}, {**of(), "$id": "two"}, Bump.PATCH),
    (chain(500, TEXT), chain(500, NUMBER), Bump.MAJOR),
    ({"type": "object"}, {"type": "object", "not": {}}, Bump.MAJOR),
]
OUTPUTS = [
    (of(a=TEXT), of(a=TEXT, b=TEXT), Bump.MINOR),
    (of(a=TEXT, b=TEXT), of(a=TEXT), Bump.MAJOR),
    (of(a=TEXT), of(a=NUMBER), Bump.MAJOR),
    (of(a=NUMBER), of(a=WHOLE), Bump.MINOR),
    (of(a=WHOLE), of(a=NUMBER), Bump.MAJOR),
    (of(a=TEXT), of(a=NULLABLE), Bump.MAJOR),
    (of(("a",), a=TEXT), of(a=TEXT), Bump.MAJOR),
    (of(a=TEXT), of(("a",), a=TEXT), Bump.MINOR),
    (of(a={**TEXT, "enum": ["x"]}), of(a={**TEXT, "enum": ["x", "y"]}), Bump.MINOR),
    (of(a=of(b=TEXT)), of(a=of()), Bump.MAJOR),
    (of(a={"type": "array", "items": of(b=TEXT)}), of(a={"type": "array", "items": of()}), Bump.MAJOR),
    (of(a={"enum": [1]}), of(a={"enum": [1, 2]}), Bump.MAJOR),
    (of(a=TEXT), {**of(a=TEXT), "description": "what"}, Bump.PATCH),
    (tree(value=TEXT), tree(value=TEXT, more=TEXT), Bump.MINOR),
    (tree(value=TEXT), tree(), Bump.MAJOR),
]


@pytest.mark.parametrize(("old", "new", "bump"), INPUTS)
def test_a_change_of_the_input_schema(old: Json, new: Json, bump: Bump) -> None:
    assert judged({"inputSchema": old}, {"inputSchema": new})[0].bump is bump


@pytest.mark.parametrize(("old", "new", "bump"), OUTPUTS)
def test_a_change_of_the_output_schema(old: Json, new: Json, bump: Bump) -> None:
    assert judged({"outputSchema": old}, {"outputSchema": new})[0].bump is bump


def test_reasons_name_the_place() -> None:
    [reason] = judged({"inputSchema": of(a=TEXT)}, {"inputSchema": of(("b",), a=TEXT, b=TEXT)})
    assert (reason.path, reason.message) == ("inputSchema.required", "'b' is required now")


def test_what_multiplies_is_not_followed_for_ever() -> None:
    def twice(last: Json) -> Json:
        links: Json = {
            f"n{at}": of(x={"$ref": f"#/$defs/n{at + 1}"}, y={"$ref": f"#/$defs/n{at + 1}"}) for at in range(40)
        }
        return {"$ref": "#/$defs/n0", "$defs": {**links, "n40": last}}

    def doubling(last: Json) -> Json:
        links: Json = {f"n{at}": {"anyOf": [{"$ref": f"#/$defs/n{at + 1}"}] * 2, "minItems": at} for at in range(40)}
        return {"$ref": "#/$defs/n0", "$defs": {**links, "n40": last}}

    for grow in (twice, doubling):
        assert 0 < len(refusals(grow(TEXT), grow(NUMBER), "inputSchema")) <= 20
        assert 0 < len(losses(grow(TEXT), grow(NUMBER), "outputSchema")) <= 20


NAMES = ("a", "b")
PLAIN = st.sampled_from(
    [
        *({}, True, False, TEXT, NUMBER, WHOLE, {"type": ["string", "null"]}, {"enum": [1, "x", True]}, {"const": 1}),
        *({"minimum": 1}, {"maximum": 1}, {"exclusiveMinimum": 0}, {"multipleOf": 2}, {"not": TEXT}),
        *({"minLength": 1}, {"maxLength": 1}, {"pattern": "x"}, NULLABLE, {"oneOf": [TEXT, WHOLE]}),
        {"anyOf": [WHOLE, TEXT], "minimum": 1},
    ]
)
HERE = {"$ref": "#/$defs/D"}
SIMPLE = PLAIN | st.sampled_from([HERE, {"anyOf": [HERE, TEXT]}, {**HERE, "minLength": 1}])


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    declared = st.fixed_dictionaries(
        {"properties": st.dictionaries(st.sampled_from(NAMES), inner, max_size=2)},
        optional={
            "type": st.just("object"),
            "required": st.lists(st.sampled_from(NAMES), max_size=2, unique=True),
            "additionalProperties": st.booleans() | inner,
            "minProperties": st.integers(0, 2),
        },
    )
    listed = st.fixed_dictionaries(
        {"type": st.just("array")},
        optional={"items": inner, "maxItems": st.integers(0, 2), "uniqueItems": st.booleans(), "contains": inner},
    )
    return declared | listed | st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=2)})


SCHEMAS = st.recursive(SIMPLE, nested, max_leaves=6)
# A definition that is itself without anything between would accept what nobody can say.
DEFINED = PLAIN | st.builds(of, a=SIMPLE, b=PLAIN)
ROOTS = st.builds(lambda schema, inner: {"properties": {"r": schema}, "$defs": {"D": inner}}, SCHEMAS, DEFINED)
VALUES = st.recursive(
    st.sampled_from([None, True, 0, 1, 2, 1.5, "", "x", "xy"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=2),
    max_leaves=5,
)


def valid(schema: Any, value: Any) -> bool:
    return jsonschema_rs.Draft202012Validator(schema, offline=True).is_valid(value)


def closed(schema: Any) -> Any:
    """The schema that accepts no property which nobody declared: a judgement does not count these as accepted."""
    if schema is True:
        return {"additionalProperties": False}
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = ("const", "enum", "maximum", "minimum", "required", "uniqueItems")
    inner = {key: value if key in plain else closed(value) for key, value in schema.items()}
    for place in ("properties", "$defs"):
        if place in schema:
            inner[place] = {name: closed(value) for name, value in schema[place].items()}
    if not schema.keys() & {"$ref", "anyOf", "oneOf"} and schema.get("additionalProperties", True) in (True, {}):
        inner["additionalProperties"] = False
    return inner


@given(old=ROOTS, new=ROOTS, value=VALUES)
def test_what_is_said_to_be_accepted_still_is(old: Json, new: Json, value: Any) -> None:
    assume(not refusals(old, new, "inputSchema"))
    given_now = {"r": value}
    assert not valid(closed(old), given_now) or valid(new, given_now)
