"""From a model's last words to the output of an execution.

Owns how text is read as JSON and checked against the declared schema, and the words in which a model is asked to
mend what does not match.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from services.worker.core.depth import MAX_DEPTH, deeper_than
from services.worker.core.schema import Validator

_FENCED = re.compile(r"```[A-Za-z0-9_-]*[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Reading:
    """A text read as output: its JSON, or what is wrong with it."""

    output_json: str = ""
    problems: tuple[str, ...] = ()


def read(text: str, validator: Validator | None) -> Reading:
    """Read a final text. Without a schema the text itself is the output, as a JSON string."""
    if validator is None:
        return Reading(orjson.dumps(text).decode())
    value, source = _parse(text)
    if source is None:
        if validator.accepts(text):
            return Reading(orjson.dumps(text).decode())
        return Reading(problems=("(whole value): this is not JSON",))
    problems = validator.problems(value)
    if not problems and deeper_than(MAX_DEPTH, value):
        problems = (f"(whole value): this is nested deeper than {MAX_DEPTH} levels",)
    if not problems and "\\u0000" in source:
        problems = ("(whole value): null characters are not allowed",)
    return Reading(problems=problems) if problems else Reading(source)


def repair_request(problems: Sequence[str]) -> str:
    """Ask a model to mend its answer."""
    listed = "\n".join(f"- {problem}" for problem in problems)
    return (
        "Your answer does not match the JSON Schema that it must match:\n"
        f"{listed}\n"
        "Answer again with the corrected JSON value and nothing else."
    )


def _parse(text: str) -> tuple[Any, str | None]:
    """Parse a text, or the one fenced block in it. Returns the value and the JSON text it came from."""
    for candidate in (text, *_FENCED.findall(text)[:1]):
        stripped = candidate.strip()
        try:
            return orjson.loads(stripped), stripped
        except orjson.JSONDecodeError:
            continue
    return None, None
