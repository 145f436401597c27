"""Signatures: what they say in JSON Schema, that they can be read back, and where they stop making sense."""

from __future__ import annotations

import keyword
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinue_client.signatures import Field, Signature, SignatureError, from_schemas, signature
from retinue_client.signatures.types import UNSET, AnyOf, DictOf, ListOf, OneOf, Simple, Type

SIMPLE = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "datetime": {"type": "string", "format": "date-time"},
    "list": {"type": "array"},
    "dict": {"type": "object"},
    "any": {},
    "list[int]": {"type": "array", "items": {"type": "integer"}},
    "list[list[str]]": {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
    "dict[str, float]": {"type": "object", "additionalProperties": {"type": "number"}},
    'Literal["yes", "no"]': {"type": "string", "enum": ["yes", "no"]},
    "Literal[1, 2]": {"enum": [1, 2]},
    "int | str": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
    "list[str | None]": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
}


@pytest.mark.parametrize("text", SIMPLE)
def test_a_type_is_that_type_in_json_schema(text: str) -> None:
    found = signature(f"-> value: {text}")
    assert found.output_schema["properties"] == {"value": SIMPLE[text]}
    assert found.output_schema["required"] == ["value"]


def test_inputs_and_outputs_are_objects_without_other_members() -> None:
    found = signature("question: str, strict: bool -> answer: str, confidence: float")
    assert found.input_schema == {
        "type": "object",
        "properties": {"question": {"type": "string"}, "strict": {"type": "boolean"}},
        "required": ["question", "strict"],
        "additionalProperties": False,
    }
    assert list(found.output_schema["properties"]) == ["answer", "confidence"]


@pytest.mark.parametrize("text", ["a?: int", "a: int | None", "a: None | int", "a?: int | None"])
def test_an_optional_field_may_be_missing_or_null(text: str) -> None:
    schema = signature(f"{text} -> b").input_schema
    validator = jsonschema_rs.validator_for(dict(schema))
    assert [validator.is_valid(value) for value in ({}, {"a": None}, {"a": 1}, {"a": "x"})] == [True, True, True, False]


def test_an_optional_choice_takes_null() -> None:
    schema = signature('a?: Literal["x"], b?: int | str, c?: any -> d').input_schema
    validator = jsonschema_rs.validator_for(dict(schema))
    assert validator.is_valid({"a": None, "b": None, "c": None})
    assert not validator.is_valid({"a": "y"})


def test_a_default_makes_a_field_optional_but_not_null() -> None:
    schema = signature('a: str = "x", b: list[int] = [1, 2], c?: dict = None, d: float = 1 -> e').input_schema
    assert schema["required"] == []
    assert [member.get("default") for member in schema["properties"].values()] == ["x", [1, 2], None, 1]
    assert not jsonschema_rs.validator_for(dict(schema)).is_valid({"a": None})


def test_a_text_or_a_trailing_comment_describes_a_field() -> None:
    found = signature("""
        # This line is for readers.
        question: str,        # what to answer
        language?: str "of the answer"   # not this
        -> answer: str, confidence: float  # from 0 to 1
    """)
    described = {field.name: field.description for field in (*found.inputs, *found.outputs)}
    assert described == {
        "question": "what to answer",
        "language": "of the answer",
        "answer": "",
        "confidence": "from 0 to 1",
    }


def test_escapes_in_texts_are_those_of_json() -> None:
    [field] = signature(r"""-> a: str 'it\'s "this" \u00e9\n'""").outputs
    assert field.description == 'it\'s "this" é\n'


BAD = [
    ("a: str", 1, 7, "`,` or `->` is expected"),
    ("a -> ", 1, 6, "at least one field"),
    ("a -> b c", 1, 8, "`,` or the end"),
    ("-> a,,b", 1, 6, "the name of a field is expected here, not `,`"),
    ("-> a -> b", 1, 6, "`,` or the end"),
    ("a: string -> b", 1, 4, "did you mean `str`?"),
    ("a: flaot -> b", 1, 4, "did you mean `float`?"),
    ("a: Person -> b", 1, 4, "there are str, int"),
    ("a: list[ -> b", 1, 10, "a type is expected here, not `->`"),
    ("a: list[int -> b", 1, 13, "`]` is expected here, not `->`"),
    ("a: str[int] -> b", 1, 4, "`str` takes nothing in brackets"),
    ("a: dict[int, str] -> b", 1, 9, "always `str`"),
    ("a: dict[str] -> b", 1, 12, "the type of the values"),
    ("-> a: Literal", 1, 7, "needs its values"),
    ("-> a: Literal[1.5]", 1, 15, "texts, whole numbers and truth values"),
    ("a: str = 3 -> b", 1, 10, "the default is no str"),
    ("a: int = True -> b", 1, 10, "the default is no int"),
    ("a: list[int] = ['x'] -> b", 1, 16, "the default is no list[int]"),
    ('a: Literal["x"] = "y" -> b', 1, 19, "the default is no Literal"),
    ("a: int = None -> b", 1, 10, "write `a?: int`"),
    ("a: str = x -> b", 1, 10, "texts stand in quotes"),
    ("a: int = [1, -> b", 1, 14, "a value is expected"),
    ('a: dict = {"x" 1} -> b', 1, 16, "`:` is expected"),
    ("a, a -> b", 1, 4, "there is a field `a` already"),
    ("-> b,\n   b", 2, 4, "there is a field `b` already"),
    ('a: "x -> b', 1, 4, "does not end on its line"),
    ("a$ -> b", 1, 2, "'$' has no meaning"),
    ('-> a "\\q"', 1, 6, "cannot escape"),
    ('-> a "\\ud800"', 1, 6, "half a character"),
    ("a: float = 1e999 -> b", 1, 12, "too large"),
    ("a: float = " + "1" * 31 + " -> b", 1, 12, "at most 30"),
    ("a: " + "list[" * 40 + " -> b", 1, 84, "more than 16 deep"),
    ("a: list = " + "[" * 40 + " -> b", 1, 27, "more than 16 deep"),
    ("x" * 10_001, 0, 0, "more than 10000 characters"),
]


