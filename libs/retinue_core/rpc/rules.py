"""What the protos say about an RPC: who may call it, and which fields it needs.

Owns the reading of the `access` option and of `google.api.field_behavior`, once per method and message type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice

from google.api import field_behavior_pb2
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message

from retinue.common.v1 import options_pb2
from retinue_core.errors import Problem, RetinueError, denied, unauthenticated
from retinue_core.identity import Identity

Check = Callable[[Identity | None], RetinueError | None]
_MOST_PROBLEMS = 100


def method_descriptor(path: str) -> MethodDescriptor:
    """Find the descriptor behind a method's path, `/package.Service/Method`."""
    service, _, method = path.removeprefix("/").rpartition("/")
    return descriptor_pool.Default().FindServiceByName(service).methods_by_name[method]


def access_check(path: str) -> Check:
    """Build what decides who may call a method. A method without a rule is refused to everybody."""
    rule = method_descriptor(path).GetOptions().Extensions[options_pb2.access]
    which = rule.WhichOneof("rule")
    if which == "anonymous" and rule.anonymous:
        return lambda _: None
    if which == "authenticated" and rule.authenticated:
        return lambda identity: None if identity else _nobody()
    if which == "scope":
        return lambda identity: _scope(identity, rule.scope)
    services = frozenset(name.strip() for name in rule.internal.split(",") if name.strip())
    return lambda identity: _internal(identity, services)


def _nobody() -> RetinueError:
    return unauthenticated("The call carries no identity.", actions=("Send `Authorization: Bearer rtn_…`.",))


def _scope(identity: Identity | None, scope: str) -> RetinueError | None:
    if identity is None:
        return _nobody()
    if identity.has(scope):
        return None
    return denied(f"This needs the scope {scope!r}.", actions=(f"Use a token that carries {scope!r}.",))


def _internal(identity: Identity | None, services: frozenset[str]) -> RetinueError | None:
    if identity is None:
        return _nobody()
    if identity.is_service and identity.subject in services:
        return None
    return denied("This call is for services of the suite only.")


def missing_fields(request: Message) -> tuple[Problem, ...]:
    """Name the required fields that a request leaves empty, nested ones included; the first 100 of them."""
    if not _needs(request.DESCRIPTOR):
        return ()
    return tuple(islice(_missing(request, ""), _MOST_PROBLEMS))


def _missing(message: Message, path: str) -> Iterator[Problem]:
    for field, required, nested in _needs(message.DESCRIPTOR):
        name = f"{path}{field.json_name}"
        value = getattr(message, field.name)
        there = message.HasField(field.name) if field.has_presence else bool(value)
        if not there:
            if required:
                yield Problem(name, "is required and must not be empty")
        elif nested and field.is_repeated:
            for index, item in enumerate(value):
                yield from _missing(item, f"{name}[{index}].")
        elif nested:
            yield from _missing(value, f"{name}.")


@cache
def _needs(descriptor: Descriptor) -> tuple[tuple[FieldDescriptor, bool, bool], ...]:
    """The fields of a message that are required or hold some that are: (field, required, look inside)."""
    found = []
    for field in descriptor.fields:
        required, inside = _required(field), _inside(field)
        nested = inside is not None and _demands(inside, set())
        if required or nested:
            found.append((field, required, nested))
    return tuple(found)


def _required(field: FieldDescriptor) -> bool:
    return field_behavior_pb2.REQUIRED in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]


def _demands(descriptor: Descriptor, seen: set[str]) -> bool:
    """Say whether a message has required fields, at any depth; a type may hold itself."""
    if descriptor.full_name in seen:
        return False
    seen.add(descriptor.full_name)
    inside = (_inside(field) for field in descriptor.fields)
    return any(map(_required, descriptor.fields)) or any(_demands(found, seen) for found in inside if found)


def _inside(field: FieldDescriptor) -> Descriptor | None:
    """The type of the messages in a field, where it is one of ours."""
    found = field.message_type
    if found is None or not found.full_name.startswith("retinue.") or found.GetOptions().map_entry:
        return None
    return found
