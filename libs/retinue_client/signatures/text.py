"""The text of a signature as tokens, each with its place.

Owns where things stand and the error that names a place. It refuses characters that mean nothing here.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from retinue_client.errors import InvalidArgumentError, Kind, Problem

LONGEST = 10_000
"""Characters that a signature may have."""
_MOST_DIGITS = 30

_TOKEN = re.compile(
    r"""
    (?P<space>[ \t\r\n]+)
  | (?P<comment>\#[^\n]*)
  | (?P<arrow>->)
  | (?P<number>-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?!\w))
  | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
  | (?P<name>[^\W\d]\w*)
  | (?P<sign>[\[\]{},:=|?])
    """,
    re.VERBOSE,
)
_INNER_QUOTE = re.compile(r'\\.|"', re.DOTALL)


class SignatureError(InvalidArgumentError):
    """A text that is no signature. `line` and `column` count from 1; both are 0 where no text is at fault."""

    def __init__(self, reason: str, line: int = 0, column: int = 0) -> None:
        place = f"line {line}, column {column}: " if line else ""
        super().__init__(
            Kind.INVALID_ARGUMENT,
            "INVALID_SIGNATURE",
            f"The signature cannot be used: {place}{reason}.",
            problems=(Problem("signature", f"{place}{reason}"),),
            actions=('Write it like `question: str -> answer: str, confidence: float "from 0 to 1"`.',),
        )
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the text. `kind` is a group of the grammar above, or `end`."""

    kind: str
    text: str
    line: int
    column: int

    def wrong(self, reason: str) -> SignatureError:
        """The error of finding this token here."""
        return SignatureError(reason, self.line, self.column)

    @property
    def shown(self) -> str:
        """How a message calls it."""
        return "the end" if self.kind == "end" else f"`{self.text}`"


def tokens(text: str) -> Iterator[Token]:
    """Cut a text into tokens, comments included; the last one is the end."""
    if len(text) > LONGEST:
        raise SignatureError(f"it has more than {LONGEST} characters")
    at, line, start = 0, 1, 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise SignatureError(_unreadable(text[at]), line, at - start + 1)
        if found.lastgroup != "space":
            yield Token(str(found.lastgroup), found[0], line, at - start + 1)
        breaks = found[0].count("\n")
        if breaks:
            line, start = line + breaks, at + found[0].rindex("\n") + 1
        at = found.end()
    yield Token("end", "", line, at - start + 1)


def unquoted(token: Token) -> str:
    """The text that a string token stands for; its escapes are those of JSON, and `\\'`."""
    inner = token.text[1:-1]
    if token.text[0] == "'":
        inner = _INNER_QUOTE.sub(lambda found: {'"': '\\"', "\\'": "'"}.get(found[0], found[0]), inner)
    else:
        inner = _INNER_QUOTE.sub(lambda found: "'" if found[0] == "\\'" else found[0], inner)
    try:
        found = str(json.loads(f'"{inner}"', strict=False))
        found.encode()
    except UnicodeEncodeError:
        raise token.wrong("the text holds half a character") from None
    except json.JSONDecodeError:
        raise token.wrong("a backslash stands before something that it cannot escape") from None
    return found


def number(token: Token) -> int | float:
    """The number that a token stands for."""
    if len(token.text) > _MOST_DIGITS:
        raise token.wrong(f"numbers have at most {_MOST_DIGITS} characters")
    found = int(token.text) if token.text.lstrip("-").isdigit() else float(token.text)
    if abs(found) > sys.float_info.max:
        raise token.wrong("the number is too large for JSON")
    return found


def _unreadable(character: str) -> str:
    if character in "\"'":
        return "the text that begins here does not end on its line"
    return f"{character!r} has no meaning here"
