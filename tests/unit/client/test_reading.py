"""Protos as the client's own data, and that data as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from retinue.common.v1 import common_pb2
from retinue.execution.v1 import execution_pb2
from retinue_client import models
from retinue_client.errors import ExecutionFailedError, Kind, NotFoundError, RetinueError, UnavailableError, typed
from retinue_client.reading import read, to_json
from retinue_client.result import Result
from retinue_core import values

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def execution(**more: Any) -> models.Execution:
    message = execution_pb2.Execution(
        id="e",
        status=more.pop("status", execution_pb2.Execution.COMPLETED),
        input=values.from_python({"a": 1}),
        output=values.from_python(more.pop("output", {"answer": "yes", "output": 1})),
        usage=common_pb2.Usage(input_tokens=3, cost_micros=2_500_000),
        metadata=values.to_struct({"k": [None]}),
        **more,
    )
    message.created_at.FromDatetime(MOMENT)
    return read(models.Execution, message)


def test_a_message_becomes_plain_data() -> None:
    found = execution()
    assert (found.status, found.ended, found.input, found.metadata) == ("COMPLETED", True, {"a": 1}, {"k": [None]})
    assert (found.created_at, found.started_at, found.error) == (MOMENT, None, None)
    assert (found.usage.input_tokens, found.usage.cost) == (3, 2.5)


def test_an_enum_value_that_is_newer_than_the_client_is_its_number() -> None:
    message = execution_pb2.Execution.FromString(b"\x28\x63")
    assert str(read(models.Execution, message).status) == "99"


def test_json_has_the_names_of_rest_and_leaves_out_what_is_not_set() -> None:
    said = to_json(execution())
    assert said["createdAt"] == "2026-01-02T03:04:05Z"
    assert said["usage"]["costMicros"] == 2_500_000
    assert said["metadata"] == {"k": [None]}
    assert "startedAt" not in said
    step = read(models.Step, execution_pb2.Step(number=1))
    assert to_json([step])[0]["number"] == 1


def test_members_of_an_output_are_attributes() -> None:
    schema = {"properties": {"answer": {}, "score": {"default": 0.5}, "note": {}}}
    result = Result(execution(), schema)
    assert (result.answer, result.score, result.note) == ("yes", 0.5, None)
    assert (result.output, result["output"]) == ({"answer": "yes", "output": 1}, 1)
    assert result.usage.cost == 2.5
    with pytest.raises(AttributeError, match="no member 'other'; it has answer, output"):
        _ = result.other
    assert not hasattr(Result(execution(output="text")), "answer")
    assert str(Result(execution(output="text"))) == "text"


def test_an_execution_without_an_output_has_no_result() -> None:
    failure = common_pb2.Failure(code="EXECUTION_TIMEOUT", message="Too slow.")
    with pytest.raises(ExecutionFailedError, match="Too slow") as raised:
        Result(execution(status=execution_pb2.Execution.FAILED, error=failure))
    assert raised.value.code == "EXECUTION_TIMEOUT"
    assert raised.value.execution.id == "e"
    with pytest.raises(ExecutionFailedError) as raised:
        Result(execution(status=execution_pb2.Execution.RUNNING))
    assert raised.value.code == "EXECUTION_RUNNING"


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_error_has_a_class_and_keeps_what_it_says(kind: Kind) -> None:
    error = typed(RetinueError(kind, "CODE", "Words.", details={"a": "b"}, actions=("Do.",), retry_after=2.0))
    assert type(error) is not RetinueError
    assert (error.kind, error.code, error.message) == (kind, "CODE", "Words.")
    assert (error.details, error.actions, error.retry_after) == ({"a": "b"}, ("Do.",), 2.0)


def test_kinds_can_be_told_apart() -> None:
    assert isinstance(typed(RetinueError(Kind.NOT_FOUND, "AGENT_NOT_FOUND", "")), NotFoundError)
    assert isinstance(typed(RetinueError(Kind.UNAVAILABLE, "X", "")), UnavailableError)
