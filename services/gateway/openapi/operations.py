"""One operation of the description: what a route takes and how it answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from retinue.common.v1 import options_pb2
from services.gateway.openapi.comments import Comments
from services.gateway.openapi.samples import sample
from services.gateway.openapi.schemas import Schema, Schemas
from services.gateway.routes.discover import Route, field_with_role, leaf
from services.gateway.transcode.masks import camel
from services.gateway.transcode.query import is_leaf

VARIABLE = re.compile(r"\{([A-Za-z0-9_.]+)(?:=[^{}]+)?\}")
"""A variable in a template, or in a path of OpenAPI."""

_EVENTS = (
    "Server-sent events: `id` is the sequence to come back with as `Last-Event-ID`, `event` the kind, `data` one "
    "JSON object of this schema. A comment every 15 s keeps a silent line open."
)
_DEEPEST = 3


def path_of(route: Route) -> str:
    """The route's path as OpenAPI writes it."""
    return VARIABLE.sub(lambda match: f"{{{camel(match[1])}}}", route.template.text)


def variables_of(path: str) -> list[str]:
    """The names of a path's variables, in their order."""
    return VARIABLE.findall(path)


def operation(route: Route, schemas: Schemas, comments: Comments, name: str, variables: list[str]) -> dict[str, Any]:
    """The operation of a route; `name` is its id, `variables` what its path calls its variables."""
    text = comments.get(route.rpc.full_name, "")
    summary, _, _ = text.partition(". ")
    found: dict[str, Any] = {
        "operationId": name,
        "tags": [tag_of(route)],
        "summary": summary.rstrip("."),
        "description": "\n\n".join(part for part in (text, _scope_text(route)) if part),
        "parameters": [
            *_path_parameters(route, schemas, variables),
            *_query_parameters(route, schemas),
            *_headers(route),
        ],
        "responses": _responses(route, schemas),
        "security": [] if route.anonymous else [{"apiToken": _scopes(route)}],
    }
    body = _body(route, schemas)
    if body is not None:
        found["requestBody"] = body
    return found


def tag_of(route: Route) -> str:
    """The tag of a route: its service, without the word."""
    return route.rpc.containing_service.name.removesuffix("Service")


def _scopes(route: Route) -> list[str]:
    scope = route.rpc.GetOptions().Extensions[options_pb2.access].scope
    return [scope] if scope else []


def _scope_text(route: Route) -> str:
    return "".join(f"Needs the scope `{scope}`." for scope in _scopes(route))


def _path_parameters(route: Route, schemas: Schemas, variables: list[str]) -> Iterator[dict[str, Any]]:
    for name, variable in zip(variables, route.template.variables, strict=True):
        schema = schemas.field(leaf(route.rpc.input_type, variable.field))
        schema.pop("readOnly", None)
        text = schema.pop("description", "")
        if schema.get("type") == "string" and "format" not in schema:
            schema["minLength"] = 1
        yield {"name": name, "in": "path", "required": True, "description": text, "schema": schema}


def _query_parameters(route: Route, schemas: Schemas) -> Iterator[dict[str, Any]]:
    if route.body == "*":
        return
    taken = {variable.field for variable in route.template.variables} | {route.body}
    for name, field in _leaves(route.rpc.input_type, (), taken):
        schema = schemas.field(field)
        yield {"name": name, "in": "query", "description": schema.pop("description", ""), "schema": schema}


def _leaves(message: Descriptor, above: tuple[str, ...], taken: set[str]) -> Iterator[tuple[str, FieldDescriptor]]:
    for field in message.fields:
        path = (*above, field.name)
        if ".".join(path) in taken:
            continue
        if is_leaf(field):
            yield camel(".".join(path)), field
        elif field.message_type is not None and not field.is_repeated and len(path) < _DEEPEST:
            inside = field.message_type
            yield from _leaves(inside, path, taken) if inside.file.package != "google.protobuf" else ()


def _headers(route: Route) -> Iterator[Schema]:
    names = ["RequestId", "RequestTimeout"]
    if route.http_method == "POST" and route.rpc.GetOptions().idempotency_level == MethodOptions.IDEMPOTENCY_UNKNOWN:
        names.append("IdempotencyKey")
    if field_with_role(route.rpc.input_type, options_pb2.EVENT_STREAM_ROLE_LAST_EVENT_ID) is not None:
        names.append("LastEventId")
    for name in names:
        yield {"$ref": f"#/components/parameters/{name}"}


def _body(route: Route, schemas: Schemas) -> dict[str, Any] | None:
    if not route.body:
        return None
    request = route.rpc.input_type
    if route.body == "*":
        given = frozenset(variable.field for variable in route.template.variables)
        schema = schemas.object_of(request, without=given)
        schema.pop("description", None)
        required = bool(schema.get("required"))
    else:
        field = leaf(request, route.body)
        schema = schemas.field(field)
        required = True
    content = {"schema": schema, "example": sample(schema, schemas.components)}
    return {"required": required, "content": {"application/json": content}}


def _responses(route: Route, schemas: Schemas) -> dict[str, Any]:
    failed = {"default": {"$ref": "#/components/responses/Error"}}
    answer = _answer(route, schemas)
    if route.rpc.server_streaming:
        content = {"text/event-stream": {"schema": answer}}
        return {"200": {"description": _EVENTS, "content": content}, **failed}
    content = {"application/json": {"schema": answer}}
    return {"200": {"description": "Done.", "content": content, "headers": _ANSWER_HEADERS}, **failed}


def _answer(route: Route, schemas: Schemas) -> Schema:
    if route.response_body:
        return schemas.field(leaf(route.rpc.output_type, route.response_body))
    return schemas.message(route.rpc.output_type)


_ANSWER_HEADERS = {
    "X-Request-Id": {"$ref": "#/components/headers/RequestId"},
    "RateLimit-Limit": {"$ref": "#/components/headers/RateLimitLimit"},
    "RateLimit-Remaining": {"$ref": "#/components/headers/RateLimitRemaining"},
    "RateLimit-Reset": {"$ref": "#/components/headers/RateLimitReset"},
}