@pytest.mark.parametrize(("text", "line", "column", "reason"), BAD, ids=[row[0][:30] for row in BAD])
def test_what_is_wrong_is_said_with_its_place(text: str, line: int, column: int, reason: str) -> None:
    with pytest.raises(SignatureError) as raised:
        signature(text)
    error = raised.value
    assert (error.line, error.column, error.code) == (line, column, "INVALID_SIGNATURE")
    assert reason in error.message
    assert error.problems[0].field == "signature"


NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True).filter(lambda name: not keyword.iskeyword(name))
PLAIN: st.SearchStrategy[Type] = st.sampled_from(["str", "int", "float", "bool", "date", "datetime"]).map(Simple)
CHOICES: st.SearchStrategy[Type] = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5), min_size=1, max_size=3, unique=True
).map(lambda values: OneOf(tuple(values)))
TYPES: st.SearchStrategy[Type] = st.recursive(
    PLAIN | CHOICES | st.just(Simple("list")) | st.just(Simple("dict")),
    lambda inner: inner.map(ListOf) | inner.map(DictOf),
    max_leaves=4,
)
UNIONS: st.SearchStrategy[Type] = st.lists(TYPES, min_size=2, max_size=3, unique=True).map(lambda t: AnyOf(tuple(t)))
DEFAULTS: dict[str, Any] = {
    "str": 'a "b"\n',
    "int": -7,
    "float": 1.5,
    "bool": False,
    "list": [1, ["x"]],
    "dict": {"k": None},
}


@st.composite
def fields(draw: st.DrawFn) -> tuple[Field, ...]:
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    found = []
    for name in names:
        kind = draw(TYPES | UNIONS)
        text = str(kind)
        default = DEFAULTS[text] if text in DEFAULTS and draw(st.booleans()) else UNSET
        description = draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=10))
        found.append(Field(name, kind, draw(st.booleans()), default, description))
    return tuple(found)


@given(fields(), fields())
def test_a_signature_can_be_read_back_from_its_text(given: tuple[Field, ...], answered: tuple[Field, ...]) -> None:
    made = Signature(given, answered)
    assert signature(str(made)) == made


@given(fields(), fields())
def test_a_signature_can_be_read_back_from_its_schemas(given: tuple[Field, ...], answered: tuple[Field, ...]) -> None:
    made = Signature(given, answered)
    jsonschema_rs.validator_for(dict(made.input_schema))
    read = from_schemas(made.input_schema, made.output_schema)
    assert read is not None
    assert sorted(map(str, read.inputs)) == sorted(map(str, given))
    assert sorted(map(str, read.outputs)) == sorted(map(str, answered))


@given(st.text() | st.text("abc: ->,str[]?=|\"'#\n1", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    found = outcome(text)
    if isinstance(found, SignatureError):
        assert found.line <= text.count("\n") + 1
    else:
        assert signature(str(found)) == found


def outcome(text: str) -> Signature | SignatureError:
    try:
        return signature(text)
    except SignatureError as error:
        return error


@pytest.mark.parametrize(
    "schema",
    [
        None,
        {"type": "string"},
        {"type": "object", "properties": {"a": {"type": "string"}}},
        {"type": "object", "properties": {"a": {"type": "string", "minLength": 2}}, "additionalProperties": False},
        {"type": "object", "properties": {"a-b": {}}, "required": ["a-b"], "additionalProperties": False},
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": [], "additionalProperties": False},
        {"type": "object", "properties": {}, "required": ["b"], "additionalProperties": False},
    ],
)
def test_what_a_signature_cannot_say_has_none(schema: dict[str, Any] | None) -> None:
    assert from_schemas(None, schema) is None


def test_required_fields_keep_their_order_where_json_has_none() -> None:
    made = signature("b: str, a: str, d?: str, c?: str -> e")
    shuffled = {**made.input_schema, "properties": dict(sorted(made.input_schema["properties"].items()))}
    read = from_schemas(shuffled, made.output_schema)
    assert str(read) == "b: str, a: str, c?: str, d?: str -> e: str"
