"""What this worker has to say, in order, until the stream takes it.

Owns the batching: whatever was said in the same turn of the loop leaves as one message, entries of one execution that
follow each other share a frame, and pieces of text that were not sent yet grow together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from retinue.execution.v1 import journal_pb2, worker_pb2

Frame = worker_pb2.WorkerFrame
_MOST = 500  # frames in one message


class Outbox:
    """A queue of frames for one stream."""

    def __init__(self) -> None:
        self._frames: list[Frame] = []
        self._newest: dict[str, Frame] = {}
        self._some = asyncio.Event()
        self._none = asyncio.Event()

    def put(self, frame: Frame) -> None:
        """Say something that stands by itself."""
        self._frames.append(frame)
        self._some.set()
        self._none.clear()

    def append(self, execution_id: str, fence: int, entries: Sequence[journal_pb2.JournalEntry]) -> None:
        """Say new entries of an execution."""
        newest = self._newest.get(execution_id)
        if newest is not None and newest.HasField("append") and newest.append.fence == fence:
            newest.append.entries.extend(entries)
            return
        append = worker_pb2.Append(execution_id=execution_id, fence=fence, entries=entries)
        self._say(execution_id, Frame(append=append))

    def delta(self, delta: worker_pb2.Delta) -> None:
        """Say a piece of what a model is saying."""
        newest = self._newest.get(delta.execution_id)
        if newest is not None and newest.HasField("delta") and newest.delta.step == delta.step:
            newest.delta.text += delta.text
            newest.delta.thinking += delta.thinking
            return
        self._say(delta.execution_id, Frame(delta=delta))

    def forget(self, execution_id: str, fence: int) -> None:
        """Take back what was not sent yet of an execution that is no longer this worker's."""
        self._newest.pop(execution_id, None)
        self._frames = [frame for frame in self._frames if _about(frame) != (execution_id, fence)]

    async def take(self) -> list[Frame]:
        """Wait for frames; returns all there are, up to a bound. Asking again says that they were sent."""
        while not self._frames:
            self._none.set()
            self._some.clear()
            await self._some.wait()
        taken, self._frames = self._frames[:_MOST], self._frames[_MOST:]
        self._newest.clear()
        return taken

    async def sent(self) -> None:
        """Wait until nothing is left to send."""
        await self._none.wait()

    def _say(self, execution_id: str, frame: Frame) -> None:
        self._newest[execution_id] = frame
        self.put(frame)


def _about(frame: Frame) -> tuple[str, int]:
    """Which assignment a frame is about."""
    kind = frame.WhichOneof("frame") or ""
    said = getattr(frame, kind)
    return (said.execution_id, said.fence) if kind in ("append", "delta", "budget_request") else ("", 0)
