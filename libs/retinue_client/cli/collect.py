"""The first of many.

Owns the cutting short of what comes page by page.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TypeVar

T = TypeVar("T")

_LARGEST_PAGE = 1_000


def page(limit: int) -> int:
    """The size of page to ask for when so many are wanted."""
    return min(limit, _LARGEST_PAGE)


async def most(found: AsyncIterator[T], limit: int) -> list[T]:
    """The first items, at most so many; no page is asked for that is not needed."""
    items: list[T] = []
    async for item in found:
        items.append(item)
        if len(items) == limit:
            break
    return items
