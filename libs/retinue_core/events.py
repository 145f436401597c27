"""Events over NATS: hints by core NATS, fan-out that survives a restart by JetStream.

Owns every use of NATS. PostgreSQL is the truth: whatever is published here can be published again, so a message
carries an id and JetStream drops the repeats of two minutes, and a durable consumer is told of repeats by nobody and
must recognise them itself. Nothing here is waited for on the path of a request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from retinue_core.errors import RetinueError, unavailable

log = logging.getLogger(__name__)

Handler = Callable[[str, bytes], Awaitable[None]]

MESSAGE_ID = "Nats-Msg-Id"
_DUPLICATES = 120.0  # seconds in which JetStream recognises a message id
_KEPT = 3_600.0  # seconds a message is kept; consumers that are away longer read PostgreSQL
_PULL = 5.0
_ACK = 5.0


class Events:
    """A connection to NATS that reconnects for ever.

    `connected` says whether it is up. While it is down, publishing raises UNAVAILABLE at once and nothing is queued
    in memory.
    """

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = name
        self._client = Client()
        self._jetstream: JetStreamContext | None = None
        self._opening: asyncio.Task[None] | None = None
        self._on_reconnect: list[Callable[[], Awaitable[None]]] = []
        self._streams: dict[str, tuple[str, ...]] = {}

    async def __aenter__(self) -> Self:
        """Begin to connect; a server that is down is not waited for."""
        self._opening = asyncio.create_task(self._open())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        if not self._client.is_closed:
            await self._client.close()

    @property
    def connected(self) -> bool:
        """Whether the server answers."""
        return self._client.is_connected

    def on_reconnect(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Call back after every connect: whoever followed hints has to look at the truth again."""
        self._on_reconnect.append(callback)

    async def ready(self, seconds: float | None = 5.0) -> bool:
        """Wait until the connection was made, at most for some seconds; None waits as long as it takes."""
        if self._opening is not None and not self._opening.done():
            await asyncio.wait({self._opening}, timeout=seconds)
        return self.connected

    def stream(self, name: str, *subjects: str) -> None:
        """Declare a JetStream stream; it is made, or made again, with every connect."""
        self._streams[name] = subjects

    async def hint(self, subject: str, data: bytes = b"") -> None:
        """Tell whoever listens now. A hint that is lost costs time, never correctness."""
        if self.connected:
            await self._client.publish(subject, data)

    async def publish(self, subject: str, data: bytes, *, message_id: str) -> None:
        """Publish to JetStream and wait for its acknowledgement. Raises UNAVAILABLE."""
        if self._jetstream is None or not self.connected:
            raise unavailable("The event server does not answer.", code="EVENTS_UNAVAILABLE")
        try:
            await self._jetstream.publish(subject, data, timeout=_ACK, headers={MESSAGE_ID: message_id})
        except (NatsError, TimeoutError) as error:
            raise unavailable("The event server did not take an event.", code="EVENTS_UNAVAILABLE") from error

    async def listen(self, subject: str, handler: Handler) -> Callable[[], Awaitable[None]]:
        """Follow a subject live (core NATS). Returns what ends it."""
        await self.ready()

        async def deliver(message: Msg) -> None:
            await handler(message.subject, message.data)

        subscription: Subscription = await self._client.subscribe(subject, cb=deliver)

        async def end() -> None:
            if not self._client.is_closed:
                try:
                    await subscription.unsubscribe()
                except NatsError as error:
                    log.debug("unsubscribe: %s", error)

        return end

    async def consume(self, stream: str, durable: str, subject: str, handler: Handler) -> None:
        """Hand every message of a stream to a handler, at least once, until cancelled.

        A message whose handler raises is given again later. Pulls are short, and a pull that times out makes sure
        that the consumer is still there: a NATS that lost its store would be silent for ever otherwise.
        """
        while True:
            try:
                await self._consume(stream, durable, subject, handler)
            except (NatsError, TimeoutError, RetinueError) as error:
                log.debug("consumer %s: %s", durable, error)
                await asyncio.sleep(1.0)

    async def _consume(self, stream: str, durable: str, subject: str, handler: Handler) -> None:
        if not await self.ready() or self._jetstream is None:
            raise unavailable("The event server does not answer.")
        config = ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, ack_wait=30, max_ack_pending=1_000)
        pull = await self._jetstream.pull_subscribe(subject, durable=durable, stream=stream, config=config)
        while True:
            try:
                messages = await pull.fetch(100, timeout=_PULL)
            except TimeoutError:
                await pull.consumer_info()
                continue
            for message in messages:
                await _handle(message, handler)

    async def _open(self) -> None:
        await self._client.connect(
            self._url,
            name=self._name,
            allow_reconnect=True,
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,
            connect_timeout=2,
            ping_interval=5,
            max_outstanding_pings=2,
            pending_size=16 * 1024 * 1024,
            error_cb=_ignore,
            reconnected_cb=self._prepare,
        )
        await self._prepare()

    async def _prepare(self) -> None:
        self._jetstream = self._client.jetstream(timeout=_ACK)
        for name, subjects in self._streams.items():
            try:
                await _ensure(self._jetstream, name, subjects)
            except (NatsError, TimeoutError) as error:
                log.warning("stream %s is not there yet: %s", name, error)
        for callback in self._on_reconnect:
            await callback()


async def _ensure(jetstream: JetStreamContext, name: str, subjects: tuple[str, ...]) -> None:
    try:
        await jetstream.stream_info(name)
    except NotFoundError:
        await jetstream.add_stream(
            StreamConfig(
                name=name,
                subjects=list(subjects),
                retention=RetentionPolicy.LIMITS,
                storage=StorageType.FILE,
                max_age=_KEPT,
                duplicate_window=_DUPLICATES,
                max_bytes=1024 * 1024 * 1024,
            )
        )


async def _handle(message: Msg, handler: Handler) -> None:
    try:
        await handler(message.subject, message.data)
    except RetinueError as error:
        log.warning("event %s is given again: %s", message.subject, error)
        await message.nak(delay=1.0)
    else:
        await message.ack()


async def _ignore(error: Exception) -> None:
    log.debug("nats: %s", error)
