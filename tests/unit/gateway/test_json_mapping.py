"""The JSON mapping: what google.protobuf.json_format reads and writes, the gateway reads and writes alike."""

from __future__ import annotations

import math
from typing import Any

import orjson
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.gateway.transcode.json_in import Parser
from services.gateway.transcode.json_out import Printer
from services.gateway.transcode.problems import Problems
from tests.fakes.gateway.protos import descriptor, message_class

PARSER = Parser(Default())
PRINTER = Printer(Default())
EVERYTHING = descriptor("Everything")


def read(body: object, name: str = "Everything") -> tuple[Message, list[tuple[str, str]]]:
    message, problems = message_class(name)(), Problems()
    PARSER.parser(descriptor(name))(body, message, "", problems)
    return message, [(problem.field, problem.message) for problem in problems.found]


def write(message: Message) -> Any:
    return orjson.loads(orjson.dumps(PRINTER.printer(EVERYTHING)(message)))


def oracle(body: Any) -> Message:
    return json_format.ParseDict(body, message_class("Everything")())


@pytest.mark.parametrize(
    "body",
    [
        {"aDouble": 1.5, "aFloat": 0.1, "anInt32": -3, "aBool": True, "aString": "é\n", "aBytes": "AP8="},
        {"a_double": 1, "an_int64": "9007199254740993", "an_int32": 2.0, "aUint64": "18446744073709551615"},
        {"anInt64": -5, "aUint32": 4294967295, "aSint32": -1, "aSint64": "-2", "aFixed32": 3, "aSfixed64": "-4"},
        {"anInt32": "1e3", "aDouble": "1e3", "aFloat": "-0.5"},
        {"aBytes": "_-8"},
        {"aColor": "DARK_GREEN", "optColor": 1, "colors": ["RED", 2, "COLOR_UNSPECIFIED"]},
        {"optInt32": 0, "optString": "", "optBool": False},
        {"optInt32": None, "strings": None, "anInner": None, "labels": None, "wInt64": None, "aTime": None},
        {"anInner": {}},
        {"anInner": {"innerName": "x", "parent": {"anInner": {"count": 7}}}},
        {"inners": [{"count": 1}, {}], "longs": ["1", 2], "bools": [True, False], "blobs": ["", "YQ=="]},
        {"labels": {"": "empty", "k": "v"}, "innerById": {"-7": {"count": 1}, "0": {}}, "byFlag": {"true": "1"}},
        {"valuesByName": {"n": None, "o": {"a": [1]}}, "colorById": {"4": "RED"}},
        {"byName": "x"},
        {"byNumber": "0"},
        {"byInner": {}},
        {"byNull": None},
        {"byValue": None},
        {"byName": None, "byNumber": 3},
        {"aTime": "2026-01-31T12:00:00Z", "times": ["1969-12-31T23:59:59.5Z", "2000-02-29T00:00:00.000000001+05:30"]},
        {"aTime": "0001-01-01T00:00:00Z"},
        {"aTime": "9999-12-31T23:59:59.999999999Z"},
        {"aDuration": "30s"},
        {"aDuration": "-1.5s"},
        {"aDuration": "-0.000000001s"},
        {"aDuration": "315576000000s"},
        {"aMask": "aString,anInner.innerName"},
        {"aMask": ""},
        {"aStruct": {}, "aList": [], "aValue": {}, "anEmpty": {}},
        {"aStruct": {"a": {"b": [None, True, 1.5, "x", {}, []]}}, "aList": [[], {}], "aValue": None},
        {"aValue": "text", "values": [None, 1, [None]]},
        {"aNull": None},
        {"wString": "", "wInt64": "5", "wUint32": 0, "wBool": False, "wDouble": 0.25, "wFloat": 0.5, "wBytes": "AA=="},
        {"wInt32s": [1, 2]},
        {"renamed": "a"},
        {"custom_name": "a"},
        {"anAny": {"@type": "type.googleapis.com/gatewaytest.v1.Everything", "aString": "in", "strings": ["x"]}},
        {"anAny": {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "1s"}},
    ],
)
def test_reads_what_the_mapping_allows(body: dict[str, Any]) -> None:
    message, problems = read(body)
    assert problems == []
    assert message == oracle(body)


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        ({"nope": 1}, "nope", "is not a field of Everything"),
        ({"aStrng": 1}, "aStrng", "did you mean aString?"),
        ({"anInner": {"nope": 1}}, "anInner.nope", "its fields are innerName, count, parent"),
        ({"anEmpty": {"x": 1}}, "anEmpty.x", "it has no fields"),
        ({"aString": "a", "a_string": "b"}, "a_string", "given twice"),
        ({"byName": "a", "byNumber": 1}, "byNumber", "byName"),
        ({"anInt32": True}, "anInt32", "whole number, not a boolean"),
        ({"anInt32": 1.5}, "anInt32", "without a fraction"),
        ({"anInt32": 2147483648}, "anInt32", "from -2147483648 to 2147483647"),
        ({"anInt32": "abc"}, "anInt32", 'not "abc"'),
        ({"anInt32": " 1"}, "anInt32", "whole number"),
        ({"anInt32": "01"}, "anInt32", "whole number"),
        ({"anInt64": "9223372036854775808"}, "anInt64", "from"),
        ({"aUint32": -1}, "aUint32", "from 0"),
        ({"aUint64": 1.8446744073709552e19}, "aUint64", "from 0"),
        ({"aFloat": 3.5e38}, "aFloat", "finite"),
        ({"aDouble": "NaN"}, "aDouble", "number"),
        ({"aDouble": "Infinity"}, "aDouble", "number"),
        ({"aDouble": "1e999"}, "aDouble", "finite"),
        ({"aDouble": []}, "aDouble", "not a list"),
        ({"aBool": "true"}, "aBool", "true or false"),
        ({"aBool": 1}, "aBool", "true or false"),
        ({"aString": 1}, "aString", "a string, not a number"),
        ({"aBytes": "a"}, "aBytes", "base64"),
        ({"aBytes": "é"}, "aBytes", "base64"),
        ({"aBytes": 1}, "aBytes", "base64"),
        ({"aColor": "PINK"}, "aColor", "must be one of COLOR_UNSPECIFIED, RED, DARK_GREEN"),
        ({"aColor": "red"}, "aColor", "did you mean RED?"),
        ({"aColor": 9}, "aColor", "must be one of"),
        ({"aColor": True}, "aColor", "must be one of"),
        ({"anInner": []}, "anInner", "an object, not a list"),
        ({"strings": "a"}, "strings", "must be a list"),
        ({"strings": ["a", 2, None]}, "strings[1]", "a string"),
        ({"inners": [{}, None]}, "inners[1]", "must not be null"),
        ({"inners": [{"parent": {"inners": [{"count": "x"}]}}]}, "inners[0].parent.inners[0].count", "whole"),
        ({"labels": {"k": 1}}, "labels.k", "a string"),
        ({"labels": []}, "labels", "an object"),
        ({"innerById": {"x": {}}}, "innerById.x", "whole number"),
        ({"innerById": {"1": None}}, "innerById.1", "must not be null"),
        ({"byFlag": {"yes": "1"}}, "byFlag.yes", '"true" or "false"'),
        ({"aTime": "yesterday"}, "aTime", "RFC 3339"),
        ({"aTime": "2026-02-30T00:00:00Z"}, "aTime", "no such date"),
        ({"aTime": "2026-01-31T12:00:00"}, "aTime", "RFC 3339"),
        ({"aTime": "0001-01-01T00:00:00+01:00"}, "aTime", "years 1 to 9999"),
        ({"aTime": "2026-01-31T12:00:00+24:00"}, "aTime", "offset"),
        ({"aTime": 5}, "aTime", "not a number"),
        ({"aDuration": "30"}, "aDuration", '"30s"'),
        ({"aDuration": "315576000001s"}, "aDuration", "at most"),
        ({"aDuration": 30}, "aDuration", "not a number"),
        ({"aMask": "a b"}, "aMask", "separated by commas"),
        ({"aMask": ["a"]}, "aMask", "not a list"),
        ({"aStruct": []}, "aStruct", "must be an object"),
        ({"aList": {}}, "aList", "must be a list"),
        ({"aValue": {"ids": [1, 9007199254740993]}}, "aValue.ids[1]", "as a string"),
        ({"aStruct": {"id": 9007199254740993}}, "aStruct.id", "as a string"),
        ({"wInt64": "x"}, "wInt64", "whole number"),
        ({"anAny": {}}, "anAny", "@type"),
        ({"anAny": {"@type": "type.googleapis.com/no.Such"}}, "anAny.@type", "no message type"),
    ],
)
def test_refuses_with_path_and_remedy(body: dict[str, Any], field: str, reason: str) -> None:
    _, problems = read(body)
    assert problems[0][0] == field
    assert reason in problems[0][1]


