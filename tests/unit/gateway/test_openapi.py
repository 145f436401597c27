"""The description of the API: valid, complete, and true to what the gateway takes."""

from __future__ import annotations

import re
from typing import Any

import jsonschema_rs
import orjson
import pytest
from google.protobuf.descriptor_pool import Default
from openapi_spec_validator import OpenAPIV31SpecValidator

from services.gateway.config import ROOMS
from services.gateway.endpoints import all_routes, load_files
from services.gateway.openapi import comments
from services.gateway.openapi.document import document
from services.gateway.routes.binding import Binding
from services.gateway.routes.discover import Route, routes_of
from services.gateway.transcode.json_in import Parser
from services.gateway.transcode.json_out import Printer
from tests.fakes.gateway.protos import files, image

SUITE = all_routes(load_files(ROOMS))
SUITE_DOCUMENT = document(SUITE, comments.load())
ECHO_DOCUMENT = document(routes_of("echo", files()), comments.comments_of(image()))
METHODS = {"get", "put", "post", "delete", "patch"}


def operations(described: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, found)
        for path, item in described["paths"].items()
        for method, found in item.items()
        if method in METHODS
    ]


@pytest.mark.parametrize("described", [SUITE_DOCUMENT, ECHO_DOCUMENT], ids=["suite", "echo"])
def test_is_valid_openapi(described: dict[str, Any]) -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(described).iter_errors()] == []


@pytest.mark.parametrize("described", [SUITE_DOCUMENT, ECHO_DOCUMENT], ids=["suite", "echo"])
def test_every_operation_and_field_is_described(described: dict[str, Any]) -> None:
    found = operations(described)
    assert all(one["summary"] and one["operationId"] and one["tags"] for _, _, one in found)
    assert len({one["operationId"] for _, _, one in found}) == len(found)
    assert [tag["name"] for tag in described["tags"] if not tag["description"]] == []
    for name, schema in described["components"]["schemas"].items():
        missing = [field for field, shape in schema.get("properties", {}).items() if not shape.get("description")]
        assert missing == [] or name == "Error", name


def test_describes_every_route_of_the_suite() -> None:
    described = {(method.upper(), re.sub(r"\{[^}]+\}", "{}", path)) for path, method, _ in operations(SUITE_DOCUMENT)}
    assert described == {(route.http_method, re.sub(r"\{[^}]+\}", "{}", route.template.text)) for route in SUITE}


@pytest.mark.parametrize("route", [*SUITE, *routes_of("echo", files())], ids=lambda route: route.rpc.full_name)
def test_examples_of_bodies_are_taken_by_the_gateway(route: Route) -> None:
    described = ECHO_DOCUMENT if route.room == "echo" else SUITE_DOCUMENT
    template = re.sub(r"\{[^}]+\}", "{}", route.template.text)
    path = next(path for path in described["paths"] if re.sub(r"\{[^}]+\}", "{}", path) == template)
    body = described["paths"][path][route.http_method.lower()].get("requestBody")
    binding = Binding(route, Parser(Default()), Printer(Default()))
    segments = tuple("1" for _ in route.template.segments)
    sent = b"" if body is None else orjson.dumps(body["content"]["application/json"]["example"])
    assert binding.request(segments, b"", sent, None) is not None
    if body is not None:
        schema = body["content"]["application/json"]["schema"] | {"components": described["components"]}
        assert jsonschema_rs.is_valid(schema, body["content"]["application/json"]["example"])


def test_says_what_a_stream_is() -> None:
    watch = ECHO_DOCUMENT["paths"]["/v1/notes/{noteId}/events"]["get"]
    content = watch["responses"]["200"]["content"]
    assert content == {"text/event-stream": {"schema": content["text/event-stream"]["schema"]}}
    assert content["text/event-stream"]["schema"]["$ref"] == "#/components/schemas/NoteEvent"
    assert {"$ref": "#/components/parameters/LastEventId"} in watch["parameters"]


def test_says_what_a_token_must_carry() -> None:
    create = ECHO_DOCUMENT["paths"]["/v1/shelves/{shelfId}/notes"]["post"]
    assert create["security"] == [{"apiToken": ["notes:write"]}]
    assert "Needs the scope `notes:write`." in create["description"]
    assert {"$ref": "#/components/parameters/IdempotencyKey"} in create["parameters"]


def test_schemas_follow_the_json_mapping() -> None:
    note = ECHO_DOCUMENT["components"]["schemas"]["Note"]
    assert note["required"] == ["text"]
    assert note["additionalProperties"] is False
    assert note["properties"]["id"]["readOnly"] is True
    assert note["properties"]["sizeBytes"]["type"] == "string"
    assert note["properties"]["createdAt"]["format"] == "date-time"
    assert note["properties"]["mark"]["$ref"] == "#/components/schemas/Note.Mark"
    assert ECHO_DOCUMENT["components"]["schemas"]["Note.Mark"]["enum"] == ["MARK_UNSPECIFIED", "STAR", "FLAG"]
    listed = {one.get("name") for one in ECHO_DOCUMENT["paths"]["/v1/notes"]["get"]["parameters"]}
    assert {"pageSize", "marks", "like.place.floorNumber", "after", "fields"} <= listed
    assert "labels" not in listed
