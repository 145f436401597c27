"""Unary calls over REST, with a real service behind."""

from __future__ import annotations

import asyncio
import re

import httpx
import orjson
import pytest

from services.gateway.app import Limits
from tests.fakes.gateway import upstream
from tests.integration.gateway.conftest import Running, Start, settled

BIG = 1024 * 1024


async def test_a_request_becomes_a_call_and_its_answer_json(gateway: Running) -> None:
    answer = await gateway.client.post(
        "/v1/shelves/s/notes",
        json={"text": "hello", "mark": "STAR", "sizeBytes": "7"},
        headers={"x-request-id": "req-1", "idempotency-key": "k-1"},
    )
    note = answer.json()
    assert answer.status_code == 200
    assert (note["text"], note["mark"], note["sizeBytes"], note["tags"]) == ("hello", "STAR", "7", [])
    assert note["metadata"] == {"subject": "ada", "requestId": "req-1", "key": "k-1"}
    assert answer.headers["x-request-id"] == "req-1"
    assert answer.headers["content-type"] == "application/json"


async def test_a_patch_carries_the_mask_of_what_was_sent(gateway: Running) -> None:
    answer = await gateway.client.patch("/v1/notes/n?updateMask=text", json={"text": "t"})
    assert (answer.json()["id"], answer.json()["text"]) == ("n", "t")


async def test_head_answers_like_get_without_a_body(gateway: Running) -> None:
    answer = await gateway.client.head("/v1/notes/7")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 0


async def test_options_and_405_say_what_is_possible(gateway: Running) -> None:
    options = await gateway.client.options("/v1/notes/7")
    refused = await gateway.client.put("/v1/notes/7", json={})
    assert (options.status_code, refused.status_code) == (204, 405)
    assert options.headers["allow"] == refused.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH"
    assert refused.json()["error"]["code"] == "METHOD_NOT_ALLOWED"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("method", "path", "content", "status", "code", "field"),
    [
        ("GET", "/v1/nothing", b"", 404, "ROUTE_NOT_FOUND", None),
        ("GET", "/v1/notes/", b"", 404, "ROUTE_NOT_FOUND", None),
        ("GET", "/v1/notes/%FF", b"", 400, "INVALID_ARGUMENT", None),
        ("GET", "/v1/notes/x", b"", 400, "INVALID_ARGUMENT", "noteId"),
        ("GET", "/v1/notes?nope=1", b"", 400, "INVALID_ARGUMENT", "nope"),
        ("GET", "/v1/notes/404", b"", 404, "NOTE_NOT_FOUND", None),
        ("GET", "/v1/notes/500", b"", 500, "INTERNAL", None),
        ("GET", "/v1/notes/7", b"{}x", 400, "BODY_NOT_ALLOWED", None),
        ("POST", "/v1/shelves/s/notes", b"{", 400, "INVALID_JSON", None),
        ("POST", "/v1/shelves/s/notes", b'{"txt":1}', 400, "INVALID_ARGUMENT", "txt"),
        ("POST", "/v1/shelves/s/notes", b'{"text":"\\u0000"}', 400, "INVALID_ARGUMENT", "text"),
        ("POST", "/v1/shelves/s/notes", b'{"text":NaN}', 400, "INVALID_ARGUMENT", "text"),
        ("POST", "/v1/shelves/s/notes", b'{"metadata":' + b'{"a":' * 64 + b"1" + b"}" * 65, 400, "BODY_TOO_DEEP", ...),
        ("POST", "/v1/shelves/s/notes", b'{"text":"' + b"x" * BIG + b'"}', 413, "BODY_TOO_LARGE", None),
        ("DELETE", "/v1/notes", b"", 405, "METHOD_NOT_ALLOWED", None),
    ],
)
async def test_errors_have_a_status_a_code_a_field_and_a_remedy(
    shared_gateway: Running, method: str, path: str, content: bytes, status: int, code: str, field: object
) -> None:
    answer = await shared_gateway.client.request(method, path, content=content)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert error["requestId"] == answer.headers["x-request-id"]
    assert error["timestamp"].endswith("Z")
    assert "secret" not in answer.text
    if isinstance(field, str):
        assert error["details"]["validationErrors"][0]["field"] == field


