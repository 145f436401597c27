"""The services behind the gateway: one channel to each, how a call is made, whether they are up.

Owns channels and the metadata of a call. Knows rooms by name and no RPC of theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2

from retinue_core.rpc import call as calls
from retinue_core.rpc.client import Peer
from services.gateway.requests import Request

Metadata = tuple[tuple[str, str], ...]
_HEALTH_SECONDS = 2.0


class Upstreams:
    """Channels by room. Reconnecting is gRPC's own business, within two seconds."""

    def __init__(self, addresses: Mapping[str, str], services: Mapping[str, Iterable[ServiceDescriptor]]) -> None:
        self._peers = {room: Peer(addresses[room], None, *services[room]) for room in services}

    def unary(
        self, room: str, path: str, serialize: Callable[[Any], bytes], parse: Callable[[bytes], Any]
    ) -> grpc.aio.UnaryUnaryMultiCallable[Any, Any]:
        """The callable of a unary RPC."""
        channel = self._peers[room].channel
        return channel.unary_unary(path, request_serializer=serialize, response_deserializer=parse)

    def stream(
        self, room: str, path: str, serialize: Callable[[Any], bytes], parse: Callable[[bytes], Any]
    ) -> grpc.aio.UnaryStreamMultiCallable[Any, Any]:
        """The callable of a server-streaming RPC."""
        channel = self._peers[room].channel
        return channel.unary_stream(path, request_serializer=serialize, response_deserializer=parse)

    async def health(self) -> dict[str, str]:
        """What each room says of itself: SERVING, NOT_SERVING or UNREACHABLE."""
        states = await asyncio.gather(*(_health(peer) for peer in self._peers.values()))
        return dict(zip(self._peers, states, strict=True))

    async def close(self) -> None:
        """Closes all channels; calls under way are cancelled."""
        for peer in self._peers.values():
            await peer.close()


async def _health(peer: Peer) -> str:
    check = peer.channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    try:
        answer = await check(health_pb2.HealthCheckRequest(), timeout=_HEALTH_SECONDS)
    except grpc.RpcError:
        return "UNREACHABLE"
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


def metadata(request: Request, identity: str, traceparent: str) -> Metadata:
    """What travels with a call, made from scratch: nothing that a client sent goes on unread."""
    found = [(calls.REQUEST_ID, request.request_id), (calls.TRACEPARENT, traceparent)]
    if identity:
        found.append((calls.IDENTITY, identity))
    if key := request.idempotency_key:
        found.append((calls.IDEMPOTENCY_KEY, key))
    return tuple(found)
