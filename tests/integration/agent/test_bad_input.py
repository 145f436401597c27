"""What cannot be saved or asked is refused with its code, the path of its field, and a remedy."""

from __future__ import annotations

import math
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct, Value

from retinue_core.errors import Kind, RetinueError
from tests.integration.agent.room import Room, echo, member


def deep(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": value}
    return value


def struct_with(number: float) -> Struct:
    return Struct(fields={"x": Value(number_value=number)})


def script(*turns: Any) -> dict[str, Any]:
    return {"script": list(turns)}


DEFINITIONS: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name"),
    ({"name": "  \n "}, "name"),
    ({"name": "x" * 101}, "name"),
    ({"name": "a\0b"}, "name"),
    ({"name": "a\nb"}, "name"),
    ({"description": "x" * 2_001}, "description"),
    ({"description": "a\0"}, "description"),
    ({"instructions": "x" * 100_001}, "instructions"),
    ({"instructions": "a\0"}, "instructions"),
    ({"model": ""}, "model"),
    ({"model": "gpt"}, "model"),
    ({"model": "claude"}, "model"),
    ({"model": "a b/c"}, "model"),
    ({"model": "claude-" + "x" * 300}, "model"),
    ({"tools": ["calculator", "htpp"]}, "tools[1]"),
    ({"tools": ["http", "http"]}, "tools[1]"),
    ({"tools": [""]}, "tools[0]"),
    ({"tools": ["http"] * 101}, "tools"),
    ({"input_schema": {"type": "objct"}}, "inputSchema.type"),
    ({"input_schema": {"properties": {"x": {"type": 5}}}}, "inputSchema.properties.x.type"),
    ({"input_schema": {"properties": {"a b": {"minimum": "1"}}}}, 'inputSchema.properties["a b"].minimum'),
    ({"input_schema": {"allOf": [{}, {"required": "x"}]}}, "inputSchema.allOf[1].required"),
    ({"input_schema": {"pattern": "("}}, "inputSchema.pattern"),
    ({"input_schema": {"pattern": "(?=x)y"}}, "inputSchema.pattern"),
    ({"input_schema": {"$ref": "https://example.com/schema"}}, "inputSchema.$ref"),
    ({"input_schema": {"items": {"$ref": "other.json"}}}, "inputSchema.items.$ref"),
    ({"input_schema": {"$ref": "#/$defs/missing"}}, "inputSchema"),
    ({"input_schema": {"$schema": "http://json-schema.org/draft-07/schema#"}}, "inputSchema.$schema"),
    ({"input_schema": deep(29)}, "inputSchema"),
    ({"output_schema": {"maxLength": -1}}, "outputSchema.maxLength"),
    ({"output_schema": {"description": "x" * 200_000}}, "outputSchema"),
    ({"max_steps": -1}, "maxSteps"),
    ({"max_steps": 101}, "maxSteps"),
    ({"timeout": {"seconds": 0}}, "timeout"),
    ({"timeout": {"seconds": -5}}, "timeout"),
    ({"timeout": {"seconds": 86_401}}, "timeout"),
    ({"timeout": {"seconds": 9_000_000_000_000_000_000}}, "timeout"),
    ({"max_retries": -1}, "maxRetries"),
    ({"max_retries": 11}, "maxRetries"),
    ({"model_settings": {"temperature": 3}}, "modelSettings.temperature"),
    ({"model_settings": {"temperature": "hot"}}, "modelSettings.temperature"),
    ({"model_settings": {"maxTokens": 0}}, "modelSettings.maxTokens"),
    ({"model_settings": {"maxTokens": 1.5}}, "modelSettings.maxTokens"),
    ({"model_settings": {"script": "hello"}}, "modelSettings.script"),
    ({"model_settings": script("hello")}, "modelSettings.script[0]"),
    ({"model_settings": script([{"text": 5}])}, "modelSettings.script[0][0].text"),
    ({"model_settings": script([{}])}, "modelSettings.script[0][0]"),
    ({"model_settings": script([], [{"txt": "a"}])}, "modelSettings.script[1][0].txt"),
    ({"model_settings": script([{"toolUse": {"input": {}}}])}, "modelSettings.script[0][0].toolUse.name"),
    ({"model_settings": script([{"toolUse": {"name": "x", "input": 1}}])}, "modelSettings.script[0][0].toolUse.input"),
    ({"model_settings": script([{"toolUse": "calculator"}])}, "modelSettings.script[0][0].toolUse"),
    ({"model_settings": script({"content": {}})}, "modelSettings.script[0].content"),
    ({"model_settings": script({})}, "modelSettings.script[0]"),
    ({"model_settings": script({"content": [], "delayMs": -1})}, "modelSettings.script[0].delayMs"),
    ({"model_settings": script({"content": [], "usage": {"inputTokens": "x"}})}, "modelSettings.script[0].usage"),
    ({"model_settings": script({"error": 5})}, "modelSettings.script[0].error"),
    ({"model_settings": struct_with(math.nan)}, "modelSettings.x"),
    ({"department": "x" * 101}, "department"),
    ({"project": "a\0b"}, "project"),
    ({"tags": ["ok", ""]}, "tags[1]"),
    ({"tags": ["x" * 51]}, "tags[0]"),
    ({"tags": [f"t{n}" for n in range(51)]}, "tags"),
    ({"metadata": {"a": ["b\0"]}}, "metadata.a[0]"),
    ({"metadata": {"a\0": 1}}, "metadata"),
    ({"metadata": struct_with(math.inf)}, "metadata.x"),
    ({"metadata": {"a": "x" * 20_000}}, "metadata"),
    ({"trigger_config": deep(32)}, "triggerConfig"),
    ({"visibility": 9}, "visibility"),
    ({"trigger_mode": 9}, "triggerMode"),
]


