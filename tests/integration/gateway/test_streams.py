"""Server-streaming calls as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import orjson
import pytest

from services.gateway.stream import Pace
from tests.integration.gateway.conftest import Running, Start, settled


@asynccontextmanager
async def events(
    gateway: Running, note: str, **headers: str
) -> AsyncIterator[tuple[httpx.Response, AsyncIterator[str]]]:
    async with gateway.client.stream("GET", f"/v1/notes/{note}/events", headers=headers) as answer:
        yield answer, answer.aiter_lines()


async def frame(lines: AsyncIterator[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    async for line in lines:
        if not line:
            return found
        name, _, value = line.partition(": ")
        found[name] = value
    return found


async def test_events_carry_id_kind_and_the_message_and_then_end(gateway: Running) -> None:
    async with events(gateway, "n") as (answer, lines):
        frames = [await frame(lines) for _ in range(3)]
        rest = [line async for line in lines]
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert [(one["id"], one["event"]) for one in frames] == [("1", "change"), ("2", "change"), ("3", "change")]
    assert orjson.loads(frames[0]["data"]) == {"sequence": 1, "kind": "change", "text": "line one\nline 1"}
    assert frames[0]["retry"] == "1000"
    assert rest == []
    assert len(gateway.opened) == 0


async def test_a_reconnect_goes_on_without_gap_or_repeat(gateway: Running) -> None:
    async with events(gateway, "n", **{"last-event-id": "3"}) as (_, lines):
        assert [(await frame(lines))["id"] for _ in range(3)] == ["4", "5", "6"]


@pytest.mark.parametrize(
    ("note", "headers"), [("missing", {}), ("n", {"last-event-id": "x"}), ("n", {"authorization": ""})]
)
async def test_an_error_before_the_first_event_is_a_plain_answer(
    gateway: Running, note: str, headers: dict[str, str]
) -> None:
    answer = await gateway.client.get(f"/v1/notes/{note}/events", headers=headers)
    assert answer.status_code in (400, 401, 404)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["error"]["requestId"] == answer.headers["x-request-id"]


async def test_an_error_after_the_first_event_is_an_event(gateway: Running) -> None:
    async with events(gateway, "breaks") as (answer, lines):
        for _ in range(3):
            await frame(lines)
        last = await frame(lines)
    assert answer.status_code == 200
    assert last["event"] == "error"
    assert orjson.loads(last["data"])["error"]["code"] == "BROKEN"


async def test_comments_keep_a_silent_line_open(start_gateway: Start) -> None:
    gateway = await start_gateway(pace=Pace(comment=0.05))
    async with events(gateway, "open") as (_, lines):
        for _ in range(3):
            await frame(lines)
        assert [await anext(lines) for _ in range(4)] == [": keep-alive", "", ": keep-alive", ""]


async def test_a_response_begins_even_when_the_first_event_is_late(start_gateway: Start) -> None:
    gateway = await start_gateway(pace=Pace(first=0.05, comment=0.05))
    gateway.echo.hold = asyncio.Event()
    async with events(gateway, "n") as (answer, lines):
        assert answer.status_code == 200
        assert await anext(lines) == ": keep-alive"
        gateway.echo.hold.set()
        while not (found := await frame(lines)).get("id"):
            continue
        assert found["id"] == "1"


async def test_a_client_that_goes_away_cancels_the_call(gateway: Running) -> None:
    async with events(gateway, "open") as (_, lines):
        await frame(lines)
        assert not gateway.echo.cancelled.is_set()
    async with asyncio.timeout(10):
        await gateway.echo.cancelled.wait()
    await settled(lambda: len(gateway.opened) == 0 and gateway.admission.inside[True] == 0)


async def test_a_client_that_does_not_read_holds_the_service_back(gateway: Running) -> None:
    async with events(gateway, "flood"):
        sent = -1
        async with asyncio.timeout(20):
            while sent != gateway.echo.sent:
                sent = gateway.echo.sent
                await asyncio.sleep(0.5)
    assert sent * 10_000 < 64 * 1024 * 1024


async def test_a_client_that_never_reads_is_cut_off(start_gateway: Start) -> None:
    gateway = await start_gateway(pace=Pace(stall=0.2))
    async with events(gateway, "flood"):
        async with asyncio.timeout(20):
            await gateway.echo.cancelled.wait()
        await settled(lambda: len(gateway.opened) == 0)


async def test_more_streams_than_can_be_taken_are_refused(start_gateway: Start) -> None:
    gateway = await start_gateway(streams=1)
    async with events(gateway, "open") as (_, lines):
        await frame(lines)
        refused = await gateway.client.get("/v1/notes/n/events")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "OVERLOADED")


async def test_head_is_not_possible_on_a_stream(gateway: Running) -> None:
    answer = await gateway.client.head("/v1/notes/n/events")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


async def test_a_drain_ends_streams_that_only_read_and_lets_requests_finish(start_gateway: Start) -> None:
    gateway = await start_gateway()
    async with events(gateway, "open") as (_, lines):
        await frame(lines)
        gateway.stop.set()
        assert not any(line.startswith("event: error") for line in [line async for line in lines])
    async with asyncio.timeout(10):
        await gateway.serving
    assert gateway.readiness.draining
    with pytest.raises(httpx.ConnectError):
        async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client:
            await client.get("/healthz")


async def test_a_stream_that_reaches_its_age_ends_quietly(start_gateway: Start) -> None:
    gateway = await start_gateway(pace=Pace(longest=0.3))
    async with events(gateway, "open") as (_, lines):
        found = [line async for line in lines]
    assert not any(line.startswith("event: error") for line in found)
    assert sum(line.startswith("id: ") for line in found) == 3


async def test_a_timeout_that_the_client_set_is_an_error(gateway: Running) -> None:
    async with events(gateway, "open", **{"x-request-timeout": "0.3"}) as (_, lines):
        found = [line async for line in lines]
    assert "event: error" in found
