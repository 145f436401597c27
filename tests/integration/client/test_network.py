"""The client on a network that fails: streams go on, starts are not repeated, TLS is spoken."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from retinue_client import Retinue, errors
from retinue_core.testing.suite import Suite
from tests.fakes.relay import Relay, relaying
from tests.integration.client.conftest import ANSWER, Makers, unique

STEPS = 6


def stepwise(milliseconds: int) -> list[Any]:
    """A script of several tool calls, each said slowly."""
    use = {"toolUse": {"name": "calculator", "input": {"expression": "1 + 1"}}}
    turns: list[Any] = [[{"text": "Once more, and slowly."}, use, {"delayMs": milliseconds}] for _ in range(STEPS)]
    return [*turns, [{"text": "Done."}]]


@asynccontextmanager
async def behind(suite: Suite, addresses: dict[str, str], room: str) -> AsyncIterator[tuple[Retinue, Relay]]:
    """A client whose way to one service leads over a relay."""
    async with relaying(addresses[room]) as relay, Retinue({**addresses, room: relay.address}, suite.token) as client:
        yield client, relay


async def test_a_watcher_whose_connection_breaks_again_and_again_misses_nothing(
    suite: Suite, addresses: dict[str, str], make: Makers
) -> None:
    agent = await make.published(stepwise(150), tools=["calculator"])
    told: list[int] = []
    async with behind(suite, addresses, "execution") as (client, relay):
        execution = await client.executions.create(agent)
        async for event in client.executions.watch(execution):
            if event.sequence:
                told.append(event.sequence)
                if event.sequence % 3 == 0:
                    relay.cut()
        assert relay.connections >= 4
        ended = await client.executions.get(execution)
    assert told == list(range(1, ended.last_sequence + 1))
    assert ended.status == "COMPLETED"


async def test_waiting_outlives_the_connection(suite: Suite, addresses: dict[str, str], make: Makers) -> None:
    agent = await make.published(stepwise(100), tools=["calculator"])
    async with behind(suite, addresses, "execution") as (client, relay):
        running = asyncio.create_task(client.executions.run(agent, {}))
        for _ in range(3):
            relay.asked.clear()
            await relay.asked.wait()
            relay.cut()
        assert (await running).output == "Done."


async def test_a_start_whose_answer_is_lost_is_not_started_twice(
    suite: Suite, addresses: dict[str, str], client: Retinue, make: Makers
) -> None:
    agent = await make.published(ANSWER)
    conversation = unique("conversation")
    async with behind(suite, addresses, "execution") as (remote, relay):
        await remote.executions.create(agent)
        relay.hold_answers()
        starting = asyncio.create_task(remote.executions.create(agent, conversation_id=conversation))
        started: list[str] = []
        while not started:
            listed = client.executions.list(filter=f"conversation_id={conversation}")
            started = [execution.id async for execution in listed]
        relay.cut()
        assert (await starting).id == started[0]
    again = [one.id async for one in client.executions.list(filter=f"conversation_id={conversation}")]
    assert again == started


async def test_an_agent_whose_answer_is_lost_is_not_a_duplicate(
    suite: Suite, addresses: dict[str, str], client: Retinue
) -> None:
    name = unique()
    async with behind(suite, addresses, "agent") as (remote, relay):
        relay.hold_answers()
        creating = asyncio.create_task(remote.agents.create(name=name, model="scripted"))
        await relay.asked.wait()
        relay.cut()
        made = await creating
    assert (await client.agents.get(name)).id == made.id


async def test_a_service_that_is_not_there_is_named_with_its_address(addresses: dict[str, str]) -> None:
    async with Retinue({**addresses, "agent": "127.0.0.1:1"}, "rtn_x") as client:
        with pytest.raises(errors.UnavailableError) as raised:
            await client.agents.get("01890000-0000-7000-8000-000000000000")
        assert raised.value.message == "The agent service at 127.0.0.1:1 does not answer."
        assert (raised.value.code, raised.value.details["address"]) == ("UNREACHABLE", "127.0.0.1:1")


def authority(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for this machine that nobody else trusts: its file, and a server's side of TLS."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "retinue test")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = (
        builder.serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    )
    here = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    certificate = builder.add_extension(here, critical=False).sign(key, hashes.SHA256())
    public, private = folder / "certificate.pem", folder / "key.pem"
    public.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    context.set_alpn_protocols(["h2"])
    return public, context


async def test_tls_is_spoken_to_those_who_can_be_trusted(
    suite: Suite, addresses: dict[str, str], tmp_path: Path
) -> None:
    certificate, context = authority(tmp_path)
    async with relaying(addresses["access"], context) as relay:
        secure = f"https://{relay.address}"
        async with Retinue(secure, suite.token, ca=str(certificate)) as client:
            assert (await client.whoami()).user.role == "ADMIN"
        async with Retinue(secure, suite.token) as distrustful:
            with pytest.raises(errors.UnavailableError):
                await distrustful.whoami()
        async with Retinue(secure, suite.token, ca=str(tmp_path / "nothing.pem")) as lost:
            with pytest.raises(errors.UnauthenticatedError, match="cannot be read"):
                await lost.whoami()