@pytest.mark.parametrize(("fields", "field"), DEFINITIONS, ids=[f"{n}-{case[1]}" for n, case in enumerate(DEFINITIONS)])
async def test_a_definition_with_something_wrong(agents: Room, fields: dict[str, Any], field: str) -> None:
    who = member()
    with pytest.raises(RetinueError) as refused:
        await agents.call(who, "CreateAgent", agent=echo(**fields))
    error = refused.value
    assert error.kind is Kind.INVALID_ARGUMENT
    assert [problem.field for problem in error.problems] == [field]
    assert error.code == ("INVALID_ARGUMENT" if field in ("visibility", "triggerMode") else "INVALID_AGENT_CONFIG")
    assert len(error.problems[0].message) > 10
    assert not (await agents.call(who, "ListAgents")).agents


async def test_all_that_is_wrong_is_said_at_once_in_the_order_of_the_fields_and_nothing_is_saved(agents: Room) -> None:
    who = member()
    wrong = {
        "model": "scriptd",
        "tools": ["calculater", "http"],
        "input_schema": {"type": "strin", "required": [1]},
        "max_steps": 1000,
        "max_retries": 99,
        "tags": [""],
    }
    answer = await agents.call(who, "ValidateAgent", agent=wrong)
    assert not answer.valid
    assert [problem.field for problem in answer.problems] == [
        *(
            "name",
            "model",
            "tools[0]",
            "inputSchema.required[0]",
            "inputSchema.type",
            "maxSteps",
            "maxRetries",
            "tags[0]",
        )
    ]
    assert answer.problems[1].suggestion == "Did you mean 'scripted'?"
    assert answer.problems[2].suggestion == "Did you mean 'calculator'?"
    assert answer.problems[4].suggestion == "Did you mean 'string'?"
    assert all(problem.message and problem.suggestion for problem in answer.problems)
    with pytest.raises(RetinueError) as refused:
        await agents.call(who, "CreateAgent", agent=wrong)
    assert [problem.field for problem in refused.value.problems] == [problem.field for problem in answer.problems]
    assert refused.value.actions


async def test_what_may_be_saved_is_valid(agents: Room) -> None:
    turns = [
        [{"text": "thinking"}, {"toolUse": {"name": "calculator", "input": {"expression": "1+1"}}}],
        {"content": [{"text": "{{tool.output}}"}], "delayMs": 5, "usage": {"inputTokens": 3}},
        {"text": "alone", "delayMs": 5},
        {"error": {"code": "429"}},
        [{"error": "broken"}],
    ]
    answer = await agents.call(member(), "ValidateAgent", agent=echo(model_settings=script(*turns)))
    assert answer.valid, answer
    assert (await agents.call(member(), "ValidateAgent", agent=echo(metadata=deep(28)))).valid
    for model in ("fast", "claude-sonnet-4-5", "anthropic/claude-opus-4.1", "ollama/llama3:8b", "vllm/meta/Llama-3"):
        assert (await agents.call(member(), "ValidateAgent", agent=echo(model=model))).valid, model


