"""The problems found in one request, each with the path of its field.

Owns how a path is written (``agent.tools[2]``, as the client spelled it) and how many
problems one answer names. Refuses to know about HTTP or gRPC.
"""

from __future__ import annotations

from retinue_core.errors import Problem

MOST = 50
"""A body can be wrong in a hundred thousand places; nobody reads more than these."""

LONGEST_PATH = 200
"""Characters of a path that an answer repeats; the rest is cut."""


class RefusedError(Exception):
    """One value cannot be taken; its text says why and what to send instead."""


class TooManyError(Exception):
    """Enough problems were found; reading on would only cost time."""


class Problems:
    """Collects problems in the order in which they are met."""

    __slots__ = ("found",)

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, field: str, message: str) -> None:
        """Notes one problem; raises TooManyError once the limit is reached."""
        shown = field if len(field) <= LONGEST_PATH else f"{field[:LONGEST_PATH]}…"
        self.found.append(Problem(shown, message))
        if len(self.found) >= MOST:
            raise TooManyError

    def __bool__(self) -> bool:
        return bool(self.found)


def join(at: str, key: str) -> str:
    """The path of member `key` of the object at `at` ("" is the body itself)."""
    return f"{at}.{key}" if at else key


def kind_of(value: object) -> str:
    """What a JSON value is, in the words of a client."""
    if value is None:
        return "null"
    return _KINDS.get(type(value), "a value")


_KINDS = {
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "an object",
}
