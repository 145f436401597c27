"""Probes as real gRPC servers behind real doors, and callers with real keys."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from joserfc import jwk

from retinue_core.identity import Identity, Signer, Verifier, generate_key, key_set
from retinue_core.rpc.call import IDENTITY
from retinue_core.rpc.channel import channel_options
from retinue_core.rpc.client import Peer
from retinue_core.rpc.door import Door
from retinue_core.rpc.errors import from_rpc_error
from retinue_core.rpc.server import Server
from retinue_core.telemetry import Telemetry
from tests.fakes.core.probe import Handler, Probe, Stub, echo, file, message, service

KEYS = {name: generate_key() for name in ("access", "execution", "quota", "worker")}
ADA = Identity("0190a000-0000-7000-8000-000000000001", "ada", scopes=frozenset({"probe:read", "probe:write"}))


def signer(name: str) -> Signer:
    return Signer(name, KEYS[name])


def verifier() -> Verifier:
    return Verifier(jwk.KeySet.import_key_set(json.loads(json.dumps(key_set(KEYS)))))


def token(who: Identity) -> str:
    return signer(who.subject if who.is_service else "access").sign(who, 300)


class Caller:
    """Calls a probe from outside, with or without an identity. `stub` makes the calls that need more than that."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.channel = grpc.aio.insecure_channel(address, options=channel_options([service()]))
        self.stub: Any = Stub(self.channel)

    async def call(
        self, method: str, *more: tuple[str, str], who: Identity | None = ADA, request: Any = None, seconds: float = 30
    ) -> Any:
        """The text of the answer; raises the RetinueError that the door or the handler raised."""
        asked = message("Request") if request is None else request
        made = getattr(self.stub, method)(asked, metadata=(*metadata(who), *more), timeout=seconds)
        try:
            return (await made).text
        except grpc.RpcError as error:
            raise from_rpc_error(error) from None


def metadata(who: Identity | None) -> tuple[tuple[str, str], ...]:
    return ((IDENTITY, token(who)),) if who else ()


@asynccontextmanager
async def serving(
    method: str = "",
    handler: Handler = echo,
    *,
    door: Callable[..., Door] = Door,
    spans: Telemetry | None = None,
    **on: Handler,
) -> AsyncIterator[Caller]:
    """Serve a probe whose RPCs do what is said of them; `door` may be a Door with more arguments."""
    server = Server("127.0.0.1:0", door(verifier(), spans or Telemetry("probe")))
    server.add(Probe(**on | ({method: handler} if method else {})).register, None, file())
    await server.start()
    caller = Caller(f"127.0.0.1:{server.port}")
    try:
        yield caller
    finally:
        await caller.channel.close()
        await server.stop(0)


@asynccontextmanager
async def peer(caller: Caller, name: str | None = None) -> AsyncIterator[Peer]:
    """The probe as another service of the suite, or one without a key, calls it."""
    other = Peer(caller.address, signer(name) if name else None, service())
    try:
        yield other
    finally:
        await other.close()


async def ask(other: Peer, method: str, **options: Any) -> Any:
    """Call a probe through a peer."""
    call = getattr(Stub(other.channel), method)
    return (await other.call(call, message("Request"), **options)).text


def context_of(seen: list[dict[str, Any]]) -> Callable[[Any, Any], Any]:
    """A handler that notes the metadata of its calls."""

    async def handler(_: Any, context: Any) -> Any:
        seen.append(dict(context.invocation_metadata() or ()))
        return message("Response")

    return handler
