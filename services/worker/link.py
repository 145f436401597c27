"""One execution's line to the execution service.

Owns the numbering of its entries, what of them is committed, the answers to its requests for budget, and how often
pieces of text are sent. It outlives the stream it speaks on: what was not answered is kept and said again on the next
one; pieces of text are not. A line that is cut says nothing more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from retinue.execution.v1 import worker_pb2
from services.worker.budget import Missing
from services.worker.convert import fill, size_of
from services.worker.core.entries import Entry
from services.worker.lease import Lease
from services.worker.models.contract import Delta
from services.worker.outbox import Outbox

TOGETHER = 0.02
"""Seconds in which pieces of text are gathered, after a first one that is sent at once."""


class Link:
    """The line of one assignment. `sequence` numbers the newest entry of its journal."""

    def __init__(self, execution_id: str, fence: int, sequence: int, outbox: Outbox, lease: Lease) -> None:
        self.execution_id = execution_id
        self.fence = fence
        self.lease = lease
        self.sequence = sequence
        self.cut = False
        self.wanted = ""
        self._outbox: Outbox | None = outbox
        self._committed = sequence
        self._unsettled: list[Entry] = []
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._asked: dict[str, tuple[Missing, asyncio.Future[worker_pb2.BudgetGrant]]] = {}
        self._step = 0
        self._quiet_until = 0.0
        self._said: list[Delta] = []
        self._timer: asyncio.TimerHandle | None = None

    @property
    def settled(self) -> bool:
        """Whether everything that was written is committed."""
        return self._committed >= self.sequence

    def append(self, *entries: Entry) -> int:
        """Write entries; returns the number of the last."""
        self._say_now()
        if self.cut:
            self.sequence += len(entries)
            return self.sequence
        frame = self._append(entries)
        for entry in entries:
            fill(frame.entries, entry, self.sequence + 1)
            self.sequence += 1
            self._unsettled.append(entry)
        return self.sequence

    def say(self, step: int, delta: Delta) -> None:
        """Let watchers see a piece of text."""
        self._step = step
        self._said.append(delta)
        if self._timer is not None:
            return
        loop = asyncio.get_running_loop()
        if loop.time() >= self._quiet_until:
            self._say_now()
        else:
            self._timer = loop.call_later(TOGETHER, self._say_now)

    async def committed(self, sequence: int) -> None:
        """Wait until the entry of that number is committed."""
        if self._committed >= sequence:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((sequence, future))
        await future

    async def budget(self, missing: Missing) -> worker_pb2.BudgetGrant:
        """Ask for more budget and wait for the answer."""
        request_id = f"{self.execution_id}:{self.fence}:{self.sequence}:{len(self._asked)}"
        future: asyncio.Future[worker_pb2.BudgetGrant] = asyncio.get_running_loop().create_future()
        self._asked[request_id] = (missing, future)
        self._ask(request_id, missing)
        return await future

    def release(self, reason: str) -> None:
        """Give the execution back, after all that was written."""
        if not self.cut and self._outbox is not None:
            self._outbox.release(self.execution_id, self.fence, reason)
        self.close()

    def hold(self) -> None:
        """The stream is gone: keep what there is to say for the next one."""
        self._outbox = None

    def resume(self, outbox: Outbox, sequence: int) -> None:
        """Go on with a new stream, where entries up to `sequence` are known to be committed."""
        self.acknowledge(sequence)
        self._outbox = outbox
        for number, entry in enumerate(self._unsettled, self._committed + 1):
            fill(self._append((entry,)).entries, entry, number)
        for request_id, (missing, future) in self._asked.items():
            if not future.done():
                self._ask(request_id, missing)

    def acknowledge(self, sequence: int) -> None:
        """Entries up to that number are committed."""
        if sequence > self._committed:
            del self._unsettled[: sequence - self._committed]
            self._committed = sequence
        ready = [future for wanted, future in self._waiting if wanted <= sequence]
        self._waiting = [(wanted, future) for wanted, future in self._waiting if wanted > sequence]
        for future in ready:
            if not future.done():
                future.set_result(None)

    def granted(self, grant: worker_pb2.BudgetGrant) -> None:
        """A request for budget is answered."""
        _, future = self._asked.get(grant.request_id, (None, None))
        if future is not None and not future.done():
            future.set_result(grant)

    def close(self) -> None:
        """Say nothing more, and take back what was not sent yet."""
        self.cut = True
        self._unsettled.clear()
        self._stop_timer()

    def revoke(self) -> None:
        """The execution is no longer this worker's."""
        self.close()
        if self._outbox is not None:
            self._outbox.forget(self.execution_id, self.fence)

    def _append(self, entries: Sequence[Entry]) -> worker_pb2.Append:
        if self._outbox is None:
            return worker_pb2.Append()  # what cannot be said is found out at once all the same
        return self._outbox.append(self.execution_id, self.fence, sum(map(size_of, entries)))

    def _ask(self, request_id: str, missing: Missing) -> None:
        if self.cut or self._outbox is None:
            return
        request = self._outbox.frame().budget_request
        request.execution_id = self.execution_id
        request.fence = self.fence
        request.request_id = request_id
        request.tokens = missing.tokens
        request.cost_micros = missing.cost_micros

    def _say_now(self) -> None:
        self._stop_timer()
        if self._said and not self.cut and self._outbox is not None:
            self._quiet_until = asyncio.get_running_loop().time() + TOGETHER
            frame = self._outbox.delta(self.execution_id, self.fence, self._step)
            frame.text += "".join(delta.text for delta in self._said)
            frame.thinking += "".join(delta.thinking for delta in self._said)
        self._said.clear()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
