"""The table of bad input: what is refused, with which status and code, at which field, with which remedy.

Every case goes through the door of the whole suite. Whatever is sent, the answer is an error of the one shape, and
never a fault of ours (5xx).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.clients.agents import say, scripted
from tests.clients.people import People
from tests.clients.rest import Refused, Rest

NOBODY = "0199a1b0-0000-7000-8000-00000000dead"


@dataclass(frozen=True)
class Case:
    """One bad request. `path` and `body` may name the agent that the test made."""

    name: str
    path: str
    body: Any
    status: int
    code: str
    field: str = ""
    method: str = "POST"

    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


def nested(levels: int, shape: Callable[[Any], Any] = lambda inner: {"a": inner}) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = shape(value)
    return value


def deep_bytes(levels: int) -> bytes:
    return b'{"input": ' + b"[" * levels + b"]" * levels + b"}"


AGENT: dict[str, Any] = {"name": "a", "model": "scripted"}
RUN = "/v1/agents/{agent}/executions"
CASES = [
    Case("not JSON", "/v1/agents", b'{"name": ', 400, "INVALID_JSON"),
    Case("not UTF-8", "/v1/agents", b'{"name": "\xff"}', 400, "INVALID_JSON"),
    Case("two values", "/v1/agents", b"{} {}", 400, "INVALID_JSON"),
    Case("a list", "/v1/agents", [], 400, "INVALID_ARGUMENT", "body"),
    Case("a number", RUN, 5, 400, "INVALID_ARGUMENT", "body"),
    Case("nothing", "/v1/agents", b"", 400, "INVALID_ARGUMENT", "agent"),
    Case("unknown field", "/v1/agents", {**AGENT, "colour": "red"}, 400, "INVALID_ARGUMENT", "colour"),
    Case("unknown field of a run", RUN, {"inputs": {}}, 400, "INVALID_ARGUMENT", "inputs"),
    Case("unknown parameter", "/v1/agents?size=5", b"", 400, "INVALID_ARGUMENT", "size", "GET"),
    Case("a key twice", RUN, b'{"input": {"a": 1, "a": 2}}', 400, "INVALID_ARGUMENT", "input.a"),
    Case("both spellings", RUN, {"projectId": "a", "project_id": "b"}, 400, "INVALID_ARGUMENT", "project_id"),
    Case("number for text", "/v1/agents", {**AGENT, "name": 5}, 400, "INVALID_ARGUMENT", "name"),
    Case("text for a list", "/v1/agents", {**AGENT, "tools": "http"}, 400, "INVALID_ARGUMENT", "tools"),
    Case("number in a list", "/v1/agents", {**AGENT, "tools": ["http", 1]}, 400, "INVALID_ARGUMENT", "tools[1]"),
    Case("text for a number", "/v1/agents", {**AGENT, "maxSteps": "x"}, 400, "INVALID_ARGUMENT", "maxSteps"),
    Case("text for a duration", RUN, {"wait": "soon"}, 400, "INVALID_ARGUMENT", "wait"),
    Case("unknown name", RUN, {"priority": "TOP"}, 400, "INVALID_ARGUMENT", "priority"),
    Case("missing name", "/v1/agents", {"model": "scripted"}, 400, "INVALID_AGENT_CONFIG", "name"),
    Case("missing model", "/v1/agents", {"name": "a"}, 400, "INVALID_AGENT_CONFIG", "model"),
    Case("missing limit", "/v1/quotas", {"level": "USER", "metric": "TOKENS"}, 400, "INVALID_ARGUMENT", "", "PUT"),
    Case("missing token", "/v1/tokens", {}, 400, "INVALID_ARGUMENT", "name"),
    Case("over 1 MiB", RUN, {"input": "x" * 1024 * 1024}, 413, "BODY_TOO_LARGE"),
    Case("65 objects deep", RUN, {"input": nested(65)}, 400, "BODY_TOO_DEEP", "input" + ".a" * 29),
    Case("65 lists deep", RUN, deep_bytes(65), 400, "BODY_TOO_DEEP", "input" + "[0]" * 43),
    Case("50,000 deep", RUN, deep_bytes(50_000), 400, "BODY_TOO_DEEP"),
    Case("null byte", RUN, b'{"input": {"a": ["b\\u0000"]}}', 400, "INVALID_ARGUMENT", "input.a[0]"),
    Case("null byte in a key", RUN, b'{"input": {"a\\u0000": 1}}', 400, "INVALID_ARGUMENT", "input.a\\u0000"),
    Case("null byte in a name", "/v1/agents", b'{"name": "\\u0000"}', 400, "INVALID_ARGUMENT", "name"),
    Case("null byte in a parameter", "/v1/agents?filter=%00", b"", 400, "INVALID_ARGUMENT", "filter", "GET"),
    Case("null byte in the path", "/v1/executions/%00", b"", 400, "INVALID_ARGUMENT", "executionId", "GET"),
    Case("half a surrogate", RUN, b'{"input": "\\ud800"}', 400, "INVALID_ARGUMENT", "input"),
    Case("half a surrogate in a key", RUN, b'{"input": {"\\udc00": 1}}', 400, "INVALID_ARGUMENT", "input.\\udc00"),
    Case("NaN", RUN, b'{"input": {"a": NaN}}', 400, "INVALID_ARGUMENT", "input.a"),
    Case("infinity", RUN, b'{"input": [-Infinity]}', 400, "INVALID_ARGUMENT", "input[0]"),
    Case("too large a number", RUN, b'{"input": 1e999}', 400, "INVALID_ARGUMENT", "input"),
    Case("too precise a number", RUN, b'{"input": 9007199254740993}', 400, "INVALID_ARGUMENT", "input"),
    Case("unknown agent", f"/v1/agents/{NOBODY}/executions", {}, 404, "AGENT_NOT_FOUND"),
    Case("no id of an agent", "/v1/agents/nobody/executions", {}, 404, "AGENT_NOT_FOUND"),
    Case("unknown agent, read", f"/v1/agents/{NOBODY}", b"", 404, "AGENT_NOT_FOUND", method="GET"),
    Case("unknown agent, published", f"/v1/agents/{NOBODY}/versions/draft/publish", {}, 404, "AGENT_NOT_FOUND"),
    Case("unknown execution", f"/v1/executions/{NOBODY}", b"", 404, "EXECUTION_NOT_FOUND", method="GET"),
    Case("unknown execution, followed", f"/v1/executions/{NOBODY}/events", b"", 404, "EXECUTION_NOT_FOUND", "", "GET"),
    Case("unknown version", RUN, {"version": "7.0.0"}, 404, "VERSION_NOT_FOUND"),
    Case("no version", RUN, {"version": "latest"}, 404, "VERSION_NOT_FOUND"),
    Case("unpublished agent", "/v1/agents/{unpublished}/executions", {}, 400, "AGENT_NOT_PUBLISHED"),
    Case("no route", "/v1/nothing", {}, 404, "ROUTE_NOT_FOUND"),
    Case("wrong method", "/v1/agents", b"", 405, "METHOD_NOT_ALLOWED", method="DELETE"),
    Case(
        "no JSON Schema",
        "/v1/agents",
        {**AGENT, "inputSchema": {"properties": {"n": {"type": "intger"}}}},
        400,
        "INVALID_AGENT_CONFIG",
        "inputSchema.properties.n.type",
    ),
    Case(
        "a schema elsewhere",
        "/v1/agents",
        {**AGENT, "outputSchema": {"$ref": "http://169.254.169.254/"}},
        400,
        "INVALID_AGENT_CONFIG",
        "outputSchema.$ref",
    ),
    Case("input mismatch", RUN, {"input": {"n": "one"}}, 400, "INVALID_INPUT", "input.n"),
    Case("negative wait", RUN, {"input": {"n": 1}, "wait": "-1s"}, 400, "INVALID_ARGUMENT"),
    Case("negative page", "/v1/executions?pageSize=-1", b"", 400, "INVALID_ARGUMENT", "pageSize", "GET"),
    Case("broken page token", "/v1/executions?pageToken=x", b"", 400, "INVALID_PAGE_TOKEN", "pageToken", "GET"),
    Case("broken filter", "/v1/executions?filter=status", b"", 400, "INVALID_FILTER", "filter", "GET"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_bad_input_is_refused_with_its_code_its_field_and_a_remedy(acme: Rest, case: Case) -> None:
    schema = {"properties": {"n": {"type": "integer"}}}
    agents = {"agent": NOBODY, "unpublished": NOBODY}
    if "{agent}" in case.path:
        agents["agent"] = await acme.publish(scripted(say("Hi."), inputSchema=schema))
    if "{unpublished}" in case.path:
        agents["unpublished"] = (await acme.post("/v1/agents", scripted(say("Hi."))))["id"]
    response = await acme.raw(case.method, case.path.format_map(agents), case.content())
    assert response.status_code == case.status, response.text
    refused = Refused(response)
    assert refused.code == case.code
    assert not case.field or case.field in refused.fields, response.text
    assert refused.error["requestId"] == response.headers["x-request-id"]
    assert refused.error["message"]
    assert refused.fields or refused.actions or case.code == "BODY_TOO_LARGE", "there is no remedy"
    for inner in ("Traceback", "psycopg", "postgres", "127.0.0.1", "site-packages"):
        assert inner not in response.text
    assert (await acme.get("/v1/executions"))["executions"] == []


@pytest.mark.parametrize("levels", range(20, 66, 3))
@pytest.mark.parametrize("shape", ["objects", "lists", "mixed"])
async def test_no_depth_is_a_fault_of_ours(acme: Rest, levels: int, shape: str) -> None:
    shapes: dict[str, Callable[[Any], Any]] = {
        "objects": lambda inner: {"a": inner},
        "lists": lambda inner: [inner],
        "mixed": lambda inner: {"a": [inner]},
    }
    given = nested(levels // 2 if shape == "mixed" else levels, shapes[shape])
    agent = await acme.publish(scripted(say("Hi.")))
    places = {
        f"/v1/agents/{agent}/executions": {"input": given, "wait": "60s"},
        "/v1/agents": scripted(say("Hi."), metadata={"a": given}, inputSchema={"const": given}),
        "/v1/agents:validate": scripted(say("Hi."), modelSettings={"x": given}),
    }
    for path, body in places.items():
        response = await acme.raw("POST", path, json.dumps(body).encode())
        assert response.status_code in (200, 400), (path, response.text)
        if response.status_code == 400:
            assert Refused(response).fields, path
        elif path.endswith("executions"):
            assert response.json()["status"] == "COMPLETED"
            assert response.json()["input"] == given
            assert (await acme.followed(response.json()["id"]))[-1].event == "done"
            assert (await acme.get("/v1/executions"))["executions"][0]["input"] == given


@pytest.mark.parametrize("given", [nested(28), [[[[]]]], {"😀": "\u2028"}, -0.5, 2**53, "", False, None])
async def test_what_may_be_sent_comes_back_as_it_was(acme: Rest, given: Any) -> None:
    done = await acme.run(await acme.publish(scripted(say("Hi."))), given)
    assert done["status"] == "COMPLETED"
    assert done.get("input") == given


@pytest.mark.parametrize("token", ["", "rtn_", "nonsense", "rtn_" + "x" * 43, "rtn_" + "x" * 5_000, "Bearer rtn_x"])
async def test_a_token_that_is_none_lets_nobody_in(people: People, token: str) -> None:
    refused = await unauthenticated(people.bearer(token))
    assert refused.code == ("UNAUTHENTICATED" if token else "TOKEN_MISSING")


async def unauthenticated(client: Rest) -> Refused:
    """Be refused at the door, in all the ways there are to knock."""
    for method, path in (("GET", "/v1/agents"), ("POST", f"/v1/agents/{NOBODY}/execute"), ("GET", "/v1/caller")):
        with pytest.raises(Refused) as refused:
            await client.call(method, path, {} if method == "POST" else None)
        assert refused.value.status == 401
        assert refused.value.headers["www-authenticate"].startswith("Bearer")
        assert refused.value.actions
    return refused.value


async def test_a_token_that_has_expired_lets_nobody_in(people: People) -> None:
    acme = await people.founder()
    soon = (datetime.now(UTC) + timedelta(seconds=3)).isoformat().replace("+00:00", "Z")
    client = people.bearer(await people.token(acme.user_id, expiresAt=soon))
    assert await refusal(client) == "TOKEN_EXPIRED"
    await unauthenticated(client)


async def test_a_token_that_was_revoked_lets_nobody_in(people: People) -> None:
    acme = await people.founder()
    created = await acme.post("/v1/tokens", {"name": "short-lived"})
    client = people.bearer(created["secret"])
    assert (await client.get("/v1/caller"))["user"]["id"] == acme.user_id
    await acme.call("DELETE", f"/v1/tokens/{created['token']['id']}")
    assert await refusal(client) == "TOKEN_REVOKED"
    await unauthenticated(client)


async def refusal(client: Rest) -> str:
    """Knock until the door stays shut, and return why it does."""
    while True:
        try:
            await client.get("/v1/caller")
        except Refused as refused:
            assert refused.status == 401  # noqa: PT017 - it was let in before
            return refused.code
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("scopes", [["agents:read"], ["executions:read"]])
async def test_a_token_without_the_scope_says_which_is_missing(people: People, scopes: list[str]) -> None:
    acme = await people.founder()
    client = people.bearer(await people.token(acme.user_id, scopes=scopes))
    agent = await acme.publish(scripted(say("Hi.")))
    with pytest.raises(Refused) as refused:
        await client.start(agent)
    assert (refused.value.status, refused.value.code) == (403, "INSUFFICIENT_PERMISSIONS")
    assert "executions:run" in refused.value.actions[0]


async def test_another_organisation_finds_nothing(people: People) -> None:
    acme, other = await people.founder(), await people.founder()
    agent = await acme.publish(scripted(say("Hi.")))
    execution = (await acme.run(agent))["id"]
    for method, path, code in (
        ("GET", f"/v1/agents/{agent}", "AGENT_NOT_FOUND"),
        ("PATCH", f"/v1/agents/{agent}", "AGENT_NOT_FOUND"),
        ("DELETE", f"/v1/agents/{agent}", "AGENT_NOT_FOUND"),
        ("POST", f"/v1/agents/{agent}/executions", "AGENT_NOT_FOUND"),
        ("POST", f"/v1/agents/{agent}/execute", "AGENT_NOT_FOUND"),
        ("GET", f"/v1/agents/{agent}/versions", "AGENT_NOT_FOUND"),
        ("POST", f"/v1/agents/{agent}/versions/draft/publish", "AGENT_NOT_FOUND"),
        ("GET", f"/v1/executions/{execution}", "EXECUTION_NOT_FOUND"),
        ("GET", f"/v1/executions/{execution}/events", "EXECUTION_NOT_FOUND"),
        ("GET", f"/v1/executions/{execution}/steps", "EXECUTION_NOT_FOUND"),
        ("POST", f"/v1/executions/{execution}/cancel", "EXECUTION_NOT_FOUND"),
        ("GET", f"/v1/organizations/{acme.organization_id}", "ORGANIZATION_NOT_FOUND"),
    ):
        body: Any = {} if method in ("POST", "PATCH") else None
        with pytest.raises(Refused) as refused:
            await other.call(method, path, body)
        assert (refused.value.status, refused.value.code) == (404, code), path
        assert refused.value.actions, path
    assert (await other.get("/v1/agents"))["agents"] == (await other.get("/v1/executions"))["executions"] == []


@pytest.mark.parametrize("size", [1_000, 70_000, 200_000, 1024 * 1024 - 20])
async def test_a_body_up_to_the_limit_is_taken_however_it_arrives(acme: Rest, size: int) -> None:
    agent = await acme.publish(scripted(say("Hi.")))
    body = json.dumps({"input": "x" * size}).encode()
    reader, writer = await asyncio.open_connection(acme.http.base_url.host, acme.http.base_url.port)
    lines = (f"POST /v1/agents/{agent}/executions HTTP/1.1", "Host: x", f"Authorization: Bearer {acme.token}")
    head = "\r\n".join((*lines, f"Content-Length: {len(body)}", "Connection: close", "", ""))
    writer.write(head.encode() + body)
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()
    await writer.wait_closed()
