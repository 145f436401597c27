"""The exchange of an API token for a signed identity, as a call to access.

Owns that one call, which goes out without an identity.
"""

from __future__ import annotations

from retinue.access.v1 import access_service_pb2, access_service_pb2_grpc
from retinue_core.rpc.client import Peer
from retinue_core.rpc.tokens import Exchange

_SERVICE = access_service_pb2.DESCRIPTOR.services_by_name["AccessService"]


def exchange_at(address: str) -> Exchange:
    """Build the exchange that asks access at an address. The channel opens with the first call."""
    peers: list[Peer] = []

    async def exchange(token: str) -> tuple[str, float]:
        if not peers:
            peers.append(Peer(address, None, _SERVICE))
        peer = peers[0]
        stub = access_service_pb2_grpc.AccessServiceStub(peer.channel)
        request = access_service_pb2.AuthenticateRequest(token=token)
        answer = await peer.call(stub.Authenticate, request, timeout=5.0)
        return answer.identity, answer.expires_at.ToNanoseconds() / 1e9

    return exchange
