"""The echo service as a real gRPC server behind a real door, which does what a note's id asks for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from retinue_core.errors import Problem, exhausted, invalid, not_found
from retinue_core.identity import Verifier
from retinue_core.rpc.call import current_call
from retinue_core.rpc.door import Door
from retinue_core.rpc.server import Server
from retinue_core.telemetry import Telemetry
from tests.fakes.gateway.protos import files, message_class

SERVICE = "gatewaytest.v1.EchoService"
Context = grpc.aio.ServicerContext[Any, Any]


class Echo:
    """The RPCs. `seen` holds the metadata of each call, `cancelled` is set when a stream is cut."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.cancelled = asyncio.Event()
        self.sent = 0
        self.hold: asyncio.Event | None = None

    async def CreateNote(self, request: Any, context: Context) -> Message:  # noqa: N802
        call = current_call()
        assert call is not None
        note: Any = message_class("Note")()
        note.CopyFrom(request.note)
        note.id = "n1"
        note.metadata.update(
            {
                "subject": call.identity.subject if call.identity else "",
                "requestId": call.request_id,
                "key": call.idempotency_key,
            }
        )
        self._note(context)
        return message_class("CreateNoteResponse")(note=note)

    async def GetNote(self, request: Any, context: Context) -> Message:  # noqa: N802
        self._note(context)
        if request.note_id == 404:
            raise not_found("note", "404")
        if request.note_id == 400:
            raise invalid("Wrong.", Problem("note.text", "is too short"))
        if request.note_id == 429:
            context.set_trailing_metadata((("x-retinue-ratelimit-limit", "10"), ("x-retinue-ratelimit-remaining", "0")))
            raise exhausted("RATE_LIMITED", "Too many.", retry_after=2.5)
        if request.note_id == 500:
            raise RuntimeError("secret internals")
        if request.HasField("wait"):
            await asyncio.Event().wait()
        context.set_trailing_metadata((("x-retinue-ratelimit-limit", "10"), ("x-retinue-ratelimit-remaining", "9")))
        left = context.time_remaining() or 0.0
        note = message_class("Note")(id=str(request.note_id), text="t", size_bytes=int(left))
        return message_class("GetNoteResponse")(note=note)

    async def ListNotes(self, request: Any, context: Context) -> Message:  # noqa: N802
        del context
        notes = [message_class("Note")(id=str(n)) for n in range(request.page_size or 3)]
        return message_class("ListNotesResponse")(notes=notes)

    async def UpdateNote(self, request: Any, context: Context) -> Message:  # noqa: N802
        del context
        return message_class("UpdateNoteResponse")(note=request.note, changed=request.update_mask)

    async def DeleteNote(self, request: Any, context: Context) -> Message:  # noqa: N802
        del request, context
        return message_class("DeleteNoteResponse")()

    async def CheckNote(self, request: Any, context: Context) -> Message:  # noqa: N802
        del context
        return message_class("CheckNoteResponse")(valid=True, path=request.path)

    async def WatchNote(self, request: Any, context: Context) -> AsyncIterator[Message]:  # noqa: N802
        self._note(context)
        if request.note_id == "missing":
            raise not_found("note", "missing")
        if self.hold is not None:
            await self.hold.wait()
        for number in range(request.after + 1, request.after + 4):
            yield _event(number, "change", f"line one\nline {number}")
        if request.note_id == "breaks":
            raise exhausted("BROKEN", "It broke.", retry_after=1.0)
        try:
            while request.note_id == "flood":
                self.sent += 1
                yield _event(0, "", "x" * 10_000)
            if request.note_id == "open":
                await asyncio.Event().wait()
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.set()
            raise

    async def Sweep(self, request: Any, context: Context) -> Message:  # noqa: N802
        del request, context
        return message_class("SweepResponse")()

    def _note(self, context: Context) -> None:
        self.seen.append(dict(context.invocation_metadata() or ()))


def _event(number: int, kind: str, text: str) -> Message:
    event = message_class("NoteEvent")(sequence=number, kind=kind, text=text)
    return message_class("WatchNoteResponse")(event=event)


def register(echo: Any, server: Any) -> None:
    """Adds the RPCs of an Echo to a gRPC server, as generated code would."""
    service = next(file for file in files() if "EchoService" in file.services_by_name).services_by_name["EchoService"]
    handlers = {}
    for rpc in service.methods:
        make = grpc.unary_stream_rpc_method_handler if rpc.server_streaming else grpc.unary_unary_rpc_method_handler
        handlers[rpc.name] = make(
            getattr(echo, rpc.name),
            request_deserializer=GetMessageClass(rpc.input_type).FromString,
            response_serializer=GetMessageClass(rpc.output_type).SerializeToString,
        )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))


async def start(echo: Echo, verifier: Verifier, address: str = "127.0.0.1:0") -> Server:
    """Serves an Echo behind the door that every service has."""
    server = Server(address, Door(verifier, Telemetry("echo")))
    server.add(register, echo, files()[1])
    await server.start()
    return server
