"""The probe: a service whose RPCs do what a test tells them to, compiled once per process from its proto."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import grpc
from google.api import field_behavior_pb2
from google.protobuf import struct_pb2
from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import Default
from google.protobuf.message_factory import GetMessageClass

import retinue.common.v1.options_pb2

HERE = Path(__file__).resolve().parent
IMPORTED = (field_behavior_pb2, struct_pb2, retinue.common.v1.options_pb2)
"""What the proto imports, in the pool before it."""

Handler = Callable[[Any, Any], Any]

_SHAPES: dict[tuple[bool, bool], Callable[..., Any]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


@cache
def file() -> FileDescriptor:
    """The proto's descriptor, in the default pool."""
    folders = (
        HERE,
        HERE.parents[2] / "proto",
        Path(str(resources.files("grpc_tools") / "_proto")),
        Path(sysconfig.get_path("purelib")),
    )
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "probe.binpb"
        paths = [f"-I{folder}" for folder in folders]
        command = [sys.executable, "-m", "grpc_tools.protoc", *paths, f"--descriptor_set_out={target}", "probe.proto"]
        subprocess.run(command, check=True)
        (found,) = FileDescriptorSet.FromString(target.read_bytes()).file
    Default().AddSerializedFile(found.SerializeToString())
    return Default().FindFileByName("probe.proto")


def service() -> ServiceDescriptor:
    """The service's descriptor."""
    return file().services_by_name["ProbeService"]


def message(name: str, /, **fields: Any) -> Any:
    """A message of the proto by its short name."""
    return GetMessageClass(file().message_types_by_name[name])(**fields)


def path(method: str) -> str:
    """The path of an RPC."""
    return f"/{service().full_name}/{method}"


class Probe:
    """The servicer. `on` says what an RPC does, by its name; one that nothing is said of answers with the request."""

    def __init__(self, **on: Handler) -> None:
        self.on = on

    def register(self, _: object, server: grpc.aio.Server) -> None:
        """Add the RPCs to a server, as generated code does."""
        handlers = {}
        for rpc in service().methods:
            make = _SHAPES[rpc.client_streaming, rpc.server_streaming]
            handlers[rpc.name] = make(
                self.on.get(rpc.name, echo),
                request_deserializer=GetMessageClass(rpc.input_type).FromString,
                response_serializer=GetMessageClass(rpc.output_type).SerializeToString,
            )
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service().full_name, handlers),))


class Stub:
    """The client side: one multicallable for each RPC, by its name."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        for rpc in service().methods:
            kind = f"{_word(rpc.client_streaming)}_{_word(rpc.server_streaming)}"
            call = getattr(channel, kind)(
                path(rpc.name),
                request_serializer=GetMessageClass(rpc.input_type).SerializeToString,
                response_deserializer=GetMessageClass(rpc.output_type).FromString,
            )
            setattr(self, rpc.name, call)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


async def echo(request: Any, _: Any) -> Any:
    """Answer with the text of the request."""
    return message("Response", text=getattr(request, "text", ""))


def _word(streams: bool) -> str:
    return "stream" if streams else "unary"
