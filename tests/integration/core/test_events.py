"""Events over a real NATS: repeats are dropped, failures are given again, and no outage is final."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nats.aio.client import Client

from retinue_core.embedded import EmbeddedNats
from retinue_core.errors import Kind, RetinueError, unavailable
from retinue_core.events import Events

GUARD = 60.0
"""Seconds after which a test that waits for something is given up."""

Got = asyncio.Queue[bytes]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedNats]:
    """A NATS to break."""
    own = EmbeddedNats(tmp_path / "nats")
    own.start()
    yield own
    own.stop()


@asynccontextmanager
async def opened(url: str, *streams: str) -> AsyncIterator[Events]:
    async with Events(url, "test") as events:
        for name in streams:
            events.stream(name, f"{name}.>")
        assert await events.ready(GUARD)
        yield events


@asynccontextmanager
async def consuming(
    events: Events, stream: str, handler: Callable[[str, bytes], Awaitable[None]]
) -> AsyncIterator[None]:
    task = asyncio.create_task(events.consume(stream, "durable", f"{stream}.>", handler))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def fresh() -> str:
    """A name that no other test uses on the shared server."""
    return f"t{uuid.uuid4().hex}"


def collector() -> tuple[Got, Callable[[str, bytes], Awaitable[None]]]:
    got: Got = asyncio.Queue()

    async def handler(_: str, data: bytes) -> None:
        got.put_nowait(data)

    return got, handler


async def take(got: Got, count: int = 1) -> list[bytes]:
    async with asyncio.timeout(GUARD):
        return [await got.get() for _ in range(count)]


async def publish(events: Events, subject: str, data: bytes) -> None:
    """Publish as the relay does: again until it is taken."""
    async with asyncio.timeout(GUARD):
        while True:
            try:
                return await events.publish(subject, data, message_id=data.decode())
            except RetinueError as error:
                if error.kind is not Kind.UNAVAILABLE:
                    raise
            await asyncio.sleep(0.05)


def reconnects(events: Events) -> asyncio.Event:
    """An event that the next connection sets."""
    again = asyncio.Event()

    async def note() -> None:
        again.set()

    events.on_reconnect(note)
    return again


async def heard_again(events: Events, subject: str, got: Got) -> None:
    """Hint until the listener hears it: a hint may be lost, and while there is no connection it is."""
    sign = fresh().encode()
    async with asyncio.timeout(GUARD):
        while True:
            await events.hint(subject, sign)
            await asyncio.sleep(0.02)
            while not got.empty():
                if got.get_nowait() == sign:
                    return


async def test_a_repeated_message_is_dropped(nats_url: str) -> None:
    stream = fresh()
    got, handler = collector()
    async with opened(nats_url, stream) as events:
        for message_id in ("1", "1", "2", "1"):
            await events.publish(f"{stream}.a", message_id.encode(), message_id=message_id)
        await events.publish(f"{stream}.a", b"last", message_id="3")
        async with consuming(events, stream, handler):
            assert await take(got, 3) == [b"1", b"2", b"last"]


async def test_a_hint_reaches_who_listens_until_they_stop(nats_url: str) -> None:
    subject = fresh()
    got, handler = collector()
    async with opened(nats_url) as teller, opened(nats_url) as listener:
        end = await listener.listen(f"{subject}.*", handler)
        await teller.hint(f"{subject}.x", b"one")
        assert await take(got) == [b"one"]
        await end()
        await end()
        control, handler = collector()
        await listener.listen(f"{subject}.*", handler)
        await teller.hint(f"{subject}.x", b"two")
        assert await take(control) == [b"two"]
        assert got.empty()


@pytest.mark.parametrize(
    ("subject", "data"), [("with space", b""), ("", b""), ("fine", b"x" * 1_048_577)], ids=["space", "empty", "large"]
)
async def test_a_hint_that_cannot_be_sent_is_no_error(nats_url: str, subject: str, data: bytes) -> None:
    async with opened(nats_url) as events:
        await events.hint(subject, data)
        assert events.connected


async def test_a_listener_that_breaks_hears_the_next_one(nats_url: str, caplog: pytest.LogCaptureFixture) -> None:
    subject = fresh()
    got: Got = asyncio.Queue()

    async def handler(_: str, data: bytes) -> None:
        if data == b"bad":
            raise ValueError("broken handler")
        got.put_nowait(data)

    async with opened(nats_url) as events:
        await events.listen(subject, handler)
        with caplog.at_level(logging.WARNING, "retinue_core.events"):
            await events.hint(subject, b"bad")
            await events.hint(subject, b"good")
            assert await take(got) == [b"good"]
    assert "a listener failed" in caplog.text


async def test_an_event_that_is_too_large_is_refused_for_good(nats_url: str) -> None:
    stream = fresh()
    async with opened(nats_url, stream) as events:
        with pytest.raises(RetinueError) as refused:
            await events.publish(f"{stream}.a", b"x" * 1_048_577, message_id="1")
    assert (refused.value.kind, refused.value.code) == (Kind.INVALID_ARGUMENT, "EVENT_TOO_LARGE")


async def test_a_message_comes_again_after_its_handler_refused_it(nats_url: str) -> None:
    stream = fresh()
    got: Got = asyncio.Queue()
    refusals = [unavailable("not now"), unavailable("nor now")]

    async def handler(_: str, data: bytes) -> None:
        if refusals:
            raise refusals.pop()
        got.put_nowait(data)

    async with opened(nats_url, stream) as events:
        await events.publish(f"{stream}.a", b"one", message_id="1")
        async with consuming(events, stream, handler):
            assert await take(got) == [b"one"]
    assert not refusals


async def test_a_message_that_breaks_its_handler_holds_up_no_other(nats_url: str) -> None:
    stream = fresh()
    got: Got = asyncio.Queue()

    async def handler(_: str, data: bytes) -> None:
        if data == b"poison":
            raise ValueError("broken handler")
        got.put_nowait(data)

    async with opened(nats_url, stream) as events, consuming(events, stream, handler):
        for data in (b"poison", b"one", b"two"):
            await publish(events, f"{stream}.a", data)
        assert await take(got, 2) == [b"one", b"two"]


async def test_a_message_whose_consumer_was_cancelled_stays(nats_url: str) -> None:
    stream = fresh()
    begun = asyncio.Event()

    async def handler(_: str, __: bytes) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with opened(nats_url, stream) as events:
        await publish(events, f"{stream}.a", b"one")
        async with asyncio.timeout(GUARD), consuming(events, stream, handler):
            await begun.wait()
        client = Client()
        await client.connect(nats_url)
        info = await client.jetstream().consumer_info(stream, "durable")
        await client.close()
    assert info.num_ack_pending == 1


async def test_a_stream_that_vanished_is_made_again(nats_url: str) -> None:
    stream = fresh()
    got, handler = collector()
    client = Client()
    await client.connect(nats_url)
    async with opened(nats_url, stream) as events:
        await client.jetstream().delete_stream(stream)
        await client.close()
        await publish(events, f"{stream}.a", b"one")
        async with consuming(events, stream, handler):
            assert await take(got) == [b"one"]


async def test_nobody_waits_for_a_server_that_is_down(server: EmbeddedNats) -> None:
    server.kill()
    async with Events(server.url, "test") as events:
        with pytest.raises(RetinueError) as refused:
            await events.publish("a.b", b"", message_id="1")
        await events.hint("a.b")
        assert not await events.ready(0.0)
    assert refused.value.kind is Kind.UNAVAILABLE


async def test_who_began_before_the_server_is_served_when_it_comes(server: EmbeddedNats) -> None:
    server.kill()
    got, handler = collector()
    consumed, consumer = collector()
    async with Events(server.url, "test") as events:
        events.stream("s", "s.>")
        listening = asyncio.create_task(events.listen("hint", handler))
        async with consuming(events, "s", consumer):
            server.start()
            await listening
            await events.hint("hint", b"one")
            await publish(events, "s.a", b"two")
            assert (await take(got), await take(consumed)) == ([b"one"], [b"two"])


@pytest.mark.faults
@pytest.mark.parametrize("wiped", [False, True], ids=["kept", "wiped"])
async def test_listeners_and_consumers_outlive_kills_of_the_server(server: EmbeddedNats, *, wiped: bool) -> None:
    got, handler = collector()
    consumed, consumer = collector()
    async with opened(server.url, "s") as events:
        await events.listen("hint", handler)
        async with consuming(events, "s", consumer):
            for number in range(2):
                again = reconnects(events)
                server.kill()
                if wiped:
                    server.wipe()
                server.start()
                async with asyncio.timeout(GUARD):
                    await again.wait()
                await publish(events, "s.a", b"%d" % number)
                assert await take(consumed) == [b"%d" % number]
                await heard_again(events, "hint", got)


@pytest.mark.faults
async def test_what_was_published_before_a_kill_is_consumed_after_it(server: EmbeddedNats) -> None:
    consumed, consumer = collector()
    async with opened(server.url, "s") as events:
        await publish(events, "s.a", b"before")
        server.kill()
        server.start()
        async with consuming(events, "s", consumer):
            assert await take(consumed) == [b"before"]


@pytest.mark.faults
async def test_an_error_of_the_server_ends_one_connection_and_not_the_last(server: EmbeddedNats) -> None:
    got, handler = collector()
    consumed, consumer = collector()
    async with opened(server.url, "s") as events:
        await events.listen("hint", handler)
        again = reconnects(events)
        async with consuming(events, "s", consumer):
            assert events._client._transport is not None
            # Upon an error of the server, a client of NATS closes itself for good.
            events._client._transport.write(b"NONSENSE\r\n")
            async with asyncio.timeout(GUARD):
                await again.wait()
            await publish(events, "s.a", b"one")
            assert await take(consumed) == [b"one"]
            await heard_again(events, "hint", got)
