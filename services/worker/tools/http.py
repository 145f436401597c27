"""The http tool: one request to the outside through the egress guard, and its answer in a form models can use.

Owns the shape of requests and answers and how a request may be repeated: reading is pure; anything else carries the
call's key in `Idempotency-Key`, and is idempotent only where the operator says that the server honours it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import orjson

from services.worker.core.entries import Effect
from services.worker.egress.answer import Answer, Headers, UnansweredError
from services.worker.egress.policy import RefusedError, parse_url
from services.worker.tools.contract import ToolContext, ToolError
from services.worker.tools.tables import read_csv

_READING = ("GET", "HEAD", "OPTIONS")
_USUAL_SECONDS = 30.0
_BODY_LIMIT = 4 * 1024 * 1024
_TEXT_LIMIT = 100_000
_RESERVED = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "upgrade", "te", "trailer", "expect", "keep-alive"}
)
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*\Z")
_SHOWN = ("content-type", "content-length", "etag", "last-modified", "location", "retry-after", "link", "date")
_STRINGS = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
_SCHEMA = {
    "type": "object",
    "properties": {
        "method": {"enum": ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"], "default": "GET"},
        "url": {"type": "string", "minLength": 1, "description": "An http or https URL."},
        "query": {**_STRINGS, "description": "Parameters to add to the URL."},
        "headers": {"type": "object", "additionalProperties": {"type": "string"}},
        "json": {"description": "Body to send as JSON."},
        "form": {**_STRINGS, "description": "Body to send as a form."},
        "text": {"type": "string", "description": "Body to send as it is."},
        "parse": {
            "enum": ["auto", "json", "csv", "none"],
            "default": "auto",
            "description": "How to read the answer; auto goes by its content type.",
        },
        "timeoutSeconds": {"type": "number", "exclusiveMinimum": 0, "maximum": 60},
    },
    "required": ["url"],
    "additionalProperties": False,
}


class Http:
    """The tool. `honours_key` names the hosts (`host` or `host:port`) that honour Idempotency-Key."""

    name = "http"
    description = (
        "Sends an HTTP request and returns status, headers and the body: as parsed data where it is JSON or CSV (a "
        "list of objects, one for each row), else as text. Internal addresses cannot be reached."
    )
    input_schema: Mapping[str, Any] = _SCHEMA
    timeout = 60.0
    output_limit = 256 * 1024

    def __init__(self, honours_key: frozenset[str] = frozenset()) -> None:
        self._honours_key = honours_key

    def effect(self, value: Any) -> Effect:
        """Reading is pure; a change is irreversible unless the server takes the same key for the same effect."""
        if value.get("method", "GET") in _READING:
            return Effect.PURE
        try:
            target = parse_url(value["url"])
        except RefusedError:
            return Effect.PURE  # it will be refused before anything is sent
        known = {target.host, f"{target.host}:{target.port}"}
        return Effect.IDEMPOTENT if known & self._honours_key else Effect.IRREVERSIBLE

    async def call(self, context: ToolContext, value: Any) -> Any:
        """Send the request. An answer with a status of 400 and above is an answer like any other."""
        method = value.get("method", "GET")
        headers, body = _message(value)
        if method not in _READING and not any(name.lower() == "idempotency-key" for name, _ in headers):
            headers = [*headers, ("Idempotency-Key", context.idempotency_key)]
        try:
            answer = await context.egress.request(
                method,
                _with_query(value["url"], value.get("query", {})),
                headers=headers,
                body=body,
                limit=_BODY_LIMIT,
                seconds=min(value.get("timeoutSeconds", _USUAL_SECONDS), context.seconds),
            )
        except RefusedError as refused:
            raise ToolError("EGRESS_REFUSED", str(refused)) from None
        except UnansweredError as failed:
            raise ToolError("HTTP_FAILED", str(failed), retryable=True, unknown=failed.sent) from None
        return _shown(answer, method, value.get("parse", "auto"))


def _message(value: Mapping[str, Any]) -> tuple[Headers, bytes]:
    headers = [(name, text) for name, text in value.get("headers", {}).items()]
    for name, text in headers:
        if name.lower() in _RESERVED or name.lower().startswith("proxy-"):
            raise ToolError("INVALID_TOOL_ARGUMENTS", f"The header {name!r} is set by the platform.")
        if not _NAME.match(name) or not _VALUE.match(text):
            raise ToolError("INVALID_TOOL_ARGUMENTS", f"The header {name!r} has characters that headers may not have.")
    bodies = [key for key in ("json", "form", "text") if key in value]
    if len(bodies) > 1:
        raise ToolError("INVALID_TOOL_ARGUMENTS", f"Send one body, not {' and '.join(bodies)}.")
    if not bodies:
        return headers, b""
    content_type, body = _body(bodies[0], value[bodies[0]])
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("Content-Type", content_type))
    return headers, body


def _body(kind: str, value: Any) -> tuple[str, bytes]:
    if kind == "json":
        return "application/json", orjson.dumps(value)
    if kind == "form":
        return "application/x-www-form-urlencoded", urlencode(_flat(value)).encode()
    return "text/plain; charset=utf-8", value.encode()


def _with_query(url: str, query: Mapping[str, Any]) -> str:
    if not query:
        return url
    parts = urlsplit(url)
    pairs = [*parse_qsl(parts.query, keep_blank_values=True), *_flat(query).items()]
    return urlunsplit(parts._replace(query=urlencode(pairs)))


def _flat(values: Mapping[str, Any]) -> dict[str, str]:
    return {key: value if isinstance(value, str) else orjson.dumps(value).decode() for key, value in values.items()}


def _shown(answer: Answer, method: str, parse: str) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "status": answer.status,
        "ok": 200 <= answer.status < 300,
        "url": answer.url,
        "headers": {name: text for name, text in answer.headers if name in _SHOWN},
    }
    if method == "HEAD":
        return shown
    text = answer.body.decode(_charset(answer), "replace")
    if answer.truncated:
        shown["truncated"] = f"only the first {_BODY_LIMIT} bytes were read"
    kind = _kind(answer) if parse == "auto" else parse
    found, data, why = _data(text, kind, answer.truncated)
    if found:
        return {**shown, "data": data}
    if why:
        shown["unparsed"] = why
    if len(text) > _TEXT_LIMIT:
        shown["truncated"] = f"only the first {_TEXT_LIMIT} characters are shown"
    return {**shown, "text": text[:_TEXT_LIMIT]}


def _data(text: str, kind: str, truncated: bool) -> tuple[bool, Any, str]:
    """The parsed body, or why there is none: whether it was parsed, the data, the reason."""
    if kind not in ("json", "csv") or not text:
        return False, None, ""
    if truncated:
        return False, None, "the body is not whole"
    if kind == "csv":
        rows = read_csv(text)
        return (True, rows, "") if rows is not None else (False, None, "the body is not CSV with a header line")
    try:
        return True, orjson.loads(text), ""
    except orjson.JSONDecodeError as error:
        return False, None, f"the body is not JSON: {error}"


def _kind(answer: Answer) -> str:
    content_type = answer.header("content-type").partition(";")[0].strip().lower()
    if content_type == "application/json" or content_type.endswith("+json"):
        return "json"
    if content_type in ("text/csv", "application/csv"):
        return "csv"
    octets = content_type in ("", "text/plain", "application/octet-stream")
    return "csv" if octets and urlsplit(answer.url).path.endswith(".csv") else "none"


def _charset(answer: Answer) -> str:
    _, _, charset = answer.header("content-type").lower().partition("charset=")
    name = charset.split(";")[0].strip().strip('"')
    return name if name in ("iso-8859-1", "latin-1", "windows-1252", "utf-16", "us-ascii") else "utf-8-sig"
