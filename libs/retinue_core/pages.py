"""Pages of a list: how many, and where to go on.

Owns the page token: the sort key of the last row that was answered, bound to what was asked, so that a token of one
list never continues another. A token is opaque and carries no right: what it leads to is scoped like any first page.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence

from retinue_core.errors import Problem, RetinueError, invalid

DEFAULT_SIZE = 50
LARGEST_SIZE = 1_000
_LONGEST_TOKEN = 4_096


def page_size(asked: int) -> int:
    """How many rows a page holds: 50 when zero was asked for, 1,000 at most. Raises INVALID_ARGUMENT below zero."""
    if asked < 0:
        raise invalid("The page size is below zero.", Problem("pageSize", "must be from 0 (the default, 50) to 1000"))
    return min(asked or DEFAULT_SIZE, LARGEST_SIZE)


def page_token(key: Sequence[str], *asked: str) -> str:
    """Make the token that continues behind `key`; `asked` is all that decides which rows are listed, and how sorted."""
    text = json.dumps([_binding(asked), *key], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def page_key(token: str, length: int, *asked: str) -> tuple[str, ...] | None:
    """Read the key of `length` parts out of a token, or None for the first page (an empty token).

    Raises INVALID_PAGE_TOKEN when it is damaged or was made for another question.
    """
    if not token:
        return None
    parts = _parts(token)
    if len(parts) != length + 1:
        raise invalid_page_token("is not one that this service made")
    if parts[0] != _binding(asked):
        raise invalid_page_token("belongs to a list with another filter or order")
    return parts[1:]


def invalid_page_token(reason: str) -> RetinueError:
    """The error for a token that leads nowhere."""
    return invalid(
        "The page token cannot be used.",
        Problem("pageToken", reason),
        code="INVALID_PAGE_TOKEN",
        actions=("Start again without a page token.", "Send filter and order unchanged from page to page."),
    )


def _parts(token: str) -> tuple[str, ...]:
    if len(token) > _LONGEST_TOKEN:
        raise invalid_page_token("is not one that this service made")
    try:
        parts = json.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        raise invalid_page_token("is not one that this service made") from None
    if not isinstance(parts, list) or not all(isinstance(part, str) and "\0" not in part for part in parts):
        raise invalid_page_token("is not one that this service made")
    return tuple(parts)


def _binding(asked: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]
