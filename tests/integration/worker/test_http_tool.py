"""The http tool against a real server: what it sends, what it makes of the answer, how calls may be repeated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from services.worker.core.entries import Effect
from services.worker.core.schema import Validator
from services.worker.egress.client import Egress
from services.worker.egress.policy import parse_policy
from services.worker.tools.contract import ToolContext, ToolError
from services.worker.tools.http import Http
from tests.fakes.web import Reply, Seen, Web, serving


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    async with serving() as server:
        server.routes["/echo"] = lambda _: Reply(body=b"ok", headers={"content-type": "text/plain"})
        yield server


async def call(web: Web, path: str = "/echo", **value: Any) -> Any:
    context = ToolContext("e1", "o1", "key-1", 30.0, Egress(parse_policy([f"127.0.0.1:{web.port}"])))
    value = {"url": web.url(path), **value}
    assert Validator(Http.input_schema).problems(value) == ()
    return await Http().call(context, value)


@pytest.mark.parametrize(
    ("value", "content_type", "body"),
    [
        ({"json": {"a": [1, None]}}, "application/json", b'{"a":[1,null]}'),
        ({"json": None}, "application/json", b"null"),
        ({"form": {"a": "x y", "b": 2}}, "application/x-www-form-urlencoded", b"a=x+y&b=2"),
        ({"text": "grüße"}, "text/plain; charset=utf-8", "grüße".encode()),
        ({"text": "<a/>", "headers": {"content-type": "text/xml"}}, "text/xml", b"<a/>"),
    ],
)
async def test_a_body_is_sent_in_its_form(web: Web, value: dict[str, Any], content_type: str, body: bytes) -> None:
    answer = await call(web, method="POST", **value)
    assert (answer["status"], answer["ok"], answer["text"]) == (200, True, "ok")
    assert web.seen[0].headers["content-type"] == content_type
    assert web.seen[0].body == body
    assert web.seen[0].headers["idempotency-key"] == "key-1"


async def test_reading_sends_no_key_and_adds_its_query(web: Web) -> None:
    await call(web, "/echo?a=1", query={"b": "x y", "c": 2, "d": True})
    assert web.seen[0].target == "/echo?a=1&b=x+y&c=2&d=true"
    assert "idempotency-key" not in web.seen[0].headers


async def test_a_key_of_the_callers_own_is_kept(web: Web) -> None:
    await call(web, method="PUT", text="x", headers={"Idempotency-Key": "mine"})
    assert web.seen[0].headers["idempotency-key"] == "mine"


@pytest.mark.parametrize(
    ("content_type", "body", "parse", "data"),
    [
        ("application/json", b'{"a":[1,2]}', "auto", {"a": [1, 2]}),
        ("application/problem+json; charset=utf-8", b"[]", "auto", []),
        ("text/csv", b"a,b\n1,x\n", "auto", [{"a": 1, "b": "x"}]),
        ("text/plain", b'{"a":1}', "json", {"a": 1}),
        ("text/plain", b"a;b\n1;2\n", "csv", [{"a": 1, "b": 2}]),
        ("text/csv", b"\xef\xbb\xbfa,b\n1,2\n", "auto", [{"a": 1, "b": 2}]),
    ],
)
async def test_data_is_parsed(web: Web, content_type: str, body: bytes, parse: str, data: Any) -> None:
    web.routes["/data"] = lambda _: Reply(body=body, headers={"content-type": content_type})
    answer = await call(web, "/data", parse=parse)
    assert answer["data"] == data
    assert "text" not in answer


async def test_a_csv_file_served_as_plain_text_is_a_table(web: Web) -> None:
    web.routes["/files/sales.csv"] = lambda _: Reply(body=b"a\n1\n", headers={"content-type": "text/plain"})
    assert (await call(web, "/files/sales.csv"))["data"] == [{"a": 1}]


async def test_what_cannot_be_parsed_is_given_as_text(web: Web) -> None:
    web.routes["/bad"] = lambda _: Reply(body=b"{oops", headers={"content-type": "application/json"})
    answer = await call(web, "/bad")
    assert answer["text"] == "{oops"
    assert "not JSON" in answer["unparsed"]


async def test_an_answer_that_says_no_is_an_answer(web: Web) -> None:
    web.routes["/no"] = lambda _: Reply(404, b"gone", {"content-type": "text/plain", "x-secret": "s"})
    answer = await call(web, "/no")
    assert (answer["status"], answer["ok"], answer["text"]) == (404, False, "gone")
    assert "x-secret" not in answer["headers"]


async def test_long_answers_are_cut_and_say_so(web: Web) -> None:
    web.routes["/long"] = lambda _: Reply(body=b"x" * 5_000_000, headers={"content-type": "text/plain"})
    answer = await call(web, "/long")
    assert len(answer["text"]) == 100_000
    assert answer["truncated"]
    assert len(orjson.dumps(answer)) < Http.output_limit


async def test_a_head_request_has_no_body(web: Web) -> None:
    web.routes["/head"] = lambda _: Reply(headers={"content-length": "123", "etag": '"1"'})
    answer = await call(web, "/head", method="HEAD")
    assert answer["headers"]["etag"] == '"1"'
    assert "text" not in answer


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ({"url": "http://127.0.0.2:1/"}, "EGRESS_REFUSED"),
        ({"url": "file:///etc/passwd"}, "EGRESS_REFUSED"),
        ({"headers": {"Host": "other"}}, "INVALID_TOOL_ARGUMENTS"),
        ({"headers": {"Proxy-Authorization": "x"}}, "INVALID_TOOL_ARGUMENTS"),
        ({"headers": {"X-A": "1\r\nX-B: 2"}}, "INVALID_TOOL_ARGUMENTS"),
        ({"headers": {"X A": "1"}}, "INVALID_TOOL_ARGUMENTS"),
        ({"headers": {"X-A": "日本"}}, "INVALID_TOOL_ARGUMENTS"),
        ({"text": "a", "json": 1}, "INVALID_TOOL_ARGUMENTS"),
    ],
)
async def test_a_request_that_may_not_be_sent_is_not(web: Web, value: dict[str, Any], code: str) -> None:
    with pytest.raises(ToolError) as failed:
        await call(web, method="POST", **value)
    assert failed.value.failure.code == code
    assert not failed.value.unknown
    assert web.seen == []


async def test_a_change_without_an_answer_may_have_taken_effect(web: Web) -> None:
    async def cut(_: Seen, writer: asyncio.StreamWriter) -> None:
        writer.close()

    web.raw["/cut"] = cut
    with pytest.raises(ToolError) as failed:
        await call(web, "/cut", method="POST", text="x")
    assert failed.value.unknown


@pytest.mark.parametrize(
    ("value", "effect"),
    [
        ({"url": "http://a.example/"}, Effect.PURE),
        ({"url": "http://a.example/", "method": "HEAD"}, Effect.PURE),
        ({"url": "http://a.example/", "method": "POST"}, Effect.IRREVERSIBLE),
        ({"url": "http://a.example/", "method": "DELETE"}, Effect.IRREVERSIBLE),
        ({"url": "http://pay.example/x", "method": "POST"}, Effect.IDEMPOTENT),
        ({"url": "https://PAY.example/x", "method": "PUT"}, Effect.IDEMPOTENT),
        ({"url": "http://pay.example.evil.example/x", "method": "POST"}, Effect.IRREVERSIBLE),
        ({"url": "http://local.example:81/x", "method": "POST"}, Effect.IDEMPOTENT),
        ({"url": "http://local.example/x", "method": "POST"}, Effect.IRREVERSIBLE),
    ],
)
def test_how_a_request_may_be_repeated(value: dict[str, Any], effect: Effect) -> None:
    assert Http(frozenset({"pay.example", "local.example:81"})).effect(value) is effect