async def test_fields_of_a_services_problems_are_relative_to_the_body(gateway: Running) -> None:
    error = (await gateway.client.get("/v1/notes/400")).json()["error"]
    assert error["details"]["validationErrors"] == [{"field": "note.text", "message": "is too short"}]


async def test_rate_limits_travel_as_headers(gateway: Running) -> None:
    answer = await gateway.client.get("/v1/notes/7")
    refused = await gateway.client.get("/v1/notes/429")
    assert (answer.headers["ratelimit-limit"], answer.headers["ratelimit-remaining"]) == ("10", "9")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "3")
    assert refused.json()["error"]["code"] == "RATE_LIMITED"


async def test_clients_cannot_set_internal_metadata(gateway: Running) -> None:
    forged = {
        "x-retinue-identity": "forged",
        "grpc-timeout": "1n",
        "x-request-id": "bad id\twith space",
        "traceparent": "nonsense",
        "x-other": "1",
    }
    answer = await gateway.client.get("/v1/notes/7", headers=forged)
    seen = gateway.echo.seen[-1]
    assert answer.status_code == 200
    assert seen.keys() & {"x-other", "authorization", "user-agent"} <= {"user-agent"}
    assert seen["x-retinue-identity"].count(".") == 2
    assert seen["x-request-id"] == answer.headers["x-request-id"] != "bad id\twith space"
    assert seen["traceparent"].startswith("00-")


async def test_a_trace_goes_on(gateway: Running) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    await gateway.client.get("/v1/notes/7", headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    assert gateway.echo.seen[-1]["traceparent"].split("-")[1] == trace


async def test_a_deadline_travels_and_ends_the_call(gateway: Running) -> None:
    answer = await gateway.client.get("/v1/notes/7", headers={"x-request-timeout": "100s"})
    assert 90 <= int(answer.json()["sizeBytes"]) <= 100
    late = await gateway.client.get("/v1/notes/7?wait=60s", headers={"x-request-timeout": "0.2"})
    assert (late.status_code, late.json()["error"]["code"]) == (504, "DEADLINE_EXCEEDED")
    wrong = await gateway.client.get("/v1/notes/7", headers={"x-request-timeout": "soon"})
    assert wrong.json()["error"]["details"]["validationErrors"][0]["field"] == "X-Request-Timeout"


@pytest.mark.parametrize(
    ("header", "challenge"),
    [
        (None, 'Bearer realm="retinue"'),
        ("Basic abc", 'Bearer realm="retinue"'),
        ("Bearer", 'Bearer realm="retinue"'),
        ("Bearer other", 'Bearer realm="retinue", error="invalid_token"'),
        ("Bearer rtn_unknown", 'Bearer realm="retinue", error="invalid_token"'),
        ("Bearer " + "rtn_" + "x" * 500, 'Bearer realm="retinue", error="invalid_token"'),
    ],
)
async def test_without_a_valid_token_nothing_is_called(gateway: Running, header: str | None, challenge: str) -> None:
    async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client:
        answer = await client.get("/v1/notes/7", headers={"authorization": header} if header is not None else {})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, challenge)
    assert answer.json()["error"]["details"]["suggestedActions"]
    assert gateway.echo.seen == []


async def test_a_token_is_exchanged_once_for_many_requests(gateway: Running) -> None:
    await asyncio.gather(*(gateway.client.get("/v1/notes/7") for _ in range(10)))
    assert gateway.exchanged == ["rtn_good"]


