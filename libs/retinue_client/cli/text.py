"""Text for people: what others wrote made harmless, numbers and times made short.

Owns these forms. It lets no control character through: a name or an answer cannot move the cursor of a terminal.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"))


def clean(text: str) -> str:
    """A text without what would steer a terminal; lines and tabs stay."""
    return _CONTROL.sub("\ufffd", text)


def line(text: str, longest: int = 80) -> str:
    """A text in one line, cut where it is longer."""
    flat = clean(" ".join(text.split()))
    return flat if len(flat) <= longest else f"{flat[: longest - 1]}…"


def shown(value: Any, longest: int = 80) -> str:
    """A JSON value in one line; a text is shown as it is, nothing as nothing."""
    if value is None:
        return ""
    return line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True), longest)


def money(micros: int) -> str:
    """Millionths of a US dollar."""
    return f"${micros / 1_000_000:.4f}" if micros else "$0"


def number(count: int) -> str:
    """A count with its thousands apart."""
    return f"{count:,}"


def length(seconds: float | None) -> str:
    """A length of time."""
    if seconds is None:
        return ""
    return f"{seconds:.1f}s" if seconds < 60 else span(seconds)


def span(seconds: float) -> str:
    """A long length of time in its largest unit."""
    for unit, name in _UNITS:
        if seconds >= unit:
            return f"{int(seconds // unit)}{name}"
    return f"{max(0, int(seconds))}s"


def age(moment: datetime | None, now: datetime | None = None) -> str:
    """How long ago a moment was."""
    return span(((now or datetime.now(UTC)) - moment).total_seconds()) if moment else ""


def moment(found: datetime | None) -> str:
    """A moment, to the second, in UTC."""
    return found.strftime("%Y-%m-%d %H:%M:%S") if found else ""
