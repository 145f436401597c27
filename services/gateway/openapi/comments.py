"""The comments of the protos, by the full name of what they describe.

Owns the reading of ``descriptors.binpb``, the descriptor image with source info that `make proto`
writes: the generated modules themselves carry no comments.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

IMAGE = "descriptors.binpb"

_MESSAGES, _ENUMS, _SERVICES = 4, 5, 6
_FIELDS, _NESTED, _NESTED_ENUMS, _VALUES, _METHODS = 2, 3, 4, 2, 2


def load() -> dict[str, str]:
    """The comments of the image that is part of this package."""
    raw = (resources.files("services.gateway") / IMAGE).read_bytes()
    return comments_of(FileDescriptorSet.FromString(raw))


def comments_of(image: FileDescriptorSet) -> dict[str, str]:
    """The comments in an image: as paragraphs, their lines joined."""
    return {name: text for file in image.file for name, text in _file(file)}


def _file(file: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    texts = {
        tuple(location.path): _paragraphs(location.leading_comments)
        for location in file.source_code_info.location
        if location.leading_comments
    }
    for path, name in _names(file):
        if path in texts:
            yield name, texts[path]


def _names(file: FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    for index, message in enumerate(file.message_type):
        yield from _message((_MESSAGES, index), f"{file.package}.{message.name}", message)
    for index, enum in enumerate(file.enum_type):
        yield from _members((_ENUMS, index), f"{file.package}.{enum.name}", _VALUES, enum.value)
    for index, service in enumerate(file.service):
        yield from _members((_SERVICES, index), f"{file.package}.{service.name}", _METHODS, service.method)


def _message(path: tuple[int, ...], name: str, message: Any) -> Iterator[tuple[tuple[int, ...], str]]:
    yield from _members(path, name, _FIELDS, message.field)
    for index, nested in enumerate(message.nested_type):
        yield from _message((*path, _NESTED, index), f"{name}.{nested.name}", nested)
    for index, enum in enumerate(message.enum_type):
        yield from _members((*path, _NESTED_ENUMS, index), f"{name}.{enum.name}", _VALUES, enum.value)


def _members(path: tuple[int, ...], name: str, number: int, members: Any) -> Iterator[tuple[tuple[int, ...], str]]:
    yield path, name
    for index, member in enumerate(members):
        yield (*path, number, index), f"{name}.{member.name}"


def _paragraphs(comment: str) -> str:
    paragraphs = comment.strip().split("\n\n")
    return "\n\n".join(" ".join(line.strip() for line in paragraph.splitlines()) for paragraph in paragraphs)


Comments = Mapping[str, str]
