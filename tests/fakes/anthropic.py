"""A Messages API server that speaks the real wire format: HTTP, chunked server-sent events, the API's own errors.

Owns the wire only: what it answers is told in advance, one behaviour for each request, and the last one repeats.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.web import Reply, Seen, Web, encode, serving

Event = dict[str, Any]
_USAGE = {
    "input_tokens": 20,
    "output_tokens": 1,
    "cache_read_input_tokens": 0,
    "cache_creation_input_tokens": 0,
}


def text(said: str) -> Event:
    """A block of text."""
    return {"type": "text", "text": said}


def tool_use(call_id: str, name: str, value: Any) -> Event:
    """A block that wishes for a tool."""
    return {"type": "tool_use", "id": call_id, "name": name, "input": value}


def thinking(thought: str, signature: str) -> Event:
    """A block of thinking with its signature."""
    return {"type": "thinking", "thinking": thought, "signature": signature}


@dataclass(frozen=True)
class Say:
    """Answer with blocks. `cut_after` and `garble_after` count events; `hang_after` says nothing from there on."""

    blocks: Sequence[Event] = ()
    stop_reason: str = "end_turn"
    usage: dict[str, Any] = field(default_factory=dict)
    output_tokens: int = 10
    piece: int = 7
    cut_after: int | None = None
    garble_after: int | None = None
    hang_after: int | None = None
    error_after: int | None = None
    garble: str = '{"type": "content_block_delta", "index"'
    error: str = "overloaded_error"


@dataclass(frozen=True)
class Refuse:
    """Answer with an error before any event."""

    status: int
    kind: str = "api_error"
    message: str = "no"
    retry_after: str | None = None


class MessagesApi:
    """The server. `requests` are the bodies it was sent."""

    def __init__(self, web: Web) -> None:
        self.web = web
        self.behaviours: list[Say | Refuse] = []
        self.hanging = asyncio.Event()
        web.raw["/v1/messages"] = self._answer

    @property
    def url(self) -> str:
        """What ANTHROPIC_BASE_URL has to be."""
        return f"http://127.0.0.1:{self.web.port}"

    @property
    def requests(self) -> list[Event]:
        return [json.loads(seen.body) for seen in self.web.seen]

    async def _answer(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        behaviour = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
        if isinstance(behaviour, Refuse):
            writer.write(encode(_refusal(behaviour)))
            return
        model = json.loads(seen.body)["model"]
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for index, event in enumerate(events(behaviour, model)):
            if index == behaviour.hang_after:
                self.hanging.set()
                await self.web.gone(writer)
                return
            if index == behaviour.cut_after:
                return
            if index == behaviour.garble_after:
                writer.write(_chunk(f"event: content_block_delta\ndata: {behaviour.garble}\n\n"))
            if index == behaviour.error_after:
                error = {"type": "error", "error": {"type": behaviour.error, "message": "sorry"}}
                writer.write(_chunk(f"event: error\ndata: {json.dumps(error)}\n\n"))
                break
            writer.write(_chunk(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"))
            await writer.drain()
        writer.write(b"0\r\n\r\n")


def events(behaviour: Say, model: str) -> Iterator[Event]:
    """The events of an answer, in the order the API sends them."""
    usage = {**_USAGE, **behaviour.usage}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": []}
    yield {"type": "message_start", "message": {**message, "stop_reason": None, "stop_sequence": None, "usage": usage}}
    for index, block in enumerate(behaviour.blocks):
        yield {"type": "content_block_start", "index": index, "content_block": _empty(block)}
        if index == 0:
            yield {"type": "ping"}
        for delta in _deltas(block, behaviour.piece):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    ending = {"stop_reason": behaviour.stop_reason, "stop_sequence": None}
    yield {"type": "message_delta", "delta": ending, "usage": {"output_tokens": behaviour.output_tokens}}
    yield {"type": "message_stop"}


def _empty(block: Event) -> Event:
    blank: dict[str, Event] = {
        "text": {"text": ""},
        "tool_use": {"input": {}},
        "thinking": {"thinking": "", "signature": ""},
    }
    return {**block, **blank.get(block["type"], {})}


def _deltas(block: Event, piece: int) -> Iterator[Event]:
    if block["type"] == "text":
        yield from ({"type": "text_delta", "text": part} for part in _cut(block["text"], piece))
    elif block["type"] == "tool_use":
        yield {"type": "input_json_delta", "partial_json": ""}
        said = json.dumps(block["input"]) if block["input"] else ""
        yield from ({"type": "input_json_delta", "partial_json": part} for part in _cut(said, piece))
    elif block["type"] == "thinking":
        yield from ({"type": "thinking_delta", "thinking": part} for part in _cut(block["thinking"], piece))
        yield {"type": "signature_delta", "signature": block["signature"]}


def _cut(said: str, piece: int) -> list[str]:
    return [said[start : start + piece] for start in range(0, len(said), piece)]


def _refusal(behaviour: Refuse) -> Reply:
    body = {"type": "error", "error": {"type": behaviour.kind, "message": behaviour.message}, "request_id": "req_1"}
    headers = {"content-type": "application/json"}
    if behaviour.retry_after is not None:
        headers["retry-after"] = behaviour.retry_after
    return Reply(behaviour.status, json.dumps(body).encode(), headers)


def _chunk(said: str) -> bytes:
    raw = said.encode()
    return f"{len(raw):x}\r\n".encode() + raw + b"\r\n"


@asynccontextmanager
async def messages_api() -> AsyncIterator[MessagesApi]:
    """Serve the API on a free port of loopback until the block ends."""
    async with serving() as web:
        yield MessagesApi(web)
