"""Compiles the gateway's test protos into the default pool, once per process."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tempfile
from functools import cache
from importlib import resources
from pathlib import Path

from google.api import annotations_pb2, field_behavior_pb2
from google.protobuf import (
    any_pb2,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from google.protobuf.descriptor import Descriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

import retinue.common.v1.options_pb2

HERE = Path(__file__).resolve().parent
FILES = ("mapping.proto", "echo.proto")
DEPENDENCIES = (
    annotations_pb2,
    any_pb2,
    duration_pb2,
    empty_pb2,
    field_behavior_pb2,
    field_mask_pb2,
    retinue.common.v1.options_pb2,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)


@cache
def image() -> FileDescriptorSet:
    """The descriptors of the test protos and all they import, with their comments."""
    folders = (
        HERE,
        HERE.parents[2] / "proto",
        Path(str(resources.files("grpc_tools") / "_proto")),
        Path(sysconfig.get_path("purelib")),
    )
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "image.binpb"
        options = ["--include_imports", "--include_source_info", f"--descriptor_set_out={target}"]
        command = [sys.executable, "-m", "grpc_tools.protoc", *(f"-I{folder}" for folder in folders), *options, *FILES]
        subprocess.run(command, check=True)
        return FileDescriptorSet.FromString(target.read_bytes())


@cache
def files() -> tuple[FileDescriptor, ...]:
    """The test protos' descriptors in the default pool, where their options can be read."""
    pool = Default()
    for file in image().file:
        if file.name in FILES:
            pool.AddSerializedFile(file.SerializeToString())
    return tuple(pool.FindFileByName(name) for name in FILES)


def descriptor(name: str) -> Descriptor:
    """The descriptor of a message of the test protos by its short name."""
    files()
    return Default().FindMessageTypeByName(f"gatewaytest.v1.{name}")


def message_class(name: str) -> type[Message]:
    """The class of a message of the test protos by its short name."""
    return GetMessageClass(descriptor(name))
