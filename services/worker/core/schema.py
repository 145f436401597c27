"""JSON Schema, as the loop uses it.

Owns how schemas of users are compiled: patterns run on a linear-time engine, and nothing is ever fetched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jsonschema_rs

_SHOWN = 10


class SchemaError(ValueError):
    """A schema that is none, or that needs something it may not have."""


class Validator:
    """A compiled schema."""

    __slots__ = ("_validator",)

    def __init__(self, schema: Mapping[str, Any]) -> None:
        try:
            self._validator = jsonschema_rs.validator_for(
                dict(schema), pattern_options=jsonschema_rs.RegexOptions(), retriever=_refuse
            )
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
            raise SchemaError(str(error).split("\n", 1)[0]) from None

    def accepts(self, value: Any) -> bool:
        """Say whether a value is what the schema asks for."""
        return self._validator.is_valid(value)

    def problems(self, value: Any) -> tuple[str, ...]:
        """What is wrong with a value, each with its path; empty when nothing is."""
        if self._validator.is_valid(value):
            return ()
        found = []
        for error in self._validator.iter_errors(value):
            path = "/".join(str(part) for part in error.instance_path)
            found.append(f"{path or '(whole value)'}: {error.message}")
            if len(found) == _SHOWN:
                break
        return tuple(found)


def _refuse(uri: str) -> Any:
    raise ValueError(f"{uri} is outside the schema, and schemas are not fetched")
