"""The access room in the test's own process, and people who prove with real tokens who they are."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import grpc

from retinue.access.v1 import access_service_pb2 as pb
from retinue.access.v1.access_service_pb2_grpc import AccessServiceStub, add_AccessServiceServicer_to_server
from retinue_core.clock import FixedClock
from retinue_core.db import Database
from retinue_core.events import Events
from retinue_core.identity import Identity, Verifier
from retinue_core.rpc.call import IDENTITY
from retinue_core.rpc.door import Door
from retinue_core.rpc.errors import from_rpc_error
from retinue_core.rpc.server import Server
from retinue_core.telemetry import Telemetry
from services.access.bootstrap import bootstrap
from services.access.service import AccessService
from services.access.store import Store
from tests.integration.agent.room import Keys

SECRET = f"rtn_{'b' * 43}"
"""The bootstrap token of every installation in these tests."""


@dataclass(frozen=True, slots=True)
class Access:
    """The room, as the bearers of tokens call it; `None` calls without any identity."""

    address: str
    stub: Any
    verifier: Verifier
    store: Store
    database: Database
    events: Events
    clock: FixedClock
    keys: Keys

    async def call(self, secret: str | None, method: str, **fields: Any) -> Any:
        identity = (await self.authenticate(secret)).identity if secret else ""
        return await self._call(identity, method, fields)

    async def call_as(self, who: Identity, method: str, **fields: Any) -> Any:
        return await self._call(self.keys.token(who), method, fields)

    async def _call(self, identity: str, method: str, fields: dict[str, Any]) -> Any:
        request = getattr(pb, f"{method}Request")(**fields)
        metadata = ((IDENTITY, identity),) if identity else ()
        try:
            return await getattr(self.stub, method)(request, metadata=metadata, timeout=20)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from None

    async def authenticate(self, secret: str) -> Any:
        return await self._call("", "Authenticate", {"token": secret})

    async def identity(self, secret: str) -> Identity:
        return self.verifier.verify((await self.authenticate(secret)).identity)

    async def organization(self, **fields: Any) -> Any:
        """Found an organisation."""
        return (
            await self.call(SECRET, "CreateOrganization", organization={"name": "Analytical Engines"} | fields)
        ).organization

    async def user(self, organization_id: str, role: str = "MEMBER", **fields: Any) -> Any:
        """Create a user in an organisation, as the operator."""
        wanted = {"email": f"{uuid.uuid4()}@example.com", "name": "Ada", "role": role} | fields
        return (await self.call(SECRET, "CreateUser", user=wanted, organization_id=organization_id)).user

    async def secret_of(self, user_id: str, *scopes: str, **fields: Any) -> str:
        """Create a token for a user, as the operator."""
        wanted = {"name": "test", "user_id": user_id, "scopes": scopes} | fields
        return str((await self.call(SECRET, "CreateToken", token=wanted)).secret)

    async def somebody(self, role: str = "MEMBER", *scopes: str) -> str:
        """A token of a user in an organisation of its own."""
        user = await self.user((await self.organization()).id, role)
        return await self.secret_of(user.id, *scopes)


@asynccontextmanager
async def serve_access(database_url: str, nats_url: str, keys: Keys) -> AsyncIterator[Access]:
    clock = FixedClock(datetime.now(UTC))
    database = Database(database_url, "access")
    await database.open()
    store = Store(database)
    await bootstrap(store, SECRET, clock)
    async with Events(nats_url, "access") as events:
        await events.ready()
        server = Server("127.0.0.1:0", Door(keys.verifier(), Telemetry("access")))
        service = AccessService(store, keys.signer("access"), events, clock)
        server.add(add_AccessServiceServicer_to_server, service, pb.DESCRIPTOR)
        await server.start()
        address = f"127.0.0.1:{server.port}"
        async with grpc.aio.insecure_channel(address) as channel:
            yield Access(address, AccessServiceStub(channel), keys.verifier(), store, database, events, clock, keys)
        await server.stop(0)
    await database.close()
