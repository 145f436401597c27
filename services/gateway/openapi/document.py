"""The whole description: OpenAPI 3.1 of every route.

Owns what is not in the protos: how to authenticate, the shape of an error, the headers that all
routes share. It is generated, so it cannot say anything else than what the gateway does.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

import orjson

from services.gateway.openapi.comments import Comments
from services.gateway.openapi.operations import VARIABLE, operation, path_of, tag_of, variables_of
from services.gateway.openapi.schemas import Schema, Schemas
from services.gateway.routes.discover import Route

_ABOUT = (
    "Retinue registers AI agents, versions them, executes them durably and meters them. JSON follows the proto3 "
    "mapping: lowerCamelCase, 64-bit integers as strings, times in RFC 3339, durations such as `30s`. Unknown "
    "fields are errors."
)


def describe(routes: Iterable[Route], comments: Comments) -> bytes:
    """The description of `routes` as JSON."""
    return orjson.dumps(document(list(routes), comments))


def document(routes: list[Route], comments: Comments) -> dict[str, Any]:
    """The description of `routes`; `comments` are the texts of the protos by full name."""
    schemas = Schemas(comments)
    paths: dict[str, dict[str, Any]] = {}
    same: dict[str, str] = {}
    names: dict[str, int] = {}
    tags: dict[str, str] = {}
    for route in routes:
        name = f"{route.rpc.name[0].lower()}{route.rpc.name[1:]}"
        names[name] = names.get(name, 0) + 1
        unique = name if names[name] == 1 else f"{name}{names[name]}"
        # Paths that differ in the names of their variables only are one path to OpenAPI.
        path = same.setdefault(VARIABLE.sub("{}", route.template.text), path_of(route))
        described = operation(route, schemas, comments, unique, variables_of(path))
        paths.setdefault(path, {})[route.http_method.lower()] = described
        tags[tag_of(route)] = comments.get(route.rpc.containing_service.full_name, "")
    return {
        "openapi": "3.1.0",
        "info": {"title": "Retinue", "version": version("retinue"), "description": _ABOUT, "license": _LICENSE},
        "servers": [{"url": "/"}],
        "security": [{"apiToken": []}],
        "tags": [{"name": name, "description": text} for name, text in tags.items()],
        "paths": paths,
        "components": _COMPONENTS | {"schemas": schemas.components | {"Error": _ERROR}},
    }


_LICENSE = {"name": "Apache-2.0", "identifier": "Apache-2.0"}

_ERROR: Schema = {
    "type": "object",
    "description": "What every failure looks like.",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "code": {
                    "type": "string",
                    "description": "Stable, in upper snake case.",
                    "examples": ["AGENT_NOT_FOUND"],
                },
                "message": {"type": "string", "description": "One sentence for people."},
                "details": {
                    "type": "object",
                    "description": "Facts by name.",
                    "properties": {
                        "validationErrors": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "properties": {
                                    "field": {"type": "string", "examples": ["tools[2]"]},
                                    "message": {"type": "string"},
                                },
                                "required": ["field", "message"],
                            },
                        },
                        "suggestedActions": {"type": "array", "items": {"type": "string"}},
                    },
                    "additionalProperties": True,
                },
                "timestamp": {"type": "string", "format": "date-time"},
                "requestId": {"type": "string"},
            },
            "required": ["code", "message", "details", "timestamp", "requestId"],
        }
    },
    "required": ["error"],
}


def _header(text: str, **schema: Any) -> dict[str, Any]:
    return {"description": text, "schema": schema}


def _parameter(name: str, text: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": text, "schema": schema}


_COMPONENTS: dict[str, Any] = {
    "securitySchemes": {
        "apiToken": {
            "type": "http",
            "scheme": "bearer",
            "description": "An API token, `rtn_…`, made by `POST /v1/tokens`.",
        }
    },
    "parameters": {
        "RequestId": _parameter(
            "X-Request-Id",
            "An id for this request; it is echoed, and made where there is none.",
            type="string",
            pattern="^[A-Za-z0-9._:/+=@-]{1,128}$",
        ),
        "RequestTimeout": _parameter(
            "X-Request-Timeout",
            "Seconds that the client is willing to wait.",
            type="string",
            pattern=r"^[1-9][0-9]{0,5}(\.[0-9]{1,3})?s?$",
        ),
        "IdempotencyKey": _parameter(
            "Idempotency-Key",
            "The same key and body get the same answer; a key with another body is refused.",
            type="string",
            pattern="^[!-~]{1,255}$",
        ),
        "LastEventId": _parameter(
            "Last-Event-ID",
            "The id of the last event that was seen; the stream goes on after it.",
            type="string",
            pattern="^[0-9]{1,9}$",
        ),
    },
    "headers": {
        "RequestId": _header("The id of this request.", type="string"),
        "RateLimitLimit": _header("Requests that are allowed in the window.", type="integer"),
        "RateLimitRemaining": _header("Requests that are left in the window.", type="integer"),
        "RateLimitReset": _header("Seconds until the window begins anew.", type="integer"),
        "RetryAfter": _header("Seconds to wait before trying again.", type="integer"),
    },
    "responses": {
        "Error": {
            "description": "It failed. The HTTP status follows the gRPC status; `code` says what happened.",
            "headers": {
                "X-Request-Id": {"$ref": "#/components/headers/RequestId"},
                "Retry-After": {"$ref": "#/components/headers/RetryAfter"},
            },
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        }
    },
}
