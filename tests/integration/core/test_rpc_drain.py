"""A service that is asked to end says so, takes nothing new, and finishes what it has begun."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from retinue_core.errors import Kind
from retinue_core.identity import Signer
from retinue_core.rpc.call import IDENTITY
from retinue_core.rpc.errors import from_rpc_error
from tests.fakes.core import service
from tests.fakes.core.probe import Stub, message, path
from tests.fakes.core.serving import ADA

GUARD = 60.0
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
ROOT = Path(__file__).parents[3]


@dataclass(slots=True)
class Child:
    """A service in a process of its own, as one client sees it."""

    process: Process
    address: str
    metadata: tuple[tuple[str, str], ...]
    channel: grpc.aio.Channel
    stub: Any

    async def says(self, text: str) -> None:
        """Wait until the process says something."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            if line.decode().strip() == text:
                return
        raise AssertionError(f"it ended without {text!r}: {await self.errors()}")

    async def errors(self) -> str:
        assert self.process.stderr is not None
        return (await self.process.stderr.read()).decode()

    async def writing(self) -> Any:
        """A call that is under way until the process is told something."""
        call = self.stub.Write(message("Request"), metadata=self.metadata, timeout=GUARD)
        await self.says("BEGUN")
        return call

    def tell(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{text}\n".encode())

    def watch(self) -> Any:
        return self.stub.Watch(message("Request"), metadata=self.metadata, timeout=GUARD)

    def healths(self, name: str = "") -> Any:
        """The stream of what the process says of its health."""
        stub: Any = health_pb2_grpc.HealthStub(self.channel)
        return stub.Watch(health_pb2.HealthCheckRequest(service=name))


Start = Callable[..., Any]


@pytest.fixture
def start(keys: Path, jwks_path: Path) -> Start:
    identity = Signer.read("access", keys / "access.pem").sign(ADA, 300)

    @asynccontextmanager
    async def start(fault: str = "") -> AsyncIterator[Child]:
        command = ("-m", service.__name__, str(jwks_path), fault)
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, cwd=ROOT
        )
        try:
            assert process.stdout is not None
            async with asyncio.timeout(GUARD):
                word, _, port = (await process.stdout.readline()).decode().strip().partition(" ")
                assert word == "READY", (await process.communicate())[1].decode()
                address = f"127.0.0.1:{port}"
                async with grpc.aio.insecure_channel(address) as channel:
                    yield Child(process, address, ((IDENTITY, identity),), channel, Stub(channel))
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    return start


async def refused(address: str) -> Kind:
    """How a caller that comes now is refused."""
    async with grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await Stub(channel).Known(message("Request"), timeout=GUARD)
    return from_rpc_error(failed.value).kind


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_drain_finishes_what_is_under_way_and_takes_nothing_new(start: Start, number: signal.Signals) -> None:
    async with start() as child:
        healths, watching = child.healths(), child.watch()
        assert (await healths.read()).status == SERVING
        assert (await watching.read()).text == "open"
        assert await refused(child.address) is Kind.UNAUTHENTICATED
        writing = await child.writing()

        child.process.send_signal(number)
        await child.says("DRAINING")
        assert (await healths.read()).status == NOT_SERVING
        assert (await watching.read()).text == "goodbye"
        assert await refused(child.address) is Kind.UNAVAILABLE
        assert not writing.done()

        healths.cancel()
        child.tell("finished")
        assert (await writing).text == "finished"
        assert await watching.read() is grpc.aio.EOF
        await child.says("LOOP ENDED")
        await child.says("ENDED")
        assert await child.process.wait() == 0


async def test_every_service_has_a_health_of_its_own(start: Start) -> None:
    async with start() as child:
        for name in ("", path("Known").split("/")[1]):
            healths = child.healths(name)
            assert (await healths.read()).status == SERVING
            healths.cancel()


async def test_a_second_signal_does_not_cut_a_drain_short(start: Start) -> None:
    async with start() as child:
        writing = await child.writing()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            child.process.send_signal(number)
        await child.says("DRAINING")
        child.tell("finished")
        assert (await writing).text == "finished"
        assert await child.process.wait() == 0


async def test_neither_a_drain_nor_a_call_that_hangs_keeps_a_process_alive(start: Start) -> None:
    async with start("hang") as child:
        writing = await child.writing()
        child.process.send_signal(signal.SIGTERM)
        with pytest.raises(grpc.aio.AioRpcError):
            await writing
        await child.says("ENDED")
        assert await child.process.wait() == 0
        assert "the drain was cut off" in await child.errors()


async def test_a_loop_that_fails_ends_the_process(start: Start) -> None:
    async with start("fail") as child:
        writing = await child.writing()
        await child.stub.Open(message("Request"), timeout=GUARD)
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await writing
        assert from_rpc_error(failed.value).kind is Kind.UNAVAILABLE
        assert await child.process.wait() == 1
        assert "The loop is broken." in await child.errors()
