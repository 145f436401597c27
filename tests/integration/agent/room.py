"""The agent room in the test's own process: the real servicer on a real gRPC server, and people who call it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc

from retinue.agent.v1 import agent_service_pb2 as pb
from retinue.agent.v1.agent_service_pb2_grpc import AgentServiceStub, add_AgentServiceServicer_to_server
from retinue_core.clock import Clock, SystemClock
from retinue_core.db import Answers, Database
from retinue_core.events import Events
from retinue_core.identity import Identity, Signer, Verifier
from retinue_core.rpc.call import IDEMPOTENCY_KEY, IDENTITY
from retinue_core.rpc.door import Door
from retinue_core.rpc.errors import from_rpc_error
from retinue_core.rpc.server import Server
from retinue_core.telemetry import Telemetry
from services.agent.service import AgentService
from services.agent.store import Store

SCOPES = frozenset({"agents:read", "agents:write"})


def member(organization_id: str = "", **more: Any) -> Identity:
    return Identity(organization_id or str(uuid.uuid4()), str(uuid.uuid4()), **{"scopes": SCOPES} | more)


def colleague(of: Identity, **more: Any) -> Identity:
    return member(of.organization_id, **more)


class Keys:
    """Signs as access signs people, and as services sign themselves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def signer(self, room: str) -> Signer:
        return Signer.read(room, self.folder / f"{room}.pem")

    def verifier(self) -> Verifier:
        return Verifier.read(self.folder / "jwks.json")

    def token(self, who: Identity) -> str:
        return self.signer(who.subject if who.is_service else "access").sign(who, 300)


class Room:
    """A room at an address, as people with identities call it."""

    def __init__(self, address: str, stub: type[Any], messages: Any, keys: Keys) -> None:
        self.address = address
        self.channel = grpc.aio.insecure_channel(address)
        self._stub = stub(self.channel)
        self._messages = messages
        self.keys = keys

    async def call(self, who: Identity | None, method: str, **fields: Any) -> Any:
        return await self.call_with(self.keys.token(who) if who else "", method, **fields)

    async def call_with(self, token: str, method: str, key: str = "", **fields: Any) -> Any:
        metadata = [(IDENTITY, token)] if token else []
        metadata += [(IDEMPOTENCY_KEY, key)] if key else []
        request = getattr(self._messages, f"{method}Request")(**fields)
        try:
            return await getattr(self._stub, method)(request, metadata=tuple(metadata), timeout=20)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from None


@asynccontextmanager
async def serve_agents(database_url: str, nats_url: str, keys: Keys, clock: Clock | None = None) -> AsyncIterator[Room]:
    database = Database(database_url, "agent")
    await database.open()
    async with Events(nats_url, "agent") as events:
        server = Server("127.0.0.1:0", Door(keys.verifier(), Telemetry("agent"), answers=Answers(database)))
        service = AgentService(Store(database), events, clock or SystemClock())
        server.add(add_AgentServiceServicer_to_server, service, pb.DESCRIPTOR.services_by_name["AgentService"].file)
        await server.start()
        room = Room(f"127.0.0.1:{server.port}", AgentServiceStub, pb, keys)
        yield room
        await room.channel.close()
        await server.stop(0)
    await database.close()


def echo(**more: Any) -> dict[str, Any]:
    """The smallest agent that may be saved, with a name that nobody else has."""
    fields: Mapping[str, Any] = {"name": f"Agent {uuid.uuid4()}", "model": "scripted"}
    return {**fields, **more}
