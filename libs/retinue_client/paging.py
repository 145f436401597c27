"""Lists that come in pages, as one iteration, and the filters they are asked with.

Owns the walk from page to page. It asks for a page when it is needed, never before.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, TypeVar

from retinue_client.wire import Wire

T = TypeVar("T")


async def pages(
    wire: Wire, room: str, method: str, request: Any, items: Callable[[Any], Iterable[T]]
) -> AsyncIterator[T]:
    """Yield the items of all pages; `items` reads them from one answer."""
    while True:
        answer = await wire.call(room, method, request)
        for item in items(answer):
            yield item
        if not answer.next_page_token:
            return
        request.page_token = answer.next_page_token


def quoted(value: str) -> str:
    """A value as a filter writes it."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def conditions(**values: str) -> str:
    """A filter of equalities; those without a value are left out."""
    return " AND ".join(f"{name}={quoted(value)}" for name, value in values.items() if value)
