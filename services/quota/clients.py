"""What the quota room asks of other rooms: the plan of an organisation, from access."""

from __future__ import annotations

from retinue.access.v1 import access_service_pb2, access_service_pb2_grpc
from retinue_core.identity import Signer
from retinue_core.rpc.client import Peer

_SECONDS = 2.0


class Access:
    """The access room, asked under quota's own identity."""

    def __init__(self, address: str, signer: Signer) -> None:
        self._peer = Peer(address, signer, access_service_pb2.DESCRIPTOR.services_by_name["AccessService"])
        self._stub = access_service_pb2_grpc.AccessServiceStub(self._peer.channel)

    async def plan(self, organization_id: str) -> str:
        """Name the plan of an organisation. Raises ORGANIZATION_NOT_FOUND or UNAVAILABLE."""
        request = access_service_pb2.GetOrganizationRequest(organization_id=organization_id)
        answer = await self._peer.call(
            self._stub.GetOrganization, request, organization_id=organization_id, timeout=_SECONDS
        )
        return answer.organization.plan

    async def close(self) -> None:
        """Close the connection."""
        await self._peer.close()
