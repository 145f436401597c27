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
from nats.errors import MaxPayloadError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NoStreamResponseError, NotFoundError

from retinue_core.cancellation import cancellation_kept
from retinue_core.errors import RetinueError, invalid, unavailable

log = logging.getLogger(__name__)

Handler = Callable[[str, bytes], Awaitable[None]]

MESSAGE_ID = "Nats-Msg-Id"
_DUPLICATES = 120.0  # seconds in which JetStream recognises a message id
_KEPT = 3_600.0  # seconds a message is kept; consumers that are away longer read PostgreSQL
_PULL = 2.0  # seconds a pull waits; what is lost with a connection is noticed after as long
_ACK = 5.0
_AGAIN = 1.0  # seconds until something that failed is tried again
_POISON = 30.0  # seconds until a message is given again that a handler broke on
_UNREAD = 10_000  # messages that a listener may leave unread, and
_UNREAD_BYTES = 16 * 1024 * 1024  # their bytes, before it loses some


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
        self._staying: asyncio.Task[None] | None = None
        self._opened = asyncio.Event()
        self._on_reconnect: list[Callable[[], Awaitable[None]]] = []
        self._streams: dict[str, tuple[str, ...]] = {}
        self._listeners: list[_Listener] = []

    async def __aenter__(self) -> Self:
        """Begin to connect; a server that is down is not waited for."""
        self._staying = asyncio.create_task(self._stay_open())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        if self._staying is not None:
            self._staying.cancel()
            await asyncio.wait({self._staying})

    @property
    def connected(self) -> bool:
        """Whether the server answers."""
        return self._client.is_connected

    def on_reconnect(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Call back after every connect: whoever followed hints has to look at the truth again."""
        self._on_reconnect.append(callback)

    async def ready(self, seconds: float | None = 5.0) -> bool:
        """Wait until the connection was made, at most for some seconds; None waits as long as it takes."""
        try:
            async with asyncio.timeout(seconds):
                await self._opened.wait()
        except TimeoutError:
            return False
        return self.connected

    def stream(self, name: str, *subjects: str) -> None:
        """Declare a JetStream stream; it is made, or made again, with every connect."""
        self._streams[name] = subjects

    async def hint(self, subject: str, data: bytes = b"") -> None:
        """Tell whoever listens now. A hint that is lost costs time, never correctness."""
        if not self.connected:
            return
        try:
            await self._client.publish(subject, data)
        except NatsError as error:
            log.debug("hint %s: %s", subject, error)

    async def publish(self, subject: str, data: bytes, *, message_id: str) -> None:
        """Publish to JetStream and wait for its acknowledgement. Raises UNAVAILABLE, or EVENT_TOO_LARGE for good."""
        if self._jetstream is None or not self.connected:
            raise unavailable("The event server does not answer.", code="EVENTS_UNAVAILABLE")
        try:
            await self._jetstream.publish(subject, data, timeout=_ACK, headers={MESSAGE_ID: message_id})
        except MaxPayloadError:
            raise invalid("An event is larger than the event server takes.", code="EVENT_TOO_LARGE") from None
        except (NatsError, TimeoutError) as error:
            if isinstance(error, NoStreamResponseError):
                await self._make_streams(self._jetstream)
            raise unavailable("The event server did not take an event.", code="EVENTS_UNAVAILABLE") from error

    async def listen(self, subject: str, handler: Handler) -> Callable[[], Awaitable[None]]:
        """Follow a subject live (core NATS), on every connection there will be. Returns what ends it.

        Where there is a connection, the server knows of it when this returns.
        """
        await self.ready()
        listener = _Listener(subject, handler)
        self._listeners.append(listener)
        if self._jetstream is not None:
            await listener.attach(self._client)

        async def end() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)
            await listener.detach()

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
                log.debug("consumer %s begins again: %s", durable, error)
                await asyncio.sleep(_AGAIN)

    async def _consume(self, stream: str, durable: str, subject: str, handler: Handler) -> None:
        if not await self.ready() or self._jetstream is None:
            raise unavailable("The event server does not answer.")
        await self._make_streams(self._jetstream)
        config = ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, ack_wait=30, max_ack_pending=1_000)
        pull = await self._jetstream.pull_subscribe(subject, durable=durable, stream=stream, config=config)
        try:
            while True:
                try:
                    messages = await pull.fetch(100, timeout=_PULL)
                except TimeoutError:
                    await pull.consumer_info()
                    continue
                for message in messages:
                    await _handle(message, handler)
        finally:
            await _end(pull)

    async def _stay_open(self) -> None:
        """Connect, and connect anew when the client gives up: it does whenever the server sends it an error."""
        while True:
            self._client, closed = Client(), asyncio.Event()
            try:
                with cancellation_kept():
                    await self._open(closed)
                await closed.wait()
            except (NatsError, OSError, TimeoutError, ValueError) as error:
                log.warning("the event server cannot be used: %s", error)
            finally:
                self._jetstream = None
                await self._client.close()
            await asyncio.sleep(_AGAIN)

    async def _open(self, closed: asyncio.Event) -> None:
        async def on_close() -> None:
            closed.set()

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
            flush_timeout=_ACK,
            error_cb=_note,
            disconnected_cb=self._away,
            reconnected_cb=self._prepare,
            closed_cb=on_close,
        )
        await self._prepare()
        self._opened.set()

    async def _prepare(self) -> None:
        log.info("the event server answers")
        self._jetstream = self._client.jetstream(timeout=_ACK)
        for listener in list(self._listeners):
            await listener.attach(self._client)
        await self._make_streams(self._jetstream)
        for callback in self._on_reconnect:
            await callback()

    async def _away(self) -> None:
        if self._staying is not None and not self._staying.cancelling():
            log.warning("the event server is away")

    async def _make_streams(self, jetstream: JetStreamContext) -> None:
        for name, subjects in self._streams.items():
            try:
                await _ensure(jetstream, name, subjects)
            except (NatsError, TimeoutError) as error:
                log.warning("stream %s is not there yet: %s", name, error)


class _Listener:
    """A subject that somebody follows. A client keeps it over reconnects; a new client is told of it."""

    def __init__(self, subject: str, handler: Handler) -> None:
        self._subject = subject
        self._handler = handler
        self._client: Client | None = None
        self._subscription: Subscription | None = None

    async def attach(self, client: Client) -> None:
        if self._client is client:
            return
        self._client = client
        try:
            self._subscription = await client.subscribe(
                self._subject, cb=self._deliver, pending_msgs_limit=_UNREAD, pending_bytes_limit=_UNREAD_BYTES
            )
            if client.is_connected:
                # A flush writes its ping before what is pending: the client's own task must write that first.
                await asyncio.sleep(0)
                await client.flush(int(_ACK))
        except NatsError as error:
            log.warning("listening to %s: %s", self._subject, error)

    async def detach(self) -> None:
        if self._subscription is not None:
            await _end(self._subscription)

    async def _deliver(self, message: Msg) -> None:
        await self._handler(message.subject, message.data)


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
        await message.nak(delay=_AGAIN)
    except Exception:
        log.exception("event %s broke its handler", message.subject)
        await message.nak(delay=_POISON)
    else:
        await message.ack()


async def _end(subscription: Subscription | JetStreamContext.PullSubscription) -> None:
    try:
        await subscription.unsubscribe()
    except NatsError as error:
        log.debug("unsubscribe: %s", error)


async def _note(error: Exception) -> None:
    if isinstance(error, NatsError | OSError | TimeoutError):
        log.debug("nats: %s", error)
    else:
        log.warning("a listener failed", exc_info=error)