def test_collects_all_problems_of_a_body() -> None:
    _, problems = read({"x": 1, "anInt32": "a", "inners": [{"count": "b"}, {"y": 2}], "strings": [1, 2]})
    fields = [field for field, _ in problems]
    assert fields == ["x", "anInt32", "inners[0].count", "inners[1].y", "strings[0]", "strings[1]"]


def test_writes_zeros_and_leaves_out_what_is_unset() -> None:
    written = write(message_class("Everything")())
    assert written["anInt64"] == "0"
    assert written["aColor"] == "COLOR_UNSPECIFIED"
    assert written["strings"] == []
    assert written["labels"] == {}
    assert not {"optInt32", "anInner", "aTime", "aValue", "byName", "wString"} & written.keys()


def test_writes_whole_numbers_of_plain_json_without_a_point() -> None:
    message, _ = read({"aValue": [1, 0.5, -(2**53)]})
    assert b'"aValue":[1,0.5,-9007199254740992]' in orjson.dumps(PRINTER.printer(EVERYTHING)(message))


def test_writes_numbers_json_has_no_word_for_by_name() -> None:
    message = message_class("Everything")(a_double=math.inf, a_float=-math.inf, doubles=[math.nan])
    written = write(message)
    assert (written["aDouble"], written["aFloat"], written["doubles"]) == ("Infinity", "-Infinity", ["NaN"])