@pytest.mark.parametrize(
    ("fields", "mask", "code", "field"),
    [
        ({}, ["colour"], "INVALID_ARGUMENT", "updateMask"),
        ({}, ["model_settings.temperature"], "INVALID_ARGUMENT", "updateMask"),
        ({}, [""], "INVALID_ARGUMENT", "updateMask"),
        ({}, ["name"], "INVALID_AGENT_CONFIG", "name"),
        ({}, ["*"], "INVALID_AGENT_CONFIG", "name"),
        ({"tools": ["x"]}, [], "INVALID_AGENT_CONFIG", "tools[0]"),
        ({"description": "x", "etag": "r9"}, [], "VERSION_CONFLICT", "etag"),
        ({"description": "x", "etag": "?"}, [], "VERSION_CONFLICT", "etag"),
    ],
)
async def test_a_change_with_something_wrong(
    agents: Room, fields: dict[str, Any], mask: list[str], code: str, field: str
) -> None:
    who = member()
    created = (await agents.call(who, "CreateAgent", agent=echo())).agent
    with pytest.raises(RetinueError) as refused:
        await agents.call(who, "UpdateAgent", agent_id=created.id, agent=fields, update_mask={"paths": mask})
    assert refused.value.code == code
    assert refused.value.problems[0].field == field
    assert (await agents.call(who, "GetAgent", agent_id=created.id)).agent == created


@pytest.mark.parametrize("method", ["GetAgent", "UpdateAgent", "DeleteAgent"])
@pytest.mark.parametrize(
    "agent_id", ["0199a1b0-0000-7000-8000-000000000001", "nonsense", "a\0b", "' or 1=1", "x" * 5_000]
)
async def test_an_agent_that_is_not_there(agents: Room, method: str, agent_id: str) -> None:
    fields: dict[str, Any] = {"agent": {"description": "x"}} if method == "UpdateAgent" else {}
    with pytest.raises(RetinueError) as refused:
        await agents.call(member(), method, agent_id=agent_id, **fields)
    assert (refused.value.code, refused.value.kind) == ("AGENT_NOT_FOUND", Kind.NOT_FOUND)


@pytest.mark.parametrize(
    ("method", "fields", "field"),
    [
        ("CreateAgent", {}, "agent"),
        ("GetAgent", {}, "agentId"),
        ("UpdateAgent", {"agent_id": "x"}, "agent"),
        ("UpdateAgent", {"agent": {"name": "x"}}, "agentId"),
        ("DeleteAgent", {}, "agentId"),
        ("ValidateAgent", {}, "agent"),
    ],
)
async def test_a_request_without_what_it_needs(agents: Room, method: str, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(RetinueError) as refused:
        await agents.call(member(), method, **fields)
    assert (refused.value.code, refused.value.problems[0].field) == ("INVALID_ARGUMENT", field)


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"page_size": -1}, "INVALID_ARGUMENT", "pageSize"),
        ({"page_token": "x"}, "INVALID_PAGE_TOKEN", "pageToken"),
        ({"page_token": "W10"}, "INVALID_PAGE_TOKEN", "pageToken"),
        ({"page_token": "\0"}, "INVALID_PAGE_TOKEN", "pageToken"),
        ({"page_token": "A" * 10_000}, "INVALID_PAGE_TOKEN", "pageToken"),
        ({"order_by": "color"}, "INVALID_ARGUMENT", "orderBy"),
        ({"order_by": "name down"}, "INVALID_ARGUMENT", "orderBy"),
        ({"order_by": "name, id"}, "INVALID_ARGUMENT", "orderBy"),
        ({"filter": "colour=red"}, "INVALID_FILTER", "filter"),
        ({"filter": "name=a\0b"}, "INVALID_FILTER", "filter"),
        ({"filter": "active=maybe"}, "INVALID_FILTER", "filter"),
        ({"filter": "name=a' or 'a'='a"}, "INVALID_FILTER", "filter"),
    ],
)
async def test_a_list_that_cannot_be_made(agents: Room, fields: dict[str, Any], code: str, field: str) -> None:
    with pytest.raises(RetinueError) as refused:
        await agents.call(member(), "ListAgents", **fields)
    assert (refused.value.code, refused.value.problems[0].field) == (code, field)
