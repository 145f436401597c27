"""What this worker has to say, in order, until the stream takes it.

Owns the batching: whatever was said in the same turn of the loop leaves as one message, entries of one execution that
follow each other share a frame, and pieces of text that were not sent yet grow together. Messages are filled in
place, because copying them costs more than making them.
"""

from __future__ import annotations

import asyncio
from collections import deque

from retinue.execution.v1 import worker_pb2, worker_service_pb2

Frame = worker_pb2.WorkerFrame
Request = worker_service_pb2.AttachRequest

_MOST_FRAMES = 500
_MOST_BYTES = 2 * 1024 * 1024  # far below what gRPC carries in one message


class Outbox:
    """A queue of messages for one stream."""

    def __init__(self) -> None:
        self._requests: deque[Request] = deque()
        self._size = 0
        self._closed = False
        self._newest: dict[str, Frame] = {}
        self._some = asyncio.Event()
        self._none = asyncio.Event()

    def frame(self, size: int = 0) -> Frame:
        """A new frame to be filled at once; `size` is about how many bytes go into it."""
        if self._closed:
            return Frame()
        self._size += size
        if not self._requests or len(self._requests[-1].frames) >= _MOST_FRAMES or self._size > _MOST_BYTES:
            self._requests.append(Request())
            self._newest.clear()
            self._size = size
        self._some.set()
        self._none.clear()
        return self._requests[-1].frames.add()

    def append(self, execution_id: str, fence: int, size: int) -> worker_pb2.Append:
        """The frame that takes new entries of an execution, about `size` bytes of them."""
        newest = self._newest.get(execution_id)
        joins = newest is not None and newest.HasField("append") and newest.append.fence == fence
        if newest is not None and joins and self._size + size <= _MOST_BYTES:
            self._size += size
            return newest.append
        frame = self._newest[execution_id] = self.frame(size)
        frame.append.execution_id = execution_id
        frame.append.fence = fence
        return frame.append

    def delta(self, execution_id: str, fence: int, step: int) -> worker_pb2.Delta:
        """The frame that takes pieces of what a model is saying."""
        newest = self._newest.get(execution_id)
        if newest is not None and newest.HasField("delta") and newest.delta.step == step:
            return newest.delta
        frame = self._newest[execution_id] = self.frame()
        delta = frame.delta
        delta.execution_id = execution_id
        delta.fence = fence
        delta.step = step
        return delta

    def release(self, execution_id: str, fence: int, reason: str) -> None:
        """Give an execution back, after all that was said of it."""
        release = self.frame().release
        release.execution_id = execution_id
        release.fence = fence
        release.reason = reason

    def forget(self, execution_id: str, fence: int) -> None:
        """Take back what was not sent yet of an execution that is no longer this worker's."""
        self._newest.clear()
        for request in self._requests:
            kept = [frame for frame in request.frames if _about(frame) != (execution_id, fence)]
            if len(kept) < len(request.frames):
                kept_request = Request(frames=kept)
                request.CopyFrom(kept_request)

    async def take(self) -> Request:
        """Wait for something to send. Asking again says that what was taken before was sent."""
        while not self._requests:
            self._none.set()
            self._some.clear()
            await self._some.wait()
        self._newest.clear()
        self._size = 0
        return self._requests.popleft()

    async def close(self) -> None:
        """Wait until nothing is left to send; what is said after that is not sent."""
        await self._none.wait()
        self._closed = True


def _about(frame: Frame) -> tuple[str, int]:
    """Which assignment a frame is about."""
    kind = frame.WhichOneof("frame") or ""
    said = getattr(frame, kind)
    return (said.execution_id, said.fence) if kind in ("append", "delta", "budget_request") else ("", 0)
