"""From generated modules to what answers their routes.

Owns the assembly: modules to file descriptors, annotations to bindings, bindings to endpoints in
the trie. It fails at start-up on two RPCs that claim the same route.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module

from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pool import Default

from services.gateway.app import Endpoint
from services.gateway.routes.binding import Binding
from services.gateway.routes.discover import Route, routes_of
from services.gateway.routes.trie import Trie
from services.gateway.stream import OpenStreams, Pace, StreamEndpoint
from services.gateway.transcode.json_in import Parser
from services.gateway.transcode.json_out import Printer
from services.gateway.unary import UnaryEndpoint
from services.gateway.upstream import Upstreams

Files = Mapping[str, tuple[FileDescriptor, ...]]
"""Proto files by the room that serves them."""


def load_files(rooms: Mapping[str, Iterable[str]]) -> Files:
    """Imports the generated modules of each room."""
    return {room: tuple(import_module(name).DESCRIPTOR for name in names) for room, names in rooms.items()}


def services_of(files: Files) -> dict[str, list[ServiceDescriptor]]:
    """The gRPC services of each room."""
    return {
        room: [service for file in each for service in file.services_by_name.values()] for room, each in files.items()
    }


def all_routes(files: Files) -> list[Route]:
    """Every route of every room."""
    return [route for room, each in files.items() for route in routes_of(room, each)]


def build_endpoints(routes: Iterable[Route], upstreams: Upstreams, opened: OpenStreams, pace: Pace) -> Trie[Endpoint]:
    """Compiles all routes into the trie that finds them."""
    trie: Trie[Endpoint] = Trie()
    parser, printer = Parser(Default()), Printer(Default())
    for route in routes:
        binding = Binding(route, parser, printer)
        endpoint: Endpoint = (
            StreamEndpoint(binding, upstreams, opened, pace)
            if route.rpc.server_streaming
            else UnaryEndpoint(binding, upstreams)
        )
        trie.add(route.template, route.http_method, endpoint)
    return trie
