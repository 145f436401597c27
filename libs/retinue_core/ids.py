"""Identifiers: UUIDv7, so that keys sort by the time they were made.

Owns how an id is made and recognised.
"""

from __future__ import annotations

import re

import uuid_utils

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")


def new_id() -> str:
    """Make a UUIDv7 as lower-case text with hyphens."""
    return str(uuid_utils.uuid7())


def is_id(text: str) -> bool:
    """Say whether a text is a UUID as this suite writes it."""
    return _UUID.match(text) is not None
