"""Files that describe agents.

Owns their form: YAML 1.2 or JSON, one agent to a document, a list of agents, or `agents:` with a list. A key that
comes twice, and a document that is no agent, are refused with file and line.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retinue_client.errors import InvalidArgumentError, Kind, Problem

_LARGEST = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Manifest:
    """One agent as it is written; `place` says where."""

    place: str
    fields: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name of the agent."""
        return str(self.fields["name"])


def read_manifests(names: Sequence[str]) -> list[Manifest]:
    """Read the agents of files; `-` is standard input. Raises INVALID_FILE."""
    found = [manifest for name in names for manifest in _manifests(name, _content(name))]
    seen: dict[str, str] = {}
    for manifest in found:
        key = manifest.name.strip().casefold()
        if key in seen:
            raise _invalid(manifest.place, f"{seen[key]} describes an agent {manifest.name!r} too")
        seen[key] = manifest.place
    return found


def _content(name: str) -> str:
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise _invalid(name, getattr(error, "strerror", None) or "it is not text in UTF-8") from None
    if len(text) > _LARGEST:
        raise _invalid(name, f"it is longer than {_LARGEST} characters")
    return text


def _manifests(name: str, text: str) -> Iterator[Manifest]:
    shown = "standard input" if name == "-" else name
    found = [document for document in _documents(shown, text) if document is not None]
    if not found:
        raise _invalid(shown, "it holds no agent")
    for number, document in enumerate(found, 1):
        place = f"{shown}, document {number}" if len(found) > 1 else shown
        named = isinstance(document, Mapping) and set(document) == {"agents"}
        content = document["agents"] if named else document
        many = isinstance(content, list)
        for index, fields in enumerate(content if many else [content], 1):
            yield _manifest(f"{place}, agent {index}" if many else place, fields)


def _manifest(place: str, fields: Any) -> Manifest:
    if not isinstance(fields, Mapping):
        raise _invalid(place, "an agent is a mapping, beginning with `name:`")
    if not isinstance(fields.get("name"), str) or not fields["name"].strip():
        raise _invalid(place, "the agent needs a `name`, which it is found by")
    return Manifest(place, fields)


def _documents(name: str, text: str) -> list[Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        return list(YAML(typ="safe", pure=True).load_all(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{name}, line {mark.line + 1}, column {mark.column + 1}" if mark else name
        raise _invalid(where, " ".join(str(error.problem or error.context or "it is not YAML").split())) from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise _invalid(name, " ".join(str(error).split()) or "it is not YAML") from None


def _invalid(place: str, reason: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        Kind.INVALID_ARGUMENT, "INVALID_FILE", f"{place}: {reason}.", problems=(Problem(place, reason),)
    )
