"""The services that execution calls: version, which says what runs, and quota, which says whether it may.

Owns these two clients: the cache of resolved versions, and the batches of reservations and settlements.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextvars import Context

from jsonschema_rs import Draft202012Validator, RegexOptions

from retinue.quota.v1 import quota_pb2, quota_service_pb2, quota_service_pb2_grpc
from retinue.version.v1 import version_pb2, version_service_pb2, version_service_pb2_grpc
from retinue_core import telemetry, values
from retinue_core.batch import Batcher
from retinue_core.errors import Problem, RetinueError, invalid
from retinue_core.events import Events
from retinue_core.identity import Signer
from retinue_core.rpc.client import Peer
from services.execution.convert import timestamp
from services.execution.domain import Execution
from services.execution.store import Outbox
from services.execution.store.outbox import Owed

log = logging.getLogger(__name__)

_CACHED = 10_000
_MOST_OWED = 10_000
_LEFT_BEHIND = 0.5
_FRESH = 30.0
_FRESH_BLIND = 1.0  # while no event could tell of a change
_DRAFT = "draft"
_LINGER = 0.004  # what ends within this time is settled together


class Resolved:
    """A version that may run, ready to be run: its content, and its input schema compiled."""

    def __init__(self, answer: version_service_pb2.ResolveVersionResponse) -> None:
        self.version: version_pb2.AgentVersion = answer.version
        self.spec = answer.version.spec
        self.spec_bytes = self.spec.SerializeToString(deterministic=True)
        self.digest = bytes.fromhex(answer.version.digest)
        self.owner_id = answer.owner_id
        self.visibility = answer.visibility
        self.active = answer.active
        self.organization_id = answer.organization_id
        self.timeout = self.spec.timeout.ToNanoseconds() / 1e9
        self._validator: Draft202012Validator | None = None
        if self.spec.HasField("input_schema"):
            # Patterns of users run on an engine that takes linear time; references to other places are not followed.
            self._validator = Draft202012Validator(
                values.struct_to_python(self.spec.input_schema), offline=True, pattern_options=RegexOptions()
            )

    def check_input(self, found: object) -> None:
        """Raise INVALID_INPUT with every place where an input does not match the version's schema."""
        if self._validator is None or self._validator.is_valid(found):
            return
        problems = tuple(
            Problem("input" + "".join(_step(part) for part in error.instance_path), error.message)
            for error in self._validator.iter_errors(found)
        )
        raise invalid(
            "The input does not match the agent's input schema.",
            *problems,
            code="INVALID_INPUT",
            actions=("Read the agent's `inputSchema`.",),
        )


def _step(part: str | int) -> str:
    return f"[{part}]" if isinstance(part, int) else f".{part}"


