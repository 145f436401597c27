"""Every RPC of the suite, found in its descriptors, and a request for each that names somebody's things.

Owns what a field of a certain name is filled with. A field that looks like an id and is not known here is an error, so
that a new RPC cannot pass by.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

import retinue
from retinue.common.v1 import options_pb2

Ids = Mapping[str, str]
"""What fields name, by the name of the field."""

NAMING = ("organization_id", "user_id", "agent_id", "execution_id", "token_id")
"""Fields that name something of an organisation."""

_VERSION = "1.0.0"
_PLAIN = {"version": _VERSION, "from": _VERSION, "to": _VERSION, "from_version": _VERSION, "to_version": _VERSION}
_LEFT_OUT = ("conversation_id", "project_id", "subject_id", "reservation_id", "session_id", "call_id", "id")
_OUTPUT = ("id", "organization_id", "created_by", "prefix")


@dataclass(frozen=True)
class Rpc:
    """One RPC and its rule."""

    method: MethodDescriptor

    @property
    def path(self) -> str:
        """Its path on the wire."""
        return f"/{self.method.containing_service.full_name}/{self.method.name}"

    @property
    def room(self) -> str:
        """The room that serves it."""
        return str(self.method.containing_service.full_name.split(".")[1])

    @property
    def rule(self) -> Any:
        """Who may call it."""
        return self.method.GetOptions().Extensions[options_pb2.access]

    @property
    def kind(self) -> str:
        """The kind of its rule: `scope`, `internal`, `anonymous` or `authenticated`."""
        return str(self.rule.WhichOneof("rule"))

    @property
    def naming(self) -> list[str]:
        """The fields of its request that name something of an organisation."""
        return [field.name for field, _ in _named(self.method.input_type)]

    def request(self, ids: Ids) -> Message:
        """A request that would be fine if the right one made it; `ids` by field."""
        request: Message = GetMessageClass(self.method.input_type)()
        _fill(request, ids)
        return request

    def __str__(self) -> str:
        return f"{self.method.containing_service.name}.{self.method.name}"


def every_rpc() -> list[Rpc]:
    """All RPCs of all rooms."""
    modules = {
        ".".join(("retinue", *path.relative_to(folder).with_suffix("").parts))
        for folder in map(Path, retinue.__path__)
        for path in folder.rglob("*_service_pb2.py")
    }
    return [
        Rpc(method)
        for name in sorted(modules)
        for service in import_module(name).DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ]


def unknown_fields(rpc: Rpc) -> list[str]:
    """Fields of a request that look like ids and that nothing is known of."""
    known = (*NAMING, *_LEFT_OUT)
    return [
        field.name for field in rpc.method.input_type.fields if field.name.endswith("_id") and field.name not in known
    ]


def _named(message: Any) -> list[tuple[FieldDescriptor, str]]:
    found = [(field, field.name) for field in message.fields if field.name in NAMING]
    for field in message.fields:
        if _is_thing(field):
            found += [(inner, field.name) for inner in field.message_type.fields if inner.name == "user_id"]
    return found


def _is_thing(field: FieldDescriptor) -> bool:
    """Whether a field holds one message of the suite, such as the agent that is to be created."""
    kind = field.message_type
    return kind is not None and not field.is_repeated and kind.full_name.startswith("retinue.")


def _fill(message: Any, ids: Ids) -> None:
    for field in message.DESCRIPTOR.fields:
        if field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated:
            value = ids.get(field.name) if field.name in NAMING else _PLAIN.get(field.name)
            if value:
                setattr(message, field.name, value)
        elif _is_thing(field):
            getattr(message, field.name).SetInParent()
            _describe(getattr(message, field.name), ids)


def _describe(thing: Any, ids: Ids) -> None:
    """Fill in a thing that is to be created or changed, as far as it must be."""
    name = thing.DESCRIPTOR.name
    if name == "Quota":
        thing.level, thing.metric, thing.window, thing.limit = 3, 2, 4, 10**9
    elif name == "User":
        thing.email, thing.role = f"{uuid.uuid4()}@example.com", 2
    elif name in ("Agent", "AgentSpec"):
        thing.model = "scripted"
    if name == "ApiToken":
        thing.user_id = ids["user_id"]
    if "name" in thing.DESCRIPTOR.fields_by_name:
        thing.name = f"Name {uuid.uuid4()}"
