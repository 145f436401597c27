"""The routes that generated modules declare: one for each HTTP binding of each RPC.

Owns the reading of ``google.api.http``, of the access rule and of the stream roles. Refuses at
start-up what it could not serve: a client stream, a binding to a field that is not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from google.api import annotations_pb2
from google.api.http_pb2 import HttpRule
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from retinue.common.v1 import options_pb2
from services.gateway.routes.template import Template, parse


@dataclass(frozen=True, slots=True)
class Route:
    """One HTTP binding of one RPC; `room` is the service that answers it."""

    room: str
    rpc: MethodDescriptor
    http_method: str
    template: Template
    body: str
    response_body: str

    @property
    def path(self) -> str:
        """The RPC as gRPC names it."""
        return f"/{self.rpc.containing_service.full_name}/{self.rpc.name}"

    @property
    def anonymous(self) -> bool:
        """Whether it needs no token."""
        return bool(self.rpc.GetOptions().Extensions[options_pb2.access].anonymous)

    @property
    def only_reads(self) -> bool:
        """Whether a call changes nothing, so that ending it early harms nothing."""
        return bool(self.rpc.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS)

    @property
    def answer(self) -> Descriptor:
        """The message whose JSON is the response, or each event of it."""
        if not self.response_body:
            return self.rpc.output_type
        message = self.rpc.output_type.fields_by_name[self.response_body].message_type
        return self.rpc.output_type if message is None else message


def routes_of(room: str, files: Iterable[FileDescriptor]) -> list[Route]:
    """All routes of the services in `files`, which `room` serves; raises ValueError on a bad annotation."""
    return [
        route
        for file in files
        for service in file.services_by_name.values()
        for rpc in service.methods
        for route in _bindings(room, rpc)
    ]


def _bindings(room: str, rpc: MethodDescriptor) -> Iterator[Route]:
    options = rpc.GetOptions()
    if not options.HasExtension(annotations_pb2.http):
        return
    if rpc.client_streaming:
        raise ValueError(f"{rpc.full_name} reads a stream, which no route can give it")
    rule = options.Extensions[annotations_pb2.http]
    for binding in (rule, *rule.additional_bindings):
        yield _route(room, rpc, binding)


def _route(room: str, rpc: MethodDescriptor, rule: HttpRule) -> Route:
    kind = rule.WhichOneof("pattern")
    if kind is None:
        raise ValueError(f"{rpc.full_name} has an HTTP rule without a path")
    custom = kind == "custom"
    text = rule.custom.path if custom else getattr(rule, kind)
    route = Route(
        room=room,
        rpc=rpc,
        http_method=rule.custom.kind if custom else kind.upper(),
        template=parse(text),
        body=rule.body,
        response_body=rule.response_body,
    )
    for variable in route.template.variables:
        leaf(rpc.input_type, variable.field)
    if route.body not in ("", "*"):
        leaf(rpc.input_type, route.body)
    if route.response_body:
        leaf(rpc.output_type, route.response_body)
    return route


def leaf(message: Descriptor, path: str) -> FieldDescriptor:
    """The field that a dotted path leads to; raises ValueError where there is none."""
    here: Descriptor | None = message
    field: FieldDescriptor | None = None
    for name in path.split("."):
        field = here.fields_by_name.get(name) if here is not None else None
        if field is None:
            raise ValueError(f"{message.full_name} has no field {path!r}, which its HTTP rule names")
        here = field.message_type
    assert field is not None
    return field


def field_with_role(message: Descriptor, role: int) -> FieldDescriptor | None:
    """The field of `message` that plays a part in an event stream."""
    for field in message.fields:
        if field.GetOptions().Extensions[options_pb2.event_stream] == role:
            return field
    return None
