"""A worker that does nothing but look at the clock: it attaches as any worker does and ends what it is given at once.

`python -m bench.worker` reads the address of execution, the path of the workers' key and an agent from its standard
input, one line of JSON, and says `attached`. When the input ends it leaves, and prints for each execution of that agent
the milliseconds from the database's time of its acceptance to the arrival of the assignment.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import uvloop

from retinue.execution.v1 import worker_pb2, worker_service_pb2, worker_service_pb2_grpc
from retinue_core.identity import Signer
from retinue_core.rpc.client import Peer

_SLOTS = 10_000  # the most there can be, so that the matcher prefers this worker
_BEAT = 1.0


class ClockWorker:
    """One session."""

    def __init__(self, agent_id: str) -> None:
        self.latencies: list[float] = []
        self.attached = asyncio.Event()
        self._agent_id = agent_id
        self._out: asyncio.Queue[worker_pb2.WorkerFrame] = asyncio.Queue()

    async def attach(self, peer: Peer) -> None:
        """Serve one stream until cancelled."""
        hello = worker_pb2.Hello(worker="bench", slots=_SLOTS)
        self._out.put_nowait(worker_pb2.WorkerFrame(hello=hello))
        attach: Any = worker_service_pb2_grpc.WorkerServiceStub(peer.channel).Attach
        beating = asyncio.create_task(self._beat())
        try:
            async for response in attach(self._frames(), metadata=peer.metadata("")):
                for frame in response.frames:
                    self._take(frame)
        finally:
            beating.cancel()

    async def _frames(self) -> AsyncIterator[worker_service_pb2.AttachRequest]:
        while True:
            frames = [await self._out.get()]
            while not self._out.empty():
                frames.append(self._out.get_nowait())
            yield worker_service_pb2.AttachRequest(frames=frames)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(_BEAT)
            self._out.put_nowait(worker_pb2.WorkerFrame(heartbeat=worker_pb2.Heartbeat()))

    def _take(self, frame: worker_pb2.ServerFrame) -> None:
        now = time.time()
        if frame.HasField("welcome"):
            self.attached.set()
        elif frame.HasField("assignment"):
            assignment = frame.assignment
            if assignment.agent_id == self._agent_id:
                accepted = assignment.journal[0].recorded_at.ToNanoseconds() / 1e9
                self.latencies.append((now - accepted) * 1000)
            self._out.put_nowait(worker_pb2.WorkerFrame(append=_ended(assignment)))


def _ended(assignment: worker_pb2.Assignment) -> worker_pb2.Append:
    append = worker_pb2.Append(execution_id=assignment.execution_id, fence=assignment.fence)
    entry = append.entries.add(sequence=assignment.journal[-1].sequence + 1)
    entry.execution_completed.output_json = "null"
    return append


async def _serve(address: str, key: str, agent_id: str) -> list[float]:
    peer = Peer(address, Signer.read("worker", Path(key)))
    worker = ClockWorker(agent_id)
    serving = asyncio.create_task(worker.attach(peer))
    attached = asyncio.create_task(worker.attached.wait())
    await asyncio.wait([serving, attached], return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        serving.result()
    print("attached", flush=True)
    leaving = asyncio.create_task(asyncio.to_thread(sys.stdin.buffer.read))
    await asyncio.wait([serving, leaving], return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        serving.result()
    serving.cancel()
    await peer.close()
    return worker.latencies


def main() -> None:
    """Work until the standard input ends."""
    latencies = uvloop.run(_serve(**orjson.loads(sys.stdin.buffer.readline())))
    sys.stdout.buffer.write(orjson.dumps(latencies))


if __name__ == "__main__":
    main()
