"""FieldMask: ``"name,inputSchema"`` both ways, and the mask that a body implies."""

from __future__ import annotations

import re
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from services.gateway.transcode.problems import RefusedError, kind_of

_PATH = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)*", re.ASCII)
_UPPER = re.compile(r"[A-Z]")
_UNDERSCORE = re.compile(r"_([a-z0-9])")


def fill_mask(value: Any, message: Any) -> None:
    """Reads paths separated by commas, in either case."""
    if type(value) is not str:
        raise RefusedError(f'must be field names such as "name,maxSteps", not {kind_of(value)}')
    paths = value.split(",") if value else []
    for path in paths:
        if not _PATH.fullmatch(path):
            raise RefusedError('must be field names separated by commas, such as "name,maxSteps"')
    message.paths.extend(snake(path) for path in paths)
    message.SetInParent()


def print_mask(message: Any) -> str:
    """Writes paths in lowerCamelCase, separated by commas."""
    return ",".join(camel(path) for path in message.paths)


def snake(path: str) -> str:
    """``inputSchema`` to ``input_schema``; what is in snake case stays."""
    return _UPPER.sub(lambda match: f"_{match.group().lower()}", path)


def camel(path: str) -> str:
    """``input_schema`` to ``inputSchema``."""
    return _UNDERSCORE.sub(lambda match: match.group(1).upper(), path)


def fields_by_key(descriptor: Descriptor) -> dict[str, FieldDescriptor]:
    """The fields of a message by both of their spellings."""
    fields = {field.name: field for field in descriptor.fields}
    return fields | {field.json_name: field for field in descriptor.fields}


def present_paths(descriptor: Descriptor, body: dict[str, Any]) -> list[str]:
    """The proto paths of what `body` sets: into messages, not into lists, maps or plain JSON."""
    known = fields_by_key(descriptor)
    paths: list[str] = []
    for key, value in body.items():
        field = known[key]
        inside = _inside(field, value)
        paths += [f"{field.name}.{path}" for path in inside] if inside else [field.name]
    return paths


def _inside(field: FieldDescriptor, value: Any) -> list[str]:
    message = field.message_type
    if message is None or field.is_repeated or type(value) is not dict:
        return []
    if message.file.package == "google.protobuf":
        return []
    return present_paths(message, value)


def unknown_paths(descriptor: Descriptor, paths: list[str]) -> list[str]:
    """Those of `paths` that lead to no field of the message."""
    return [path for path in paths if not _leads(descriptor, path.split("."))]


def _leads(descriptor: Descriptor, parts: list[str]) -> bool:
    field = descriptor.fields_by_name.get(parts[0])
    if field is None:
        return False
    if len(parts) == 1:
        return True
    if field.message_type is None or field.is_repeated:
        return False
    return field.message_type.file.package == "google.protobuf" or _leads(field.message_type, parts[1:])