class Versions:
    """Says which version runs. Answers are cached; an event about the agent drops them."""

    def __init__(
        self, address: str, signer: Signer, events: Events, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        service = version_service_pb2.DESCRIPTOR.services_by_name["VersionService"]
        self._peer = Peer(address, signer, service)
        self._stub = version_service_pb2_grpc.VersionServiceStub(self._peer.channel)
        self._events = events
        self._monotonic = monotonic
        self._known: OrderedDict[tuple[str, str, str], tuple[Resolved, float]] = OrderedDict()
        self._asking: dict[tuple[str, str, str], asyncio.Task[Resolved]] = {}
        self._changed: dict[str, int] = {}

    async def open(self) -> None:
        """Listen to changes of agents."""
        await self._events.listen("agents.>", self._drop)

    async def resolve(self, organization_id: str, agent_id: str, version: str) -> Resolved:
        """Return the version that runs for a caller of an organisation. Raises what version raises."""
        key = (organization_id, agent_id, version)
        known = self._known.get(key)
        fresh = _FRESH if self._events.connected else _FRESH_BLIND
        if known is not None and self._monotonic() - known[1] < fresh:
            return known[0]
        task = self._asking.get(key)
        if task is None:
            # In a context of its own: the look-up is shared, and no caller lends it a deadline or an identity. It
            # stands in the trace of the first.
            task = asyncio.create_task(self._ask(key, telemetry.current()), context=Context())
            self._asking[key] = task
            task.add_done_callback(lambda done: self._asked(key, done))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Close the connection."""
        await self._peer.close()

    def _asked(self, key: tuple[str, str, str], done: asyncio.Task[Resolved]) -> None:
        if self._asking.get(key) is done:
            del self._asking[key]

    async def _ask(self, key: tuple[str, str, str], traceparent: str) -> Resolved:
        telemetry.adopt(traceparent)
        organization_id, agent_id, version = key
        before = self._changed.get(agent_id, 0)
        request = version_service_pb2.ResolveVersionRequest(
            organization_id=organization_id, agent_id=agent_id, version=version
        )
        answer = await self._peer.call(self._stub.ResolveVersion, request, organization_id=organization_id)
        resolved = Resolved(answer)
        # A change that was told while we asked may not be in the answer: such an answer is used, and not kept.
        if version != _DRAFT and self._changed.get(agent_id, 0) == before:
            self._known[key] = (resolved, self._monotonic())
            if len(self._known) > _CACHED:
                self._known.popitem(last=False)
        return resolved

    async def _drop(self, subject: str, _: bytes) -> None:
        parts = subject.split(".")
        agent_id = parts[2] if len(parts) > 2 else ""
        if len(self._changed) > _CACHED:
            self._changed.clear()
        self._changed[agent_id] = self._changed.get(agent_id, 0) + 1
        for key in [key for key in self._known if key[1] == agent_id]:
            del self._known[key]
        for key in [key for key in self._asking if key[1] == agent_id]:
            self._asking.pop(key, None)


class Reservations:
    """Holds back before an execution runs, and books what it came to."""

    def __init__(self, address: str, signer: Signer, outbox: Outbox) -> None:
        service = quota_service_pb2.DESCRIPTOR.services_by_name["QuotaService"]
        self._peer = Peer(address, signer, service)
        self._stub = quota_service_pb2_grpc.QuotaServiceStub(self._peer.channel)
        self._outbox = outbox
        self._owed: list[Owed] = []
        self._settled: list[str] = []
        self._looking = False
        self._some = asyncio.Event()
        self.on_settled: Callable[[], None] = lambda: None
        self._reserving: Batcher[Execution, quota_pb2.Grant] = Batcher(self._reserve, limit=500, linger=0.001)
        self._extending: Batcher[quota_service_pb2.ExtendRequest.Extension, quota_pb2.Grant] = Batcher(
            self._extend, limit=500, lanes=2
        )

    async def reserve(self, execution: Execution) -> quota_pb2.Grant:
        """Ask whether an execution may run now; under the fence that it will run with."""
        return await self._reserving.submit(execution)

    async def extend(self, extension: quota_service_pb2.ExtendRequest.Extension) -> quota_pb2.Grant:
        """Ask for more budget."""
        return await self._extending.submit(extension)

    def owe(self, owed: Sequence[Owed]) -> None:
        """Settle in a moment what was left. What is lost here is found by the sweep."""
        if len(self._owed) < _MOST_OWED:
            self._owed += owed
            self._some.set()

    def look(self) -> None:
        """Settle what a statement just left in the outbox."""
        self._looking = True
        self._some.set()

    async def run(self) -> None:
        """Settle what is owed, for ever."""
        while True:
            await self._some.wait()
            await asyncio.sleep(_LINGER)
            self._some.clear()
            owed, self._owed = self._owed, []
            looking, self._looking = self._looking, False
            try:
                if owed:
                    await self._book(owed)
                if looking:
                    await self.sweep(0.0)
            except RetinueError as error:
                log.info("settlements wait: %s", error)

    async def sweep(self, age: float = _LEFT_BEHIND) -> None:
        """Settle what has been in the outbox for `age` seconds."""
        if owed := await self._outbox.unsettled(age):
            await self._book(owed)

    async def forget(self) -> None:
        """Take what was settled out of the outbox, much at a time."""
        settled, self._settled = self._settled, []
        if settled:
            await self._outbox.settled(settled)

    async def _book(self, owed: Sequence[Owed]) -> None:
        await self.settle(owed)
        self._settled += [item.reservation_id for item in owed]
        self.on_settled()

    async def settle(self, owed: Sequence[Owed]) -> None:
        """Book what reservations came to. Booking one again changes nothing."""
        request = quota_service_pb2.SettleRequest(settlements=[_settlement(item) for item in owed])
        await self._peer.call(self._stub.Settle, request, organization_id="")

    async def close(self) -> None:
        """Close the connection."""
        await self._peer.close()

    async def _reserve(self, executions: Sequence[Execution]) -> Sequence[quota_pb2.Grant]:
        request = quota_service_pb2.ReserveRequest(reservations=[_reservation(item) for item in executions])
        answer = await self._peer.call(self._stub.Reserve, request, organization_id="", timeout=2.0)
        return list(answer.grants)

    async def _extend(
        self, extensions: Sequence[quota_service_pb2.ExtendRequest.Extension]
    ) -> Sequence[quota_pb2.Grant]:
        request = quota_service_pb2.ExtendRequest(extensions=extensions)
        answer = await self._peer.call(self._stub.Extend, request, organization_id="", timeout=5.0)
        return list(answer.grants)


def _reservation(execution: Execution) -> quota_pb2.Reservation:
    return quota_pb2.Reservation(
        id=execution.reservation_id,
        organization_id=execution.organization_id,
        user_id=execution.created_by,
        agent_id=execution.agent_id,
        execution_id=execution.id,
        project_id=execution.project_id,
        expires_at=timestamp(execution.deadline_at),
    )


def _settlement(owed: Owed) -> quota_pb2.Settlement:
    return quota_pb2.Settlement(
        reservation_id=owed.reservation_id,
        organization_id=owed.organization_id,
        input_tokens=owed.input_tokens,
        output_tokens=owed.output_tokens,
        cost_micros=owed.cost_micros,
        credits=owed.credits,
        steps=owed.steps,
        tool_calls=owed.tool_calls,
        ended=owed.ended,
    )
