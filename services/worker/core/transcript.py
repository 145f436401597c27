"""The conversation with the model: what was said so far, appended to once and never copied.

Owns the messages and their running hash. Its canonical form is JSON with sorted keys and without spaces; a request
hashes to the SHA-256 of that form, and adding a message costs only that message.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import orjson

from services.worker.core.entries import Block, Text, Thinking, ToolUse

if TYPE_CHECKING:
    from _hashlib import HASH

_PREFIX = b'{"messages":['


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool call came to: its answer as JSON text, or why it failed in words."""

    call_id: str
    content: str
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of the conversation. The assistant speaks in blocks, the user in text and tool results."""

    role: str
    content: tuple[Block | ToolResult, ...]


class Messages(Sequence[Message]):
    """The first messages of a list that only ever grows: a snapshot that costs nothing to take."""

    __slots__ = ("_items", "_length")

    def __init__(self, items: list[Message], length: int) -> None:
        self._items = items
        self._length = length

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Message: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Message]: ...

    def __getitem__(self, index: int | slice) -> Message | Sequence[Message]:
        if isinstance(index, slice):
            return self._items[: self._length][index]
        if not -self._length <= index < self._length:
            raise IndexError(index)
        return self._items[index % self._length]

    def __iter__(self) -> Iterator[Message]:
        for index in range(self._length):
            yield self._items[index]

    def plus(self, message: Message) -> Messages:
        """The same messages and one more. Only a second branch from the same point copies what came before."""
        items = self._items if len(self._items) == self._length else self._items[: self._length]
        items.append(message)
        return Messages(items, self._length + 1)


class Transcript:
    """Messages with the hash and the size of their canonical form. Never changed in place."""

    __slots__ = ("_hash", "messages", "size")

    def __init__(self, messages: Messages | None = None, running: HASH | None = None, size: int = 0) -> None:
        self.messages = Messages([], 0) if messages is None else messages
        self._hash = hashlib.sha256(_PREFIX) if running is None else running
        self.size = size

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Transcript) and self._hash.digest() == other._hash.digest()

    def __hash__(self) -> int:
        return hash(self._hash.digest())

    def plus(self, message: Message) -> Transcript:
        """The conversation with one more message. Bytes of its canonical form are added to `size`."""
        encoded = canonical_message(message)
        running = self._hash.copy()
        if self.messages:
            running.update(b",")
        running.update(encoded)
        return Transcript(self.messages.plus(message), running, self.size + len(encoded))

    def request_hash(self, rest: bytes) -> bytes:
        """SHA-256 of the canonical request: these messages, then `rest`, all other members of it."""
        running = self._hash.copy()
        running.update(rest)
        return running.digest()


def canonical_message(message: Message) -> bytes:
    """The canonical JSON of one message."""
    return orjson.dumps(
        {"content": [_block(block) for block in message.content], "role": message.role}, option=orjson.OPT_SORT_KEYS
    )


def canonical_rest(rest: dict[str, Any]) -> bytes:
    """The canonical JSON of a request's other members, as it follows the messages. Their names sort after it."""
    return b"]," + orjson.dumps(rest, option=orjson.OPT_SORT_KEYS)[1:]


def _block(block: Block | ToolResult) -> dict[str, Any]:
    if isinstance(block, Text):
        return {"type": "text", "text": block.text}
    if isinstance(block, ToolUse):
        return {"type": "toolUse", "id": block.id, "name": block.name, "inputJson": block.input_json}
    if isinstance(block, ToolResult):
        return {"type": "toolResult", "callId": block.call_id, "content": block.content, "isError": block.is_error}
    return _thinking(block)


def _thinking(block: Thinking) -> dict[str, Any]:
    if block.redacted:
        return {"type": "redactedThinking", "data": block.redacted}
    return {"type": "thinking", "text": block.text, "signature": block.signature}