async def test_a_service_that_is_down_is_503_and_comes_back_by_itself(gateway: Running) -> None:
    assert (await gateway.client.get("/readyz")).status_code == 200
    await gateway.server.stop(0)
    down = await gateway.client.post("/v1/shelves/s/notes", json={"text": "t"})
    assert (down.status_code, down.json()["error"]["code"]) == (503, "UNAVAILABLE")
    assert down.headers["retry-after"] == "1"
    unready = await gateway.client.get("/readyz")
    assert (unready.status_code, unready.json()["services"]) == (503, {"echo": "UNREACHABLE"})
    gateway.server = await upstream.start(gateway.echo, gateway.verifier, gateway.address)
    async with asyncio.timeout(10):
        while (await gateway.client.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.05)
    assert (await gateway.client.get("/v1/notes/7")).status_code == 200
    await gateway.server.stop(0)


async def test_more_requests_than_can_be_taken_are_refused_at_once(start_gateway: Start) -> None:
    gateway = await start_gateway(unary=1)
    waiting = asyncio.create_task(gateway.client.get("/v1/notes/7?wait=60s"))
    await settled(lambda: gateway.admission.inside[False] == 1)
    refused = await gateway.client.get("/v1/notes/7")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "OVERLOADED")
    assert refused.headers["retry-after"] == "1"
    waiting.cancel()
    await settled(lambda: not gateway.admission.inside[False])


async def test_a_body_that_does_not_arrive_is_not_waited_for(start_gateway: Start) -> None:
    gateway = await start_gateway(limits=Limits(body_seconds=0.1))
    host, port = gateway.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /v1/notes HTTP/1.1\r\nhost: x\r\nauthorization: Bearer rtn_good\r\ncontent-length: 100\r\n\r\n{"
    )
    answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 408")
    writer.close()


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_large_is_refused_however_it_is_sent(start_gateway: Start, chunked: bool) -> None:
    gateway = await start_gateway(limits=Limits(body_bytes=1000))

    async def parts() -> object:
        for _ in range(20):
            yield b"x" * 100

    content = parts() if chunked else b"x" * 2000
    answer = await gateway.client.post("/v1/notes", content=content)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "BODY_TOO_LARGE")
    assert (await gateway.client.post("/v1/notes", content=b'{"note":{}}')).status_code == 200


async def test_heads_are_bounded(gateway: Running) -> None:
    large = await gateway.client.get("/v1/notes/7", headers={"x-large": "x" * 40_000})
    assert (large.status_code, large.json()["error"]["code"]) == (431, "HEADERS_TOO_LARGE")
    host, port = gateway.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET / HTTP/1.1\r\nx-endless: ")
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        async with asyncio.timeout(10):
            while True:
                writer.write(b"x" * 10_000)
                await writer.drain()
                if reader.at_eof():
                    raise ConnectionResetError
                await asyncio.sleep(0)
    writer.close()


@pytest.mark.parametrize("sent", [b"NONSENSE\r\n\r\n", b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n"])
async def test_what_is_not_http_gets_an_error_of_the_same_format(gateway: Running, sent: bytes) -> None:
    host, port = gateway.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert orjson.loads(body)["error"]["code"] == "INVALID_HTTP"
    writer.close()


async def test_pipelined_requests_are_answered_in_their_order(gateway: Running) -> None:
    host, port = gateway.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    first = b"GET /v1/notes/7 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer rtn_good\r\n\r\n"
    writer.write(first + b"GET /none HTTP/1.1\r\nhost: x\r\n\r\nGET /healthz HTTP/1.0\r\n\r\n")
    answered = re.findall(rb"HTTP/1\.1 (\d+)", await reader.read())
    assert answered == [b"200", b"404", b"200"]
    writer.close()


async def test_own_pages_need_no_token(gateway: Running) -> None:
    await gateway.client.get("/v1/notes/7")
    async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client:
        alive = await client.get("/healthz")
        figures = await client.get("/metrics")
        refused = await client.post("/healthz")
    assert (alive.status_code, alive.json()) == (200, {"status": "alive"})
    assert 'retinue_gateway_requests_total{method="GET",route="/v1/notes/{note_id}",status="200"} 1.0' in figures.text
    assert refused.status_code == 405
