"""The numbers of versions, by the rules of semver.org.

Owns which number a new version may have, and how far a change moves it: patch, minor or major.
"""

from __future__ import annotations

from enum import IntEnum

import semver

from retinue_core.errors import Problem, RetinueError, conflict, invalid

LONGEST_NUMBER = 64


class Bump(IntEnum):
    """How far a number has to move; what is graver is greater."""

    NONE = 1
    PATCH = 2
    MINOR = 3
    MAJOR = 4


def is_number(text: str) -> bool:
    """Say whether a text is a semantic version."""
    return len(text) <= LONGEST_NUMBER and semver.Version.is_valid(text)


def is_above(one: str, other: str) -> bool:
    """Say whether a number is higher than another."""
    return semver.Version.parse(one) > semver.Version.parse(other)


def moved(number: str, bump: Bump) -> str:
    """The number that is as far above another as a change asks for; empty when nothing changed."""
    before = semver.Version.parse(number)
    if bump is Bump.NONE:
        return ""
    if bump is Bump.PATCH:
        return str(before.bump_patch())
    return str(before.bump_minor() if bump is Bump.MINOR else before.bump_major())


def next_number(asked: str, newest: str) -> str:
    """The number of a new draft: the next minor one, unless one above all others was asked for.

    Raises INVALID_ARGUMENT for what is no version number, VERSION_CONFLICT for one that is too low.
    """
    if not asked:
        return moved(newest, Bump.MINOR)
    if not is_number(asked) or "+" in asked:
        raise invalid(
            "The version number cannot be used.",
            Problem("version", "must be a semantic version without build metadata, for example 1.2.0"),
            actions=("Leave the number out to get the next minor one.",),
        )
    if not is_above(asked, newest):
        raise not_above(asked, newest)
    return asked


def not_above(number: str, newest: str) -> RetinueError:
    """The error for a number that is not above all published ones."""
    return conflict(
        "VERSION_CONFLICT",
        f"A new version must be above {newest}, the highest one.",
        Problem("version", f"{number} is not above {newest}"),
        actions=(f"Leave the number out, or choose one above {newest}.",),
    )
