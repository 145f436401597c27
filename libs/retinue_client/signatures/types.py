"""What a signature says: fields with types, defaults and descriptions.

Owns the types there are and how a signature is written as text. It knows no JSON Schema.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final


class Unset:
    """The default of a field that has none; None would be a default."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset()
SIMPLE = ("str", "int", "float", "bool", "date", "datetime", "list", "dict", "any", "None")
"""Types that stand for themselves."""


@dataclass(frozen=True, slots=True)
class Simple:
    """A type that is named."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class ListOf:
    """`list[T]`."""

    item: Type

    def __str__(self) -> str:
        return f"list[{self.item}]"


@dataclass(frozen=True, slots=True)
class DictOf:
    """`dict[str, T]`."""

    value: Type

    def __str__(self) -> str:
        return f"dict[str, {self.value}]"


@dataclass(frozen=True, slots=True)
class OneOf:
    """`Literal[…]`: texts, whole numbers or truth values, in the order they were written."""

    values: tuple[str | int | bool, ...]

    def __str__(self) -> str:
        return f"Literal[{', '.join(map(written, self.values))}]"


@dataclass(frozen=True, slots=True)
class AnyOf:
    """`A | B`."""

    options: tuple[Type, ...]

    def __str__(self) -> str:
        return " | ".join(map(str, self.options))


Type = Simple | ListOf | DictOf | OneOf | AnyOf
NONE = Simple("None")


@dataclass(frozen=True, slots=True)
class Field:
    """One thing that goes in or comes out. An `optional` one may be missing or null."""

    name: str
    type: Type
    optional: bool = False
    default: Any = UNSET
    description: str = ""

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return not self.optional and self.default is UNSET

    def __str__(self) -> str:
        text = f"{self.name}{'?' if self.optional else ''}: {self.type}"
        if self.default is not UNSET:
            text += f" = {written(self.default)}"
        return f"{text} {written(self.description)}" if self.description else text


@dataclass(frozen=True)
class Signature:
    """What goes in and what comes out. `str` writes it in one line, from which it can be read again."""

    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]

    @cached_property
    def input_schema(self) -> Mapping[str, Any]:
        """The JSON Schema of what goes in."""
        from retinue_client.signatures.schema import to_schema

        return to_schema(self.inputs)

    @cached_property
    def output_schema(self) -> Mapping[str, Any]:
        """The JSON Schema of what comes out."""
        from retinue_client.signatures.schema import to_schema

        return to_schema(self.outputs)

    def __str__(self) -> str:
        given = ", ".join(map(str, self.inputs))
        answered = ", ".join(map(str, self.outputs))
        return f"{given} -> {answered}" if given else f"-> {answered}"


def written(value: Any) -> str:
    """A literal as a signature writes it, which is how JSON writes it, but for Python's names."""
    if value is None or isinstance(value, bool):
        return str(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{written(key)}: {written(item)}" for key, item in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)