def test_writes_an_enum_number_without_a_name_as_the_number() -> None:
    assert write(message_class("Everything")(a_color=77))["aColor"] == 77


_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)
_INT32 = st.integers(-(2**31), 2**31 - 1)
_INT64 = st.integers(-(2**63), 2**63 - 1)
_FINITE = st.floats(allow_nan=False, allow_infinity=False)
_SINGLE = st.floats(width=32, allow_nan=False, allow_infinity=False)
_COLOR = st.sampled_from(["RED", "DARK_GREEN", 1, 2])
_TIME = st.datetimes().map(lambda moment: f"{moment.isoformat()}Z" if moment.year > 0 else "")
_DURATION = st.tuples(st.sampled_from(["", "-"]), st.integers(0, 10**11), st.integers(0, 10**9 - 1)).map(
    lambda parts: f"{parts[0]}{parts[1]}.{parts[2]:09d}s"
)
_PARENT = st.fixed_dictionaries({}, optional={"aString": _TEXT, "longs": st.lists(_INT64, max_size=2)})
_INNER = st.fixed_dictionaries({}, optional={"innerName": _TEXT, "count": _INT32, "parent": _PARENT})
_BODY: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "aDouble": _FINITE,
        "aFloat": _SINGLE,
        "anInt32": _INT32,
        "anInt64": _INT64 | _INT64.map(str),
        "aUint64": st.integers(0, 2**64 - 1).map(str),
        "aBool": st.booleans(),
        "aString": _TEXT,
        "aBytes": st.sampled_from(["", "AA==", "_-8=", "aGk"]),
        "aColor": _COLOR,
        "anInner": _INNER,
        "optInt32": _INT32,
        "optString": _TEXT,
        "strings": st.lists(_TEXT, max_size=3),
        "longs": st.lists(_INT64, max_size=3),
        "inners": st.lists(_INNER, max_size=2),
        "doubles": st.lists(_FINITE, max_size=3),
        "labels": st.dictionaries(_TEXT, _TEXT, max_size=3),
        "innerById": st.dictionaries(_INT64.map(str), _INNER, max_size=2),
        "valuesByName": st.dictionaries(_TEXT, _JSON, max_size=2),
        "byValue": _JSON,
        "aTime": _TIME,
        "aDuration": _DURATION,
        "aStruct": st.dictionaries(_TEXT, _JSON, max_size=3),
        "aValue": _JSON,
        "aList": st.lists(_JSON, max_size=3),
        "wInt64": _INT64,
        "wBool": st.booleans(),
        "wFloat": _SINGLE,
        "renamed": _TEXT,
    },
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(_BODY)
def test_agrees_with_the_reference_implementation_both_ways(body: dict[str, Any]) -> None:
    message, problems = read(body)
    assert problems == []
    assert message == oracle(body)
    expected = json_format.MessageToDict(message, always_print_fields_with_no_presence=True)
    assert write(message) == expected
    again, problems = read(write(message))
    assert problems == []
    assert again == message


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(["aString", "anInner", "strings", "aTime", "labels", "aValue", "x"]), _JSON))
def test_never_fails_on_wrong_types_and_refuses_what_the_reference_refuses(body: dict[str, Any]) -> None:
    message, problems = read(body)
    try:
        reference = oracle(body)
    except json_format.ParseError:
        assert problems
    else:
        assert problems or message == reference
