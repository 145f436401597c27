"""What callers hand in: definitions and inputs that travel as they were meant, or are refused with every place."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from retinue.agent.v1 import agent_pb2
from retinue_client.errors import InvalidArgumentError
from retinue_client.signatures import signature
from retinue_client.writing import definition, enum_number, input_value
from retinue_core import values


def test_a_definition_may_use_either_name_of_a_field() -> None:
    python, rest = definition({"max_steps": 3, "input_schema": {}}), definition({"maxSteps": 3, "inputSchema": {}})
    assert python == rest
    assert python.paths == ("max_steps", "input_schema")


def test_every_field_of_a_definition_travels() -> None:
    given: dict[str, Any] = {
        "name": "n",
        "description": "d",
        "instructions": "i",
        "model": "scripted",
        "tools": ("calculator", "http"),
        "input_schema": {"type": "object"},
        "output_schema": {"type": "object"},
        "max_steps": 3,
        "timeout": "1.5s",
        "max_retries": 0,
        "model_settings": {"temperature": 0.5},
        "department": "sales",
        "project": "p",
        "tags": ["a"],
        "metadata": {"since": date(2026, 1, 2)},
        "visibility": "organization",
        "trigger_mode": "EVENT",
        "trigger_config": {"on": True},
        "active": False,
        "etag": "r1",
    }
    found = definition(given)
    message = found.message
    assert set(given) == {field.name for field, _ in message.ListFields()} | {"max_retries", "active"}
    assert (message.timeout.seconds, message.timeout.nanos) == (1, 500_000_000)
    assert message.HasField("max_retries")
    assert message.HasField("active")
    assert message.visibility == agent_pb2.Agent.ORGANIZATION
    assert values.struct_to_python(message.metadata) == {"since": "2026-01-02"}


def test_a_signature_stands_for_both_schemas() -> None:
    for given in ("a: int -> b", signature("a: int -> b")):
        found = definition({"signature": given})
        assert found.paths == ("input_schema", "output_schema")
        assert values.struct_to_python(found.message.input_schema) == signature("a: int -> b").input_schema


def test_none_takes_a_field_back_to_its_default() -> None:
    given = ("max_steps", "max_retries", "visibility", "active", "timeout", "metadata", "description")
    found = definition(dict.fromkeys(given))
    message = found.message
    assert found.paths == given
    assert (message.max_steps, message.max_retries, message.active) == (20, 3, True)
    assert message.visibility == agent_pb2.Agent.PRIVATE
    assert not message.HasField("timeout")


def test_what_only_the_service_writes_is_left_alone() -> None:
    found = definition({"id": "x", "createdAt": "2026-01-01T00:00:00Z", "name": "n"})
    assert found.paths == ("name",)
    assert not found.message.id


@pytest.mark.parametrize("timeout", [30, 30.0, "30s", timedelta(seconds=30)])
def test_a_timeout_is_in_seconds(timeout: Any) -> None:
    assert definition({"timeout": timeout}).message.timeout.seconds == 30


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "modle": ({"modle": "x"}, "did you mean model?"),
    "maxStps": ({"maxStps": 1}, "did you mean maxSteps?"),
    "zzz": ({"zzz": 1}, "agents have no such field"),
    "name": ({"name": 3}, "must be text, not 3"),
    "max_steps": ({"max_steps": "3"}, "must be a whole number"),
    "maxSteps": ({"maxSteps": 2**31}, "must be a whole number"),
    "active": ({"active": "yes"}, "must be true or false"),
    "tools": ({"tools": "calculator"}, "must be a list of texts"),
    "tools[1]": ({"tools": ["calculator", 3]}, "must be text, not 3"),
    "visibility": ({"visibility": "everybody"}, "must be one of PRIVATE, TEAM, ORGANIZATION, PUBLIC"),
    "timeout": ({"timeout": "5m"}, "like 30s"),
    "inputSchema": ({"inputSchema": "x: int"}, "must be an object"),
    "metadata.a[1].b": ({"metadata": {"a": [0, {"b": math.nan}]}}, "must be a number that JSON has"),
    "metadata.c": ({"metadata": {"c": object()}}, "must be something that JSON has, not object"),
    "metadata.d": ({"metadata": {"d": "\ud800"}}, "half a character"),
    "metadata.e": ({"metadata": {"e": 2**53 + 1}}, "sent as text"),
    "signature": ({"signature": "a: string -> b"}, "did you mean `str`?"),
}


@pytest.mark.parametrize("field", WRONG)
def test_what_does_not_fit_is_refused_with_its_place(field: str) -> None:
    given, reason = WRONG[field]
    with pytest.raises(InvalidArgumentError) as raised:
        definition(given)
    [problem] = raised.value.problems
    assert problem.field == field
    assert reason in problem.message
    assert raised.value.code == "INVALID_AGENT_CONFIG"


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(InvalidArgumentError) as raised:
        definition({"signature": "a -> b", "inputSchema": {}, "modle": "x", "active": 1})
    assert [problem.field for problem in raised.value.problems] == ["signature", "modle", "active"]


def test_inputs_become_json() -> None:
    given = {"day": date(2026, 1, 2), "at": datetime(2026, 1, 2, 3, tzinfo=UTC), "many": ({"x"}, None, True, 1, 1.5)}
    assert input_value(given) == {
        "day": "2026-01-02",
        "at": "2026-01-02T03:00:00+00:00",
        "many": [["x"], None, True, 1, 1.5],
    }


def test_an_input_that_is_no_json_is_refused_with_its_path() -> None:
    deep: Any = []
    for _ in range(70):
        deep = [deep]
    for given, field in (({"a": [b"x"]}, "input.a[0]"), (math.inf, "input"), (deep, "input" + "[0]" * 65)):
        with pytest.raises(InvalidArgumentError) as raised:
            input_value(given)
        assert (raised.value.code, raised.value.problems[0].field) == ("INVALID_INPUT", field)


def test_an_unknown_name_of_an_enum_is_refused_with_those_there_are() -> None:
    assert enum_number("visibility", agent_pb2.Agent.Visibility, "team") == agent_pb2.Agent.TEAM
    assert enum_number("visibility", agent_pb2.Agent.Visibility, None) == 0
    with pytest.raises(InvalidArgumentError, match="must be one of PRIVATE, TEAM, ORGANIZATION, PUBLIC, not 'x'"):
        enum_number("visibility", agent_pb2.Agent.Visibility, "x")
