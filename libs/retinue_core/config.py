"""Settings: read once from the environment into frozen dataclasses.

Owns the reading and its error messages. A room's `config.py` declares what it needs with `setting`, and its
`__main__` calls `load` once; nothing else reads the environment.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from retinue_core.errors import Problem, RetinueError, invalid

T = TypeVar("T")
_MISSING: Any = dataclasses.MISSING


def setting(name: str, doc: str, *, default: Any = _MISSING, parse: Callable[[str], Any] = str) -> Any:
    """Declare a field of a settings dataclass.

    `name` is the environment variable, `doc` one sentence for operators, `parse` turns the text into the value
    and raises ValueError with a reason when it cannot. Without `default` the variable must be set.
    """
    return dataclasses.field(default=default, metadata={"env": name, "doc": doc, "parse": parse})


def load(settings: type[T], environment: Mapping[str, str]) -> T:
    """Build a settings dataclass from the environment.

    Raises RetinueError (INVALID_CONFIGURATION) that names every variable that is missing or wrong.
    """
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]
        name, doc = field.metadata["env"], field.metadata["doc"]
        raw = environment.get(name, "")
        if raw:
            try:
                values[field.name] = field.metadata["parse"](raw)
            except ValueError as reason:
                problems.append(Problem(name, f"{raw!r} is not usable: {reason}. {doc}"))
        elif field.default is dataclasses.MISSING:
            problems.append(Problem(name, f"is not set. {doc}"))
    if problems:
        raise invalid_configuration(problems)
    return settings(**values)


def invalid_configuration(problems: list[Problem]) -> RetinueError:
    """The error for settings that are missing or wrong, in one line."""
    text = "; ".join(f"{problem.field} {problem.message}" for problem in problems)
    return invalid(f"The configuration is not usable: {text}", *problems, code="INVALID_CONFIGURATION")


def positive(text: str) -> int:
    """Parse a whole number above zero."""
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise ValueError("it must be a whole number above zero")
    return int(text)


def seconds(text: str) -> float:
    """Parse a length of time in seconds, above zero."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ValueError("it must be a number of seconds above zero")
    return value


def address(text: str) -> str:
    """Parse `host:port`."""
    host, separator, port = text.rpartition(":")
    number = int(port) if port.isascii() and port.isdecimal() else -1
    if not separator or not host or not 0 <= number <= 65_535:
        raise ValueError("it must look like host:port")
    return text


def log_level(text: str) -> str:
    """Parse the name of a log level, in whatever case."""
    if text.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise ValueError("it must be DEBUG, INFO, WARNING or ERROR")
    return text.upper()


def words(text: str) -> tuple[str, ...]:
    """Parse a list separated by commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
