"""Reading a signature.

Owns the grammar:

    signature = [fields] "->" fields        fields = field {"," field} [","]
    field     = name ["?"] [":" type] ["=" literal] [string]
    type      = single {"|" single}
    single    = name | "list" "[" type "]" | "dict" "[" "str" "," type "]" | "Literal" "[" literal {"," literal} "]"

A field without a type is a `str`. A comment behind a field, on its line, describes it; other comments are for readers.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from retinue_client.signatures import text
from retinue_client.signatures.types import (
    NONE,
    SIMPLE,
    UNSET,
    AnyOf,
    DictOf,
    Field,
    ListOf,
    OneOf,
    Signature,
    Simple,
    Type,
)

_DEEPEST = 16
_OTHER_NAMES = {
    "string": "str",
    "text": "str",
    "integer": "int",
    "number": "float",
    "double": "float",
    "boolean": "bool",
    "array": "list",
    "object": "dict",
    "null": "None",
    "Any": "any",
    "List": "list",
    "Dict": "dict",
}
_WORDS: dict[str, Any] = {"True": True, "true": True, "False": False, "false": False, "None": None, "null": None}


def parse(source: str) -> Signature:
    """Read a signature. Raises SignatureError with the line and column of what is wrong."""
    reader = _Reader(source)
    inputs = reader.fields(until="arrow")
    reader.expect("arrow", "`->` is expected here, between what goes in and what comes out")
    outputs = reader.fields(until="end")
    reader.expect("end", "nothing more is expected here")
    if not outputs:
        raise reader.now.wrong("at least one field is expected behind `->`")
    return Signature(inputs, outputs)


class _Reader:
    """A place in the tokens of a signature."""

    def __init__(self, source: str) -> None:
        found = list(text.tokens(source))
        self._tokens = [token for token in found if token.kind != "comment"]
        self._comments = {token.line: token.text[1:].strip() for token in found if token.kind == "comment"}
        self._at = 0
        self._depth = 0

    @property
    def now(self) -> text.Token:
        return self._tokens[self._at]

    def next(self) -> text.Token:
        token = self.now
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def accept(self, sign: str) -> bool:
        if self.now.kind == "sign" and self.now.text == sign:
            self.next()
            return True
        return False

    def expect(self, kind: str, reason: str) -> text.Token:
        if self.now.kind != kind:
            raise self.now.wrong(f"{reason}, not {self.now.shown}")
        return self.next()

    def fields(self, *, until: str) -> tuple[Field, ...]:
        found: dict[str, Field] = {}
        while self.now.kind not in (until, "end"):
            begun = self.now
            field = self._field()
            if field.name in found:
                raise begun.wrong(f"there is a field `{field.name}` already")
            found[field.name] = field
            if not self.accept(",") and self.now.kind != until:
                raise self.now.wrong(f"`,` or {'`->`' if until == 'arrow' else 'the end'} is expected here")
            found[field.name] = self._described(field)
        return tuple(found.values())

    def _field(self) -> Field:
        name = self.expect("name", "the name of a field is expected here").text
        marked = self.accept("?")
        kind: Type = self._type() if self.accept(":") else Simple("str")
        kind, nullable = _without_none(kind)
        default, description = UNSET, ""
        if self.accept("="):
            begun = self.now
            default = self._literal()
            if default is None and not (marked or nullable):
                raise begun.wrong(f"None is no {kind}; write `{name}?: {kind}`")
            if default is not None and not matches(default, kind):
                raise begun.wrong(f"the default is no {kind}")
        if self.now.kind == "string":
            description = text.unquoted(self.next())
        return Field(name, kind, marked or nullable, default, description)

    def _described(self, field: Field) -> Field:
        """The field with the comment behind it, unless something else stands between them."""
        line = self._tokens[self._at - 1].line
        if field.description or (self.now.line == line and self.now.kind != "end"):
            return field
        return replace(field, description=self._comments.get(line, ""))

    def _type(self) -> Type:
        self._deeper(self.now)
        options = [self._single()]
        while self.accept("|"):
            options.append(self._single())
        self._depth -= 1
        return options[0] if len(options) == 1 else AnyOf(tuple(dict.fromkeys(options)))

    def _single(self) -> Type:
        token = self.expect("name", "a type is expected here")
        inner = self._inner(token) if self.accept("[") else None
        if inner is not None:
            if not self.accept("]"):
                raise self.now.wrong(f"`]` is expected here, not {self.now.shown}")
            return inner
        if token.text == "Literal":
            raise token.wrong('`Literal` needs its values, like `Literal["yes", "no"]`')
        if token.text not in SIMPLE:
            raise token.wrong(_unknown(token.text))
        return Simple(token.text)

    def _inner(self, token: text.Token) -> Type:
        inner: dict[str, Callable[[], Type]] = {
            "list": lambda: ListOf(self._type()),
            "dict": self._dict,
            "Literal": self._choice,
        }
        if token.text not in inner:
            known = token.text in SIMPLE
            raise token.wrong(f"`{token.text}` takes nothing in brackets" if known else _unknown(token.text))
        return inner[token.text]()

    def _dict(self) -> Type:
        key = self.expect("name", "the type of the keys is expected here")
        if key.text != "str":
            raise key.wrong("the keys of a dict are always `str`: write `dict[str, …]`")
        if not self.accept(","):
            raise self.now.wrong(f"`,` and the type of the values are expected here, not {self.now.shown}")
        return DictOf(self._type())

    def _choice(self) -> Type:
        values: list[str | int | bool] = []
        while not values or self.accept(","):
            begun = self.now
            value = self._literal()
            if not isinstance(value, str | int | bool):
                raise begun.wrong("a Literal holds texts, whole numbers and truth values")
            values.append(value)
        return OneOf(tuple(values))

    def _deeper(self, token: text.Token) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise token.wrong(f"this is nested more than {_DEEPEST} deep")

    def _literal(self) -> Any:
        token = self.next()
        if token.kind == "string":
            return text.unquoted(token)
        if token.kind == "number":
            return text.number(token)
        if token.kind == "name" and token.text in _WORDS:
            return _WORDS[token.text]
        if token.kind == "sign" and token.text in "[{":
            self._deeper(token)
            found = self._list() if token.text == "[" else self._object()
            self._depth -= 1
            return found
        raise token.wrong(f"a value is expected here, not {token.shown}; texts stand in quotes")

    def _list(self) -> list[Any]:
        items: list[Any] = []
        while not self.accept("]"):
            items.append(self._literal())
            self._separated("]")
        return items

    def _object(self) -> dict[str, Any]:
        members: dict[str, Any] = {}
        while not self.accept("}"):
            key = text.unquoted(self.expect("string", "a key in quotes is expected here"))
            if not self.accept(":"):
                raise self.now.wrong(f"`:` is expected here, not {self.now.shown}")
            members[key] = self._literal()
            self._separated("}")
        return members

    def _separated(self, closing: str) -> None:
        closes = self.now.kind == "sign" and self.now.text == closing
        if not closes and not self.accept(","):
            raise self.now.wrong(f"`,` or `{closing}` is expected here, not {self.now.shown}")


def _without_none(kind: Type) -> tuple[Type, bool]:
    """A type without its `None`, and whether it had one."""
    if not isinstance(kind, AnyOf) or NONE not in kind.options:
        return kind, False
    rest = tuple(option for option in kind.options if option != NONE)
    return (rest[0] if len(rest) == 1 else AnyOf(rest)), True


_PYTHON: dict[str, Callable[[Any], bool]] = {
    "any": lambda _: True,
    "None": lambda value: value is None,
    "bool": lambda value: isinstance(value, bool),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "float": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "list": lambda value: isinstance(value, list),
    "dict": lambda value: isinstance(value, dict),
}


def matches(value: Any, kind: Type) -> bool:
    """Say whether a literal is of a type; dates are texts."""
    if isinstance(kind, AnyOf):
        return any(matches(value, option) for option in kind.options)
    if isinstance(kind, OneOf):
        return any(value == known and isinstance(value, bool) is isinstance(known, bool) for known in kind.values)
    if isinstance(kind, ListOf):
        return isinstance(value, list) and all(matches(item, kind.item) for item in value)
    if isinstance(kind, DictOf):
        return isinstance(value, dict) and all(matches(item, kind.value) for item in value.values())
    return _PYTHON.get(kind.name, lambda found: isinstance(found, str))(value)


def _unknown(name: str) -> str:
    known = (*SIMPLE, "Literal")
    meant = _OTHER_NAMES.get(name) or next(iter(difflib.get_close_matches(name, known, 1)), "")
    hint = f"did you mean `{meant}`?" if meant else f"there are {', '.join(known)}"
    return f"there is no type `{name}`; {hint}"
