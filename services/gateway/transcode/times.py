"""Timestamp and Duration: RFC 3339 and ``"30s"``, to the nanosecond, both ways."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from services.gateway.transcode.problems import RefusedError, kind_of

_TIMESTAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d))",
    re.ASCII,
)
_DURATION = re.compile(r"(-?)(\d{1,12})(?:\.(\d{1,9}))?s", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 86_400
_TWO = tuple(f"{number:02d}" for number in range(60))
_LONGEST = 315_576_000_000
_FIRST = -62_135_596_800
_LAST = 253_402_300_799
_WANTS_TIME = "must be a time such as 2026-01-31T12:00:00Z (RFC 3339)"
_WANTS_DURATION = 'must be a duration in seconds such as "30s" or "1.5s"'


def fill_timestamp(value: Any, message: Any) -> None:
    """Reads RFC 3339 with any offset, years 1 to 9999."""
    if type(value) is not str:
        raise RefusedError(f"{_WANTS_TIME}, not {kind_of(value)}")
    match = _TIMESTAMP.fullmatch(value)
    if match is None:
        raise RefusedError(_WANTS_TIME)
    year, month, day, hour, minute, second, fraction, sign, off_hour, off_minute = match.groups()
    seconds = _seconds(int(year), int(month), int(day), int(hour), int(minute), int(second))
    if sign is not None:
        seconds -= _offset(sign, int(off_hour), int(off_minute))
    if not _FIRST <= seconds <= _LAST:
        raise RefusedError("must be a time in the years 1 to 9999")
    message.seconds = seconds
    message.nanos = _nanos(fraction)


def _seconds(*parts: int) -> int:
    try:
        since = datetime(*parts, tzinfo=UTC) - _EPOCH  # type: ignore[misc,arg-type]
    except ValueError:
        raise RefusedError(f"{_WANTS_TIME}; there is no such date or hour") from None
    return since.days * _DAY + since.seconds


def _offset(sign: str, hours: int, minutes: int) -> int:
    if hours > 23 or minutes > 59:
        raise RefusedError(f"{_WANTS_TIME}; its offset is out of range")
    offset = hours * 3600 + minutes * 60
    return offset if sign == "+" else -offset


def print_timestamp(message: Any) -> str:
    """Writes UTC with 0, 3, 6 or 9 digits of fraction."""
    days, second = divmod(message.seconds, _DAY)
    minute, second = divmod(second, 60)
    hour, minute = divmod(minute, 60)
    return f"{_date(days)}T{_TWO[hour]}:{_TWO[minute]}:{_TWO[second]}{_fraction(message.nanos)}Z"


@lru_cache(maxsize=1024)
def _date(days: int) -> str:
    return (_EPOCH + timedelta(days=days)).date().isoformat()


def fill_duration(value: Any, message: Any) -> None:
    """Reads seconds with up to nine digits of fraction and an ``s``."""
    if type(value) is not str:
        raise RefusedError(f"{_WANTS_DURATION}, not {kind_of(value)}")
    match = _DURATION.fullmatch(value)
    if match is None:
        raise RefusedError(_WANTS_DURATION)
    minus, whole, fraction = match.groups()
    seconds, nanos = int(whole), _nanos(fraction)
    if seconds > _LONGEST or (seconds == _LONGEST and nanos):
        raise RefusedError(f"must be at most {_LONGEST} seconds either way")
    message.seconds = -seconds if minus else seconds
    message.nanos = -nanos if minus else nanos


def print_duration(message: Any) -> str:
    """Writes seconds with 0, 3, 6 or 9 digits of fraction."""
    seconds, nanos = message.seconds, message.nanos
    minus = "-" if seconds < 0 or nanos < 0 else ""
    return f"{minus}{abs(seconds)}{_fraction(abs(nanos))}s"


def _nanos(fraction: str | None) -> int:
    return int(fraction.ljust(9, "0")) if fraction else 0


def _fraction(nanos: int) -> str:
    if not nanos:
        return ""
    if nanos % 1_000_000 == 0:
        return f".{nanos // 1_000_000:03d}"
    if nanos % 1_000 == 0:
        return f".{nanos // 1_000:06d}"
    return f".{nanos:09d}"
