"""Unary RPCs between real servers: who gets in, what goes on with a call, and how a failure comes back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import grpc
import pytest
from google.protobuf.struct_pb2 import Value

from retinue.access.v1 import access_service_pb2, access_service_pb2_grpc
from retinue_core import errors, telemetry
from retinue_core.errors import Kind, Problem, RetinueError
from retinue_core.identity import Identity
from retinue_core.rpc.access import exchange_at
from retinue_core.rpc.call import caller, deadline_remaining, request_id
from retinue_core.rpc.door import Door
from retinue_core.rpc.errors import from_rpc_error
from retinue_core.rpc.server import Server
from retinue_core.rpc.tokens import TokenCache
from tests.fakes.core.probe import message
from tests.fakes.core.serving import ADA, Caller, ask, context_of, metadata, peer, serving, token, verifier

SECRET = "postgresql://retinue:hunter2@10.0.0.5/retinue"
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
READER = Identity(ADA.organization_id, "bob", scopes=frozenset({"probe:read"}))
EXECUTION = Identity("", "execution", kind="service")
WORKER = Identity(ADA.organization_id, "worker", kind="service")


async def refusal(probe: Caller, method: str, *more: tuple[str, str], **options: Any) -> RetinueError:
    with pytest.raises(RetinueError) as refused:
        await probe.call(method, *more, **options)
    return refused.value


def answer(text: str) -> Any:
    return message("Response", text=text)


async def test_a_handler_knows_who_calls() -> None:
    async def handler(_: Any, __: Any) -> Any:
        return answer(f"{caller().subject} {sorted(caller().scopes)}")

    async with serving(Read=handler) as probe:
        assert await probe.call("Read") == "ada ['probe:read', 'probe:write']"
        assert await probe.call("Read", who=EXECUTION) == "execution []"


LET_IN = [
    ("Read", READER, None),
    ("Write", READER, Kind.PERMISSION_DENIED),
    ("Read", None, Kind.UNAUTHENTICATED),
    ("Read", WORKER, Kind.PERMISSION_DENIED),
    ("Inside", EXECUTION, None),
    ("Inside", WORKER, Kind.PERMISSION_DENIED),
    ("Inside", Identity("", "execution", admin=True), Kind.PERMISSION_DENIED),
    ("Inside", None, Kind.UNAUTHENTICATED),
    ("Known", WORKER, None),
    ("Known", None, Kind.UNAUTHENTICATED),
    ("Open", None, None),
    ("Forgotten", Identity("", "root", admin=True), Kind.PERMISSION_DENIED),
    ("Forgotten", EXECUTION, Kind.PERMISSION_DENIED),
    ("Forgotten", None, Kind.UNAUTHENTICATED),
]


@pytest.mark.parametrize(("method", "who", "kind"), LET_IN)
async def test_the_door_lets_in_whom_the_rule_names(method: str, who: Identity | None, kind: Kind | None) -> None:
    seen: list[dict[str, Any]] = []
    async with serving(method, context_of(seen)) as probe:
        if kind is None:
            await probe.call(method, who=who)
        else:
            assert (await refusal(probe, method, who=who)).kind is kind
    assert len(seen) == (kind is None)


async def test_a_forged_identity_is_refused_even_where_none_is_needed() -> None:
    async with serving() as probe:
        for method in ("Read", "Open"):
            error = await refusal(probe, method, ("x-retinue-identity", token(ADA)[:-3] + "abc"), who=None)
            assert error.kind is Kind.UNAUTHENTICATED


async def test_fields_that_are_missing_are_named_by_path() -> None:
    demanding = message("Demanding", name="n", tags=["t"], count=0, size=1, value=Value(bool_value=False))
    demanding.part.parts.add()
    async with serving() as probe:
        error = await refusal(probe, "Demand", request=demanding)
    assert (error.kind, error.code) == (Kind.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert [problem.field for problem in error.problems] == ["part.displayName", "part.parts[0].displayName"]


async def test_more_calls_than_the_limit_are_refused_at_once() -> None:
    full, leave = asyncio.Event(), asyncio.Event()
    inside: list[int] = []

    async def handler(_: Any, __: Any) -> Any:
        inside.append(1)
        if len(inside) == 2:
            full.set()
        await leave.wait()
        return answer("")

    async with serving(door=partial(Door, limit=2), Read=handler) as probe:
        under_way = [asyncio.create_task(probe.call("Read")) for _ in range(2)]
        await full.wait()
        error = await refusal(probe, "Read")
        assert (error.kind, error.code, error.retry_after) == (Kind.RESOURCE_EXHAUSTED, "OVERLOADED", 1.0)
        leave.set()
        await asyncio.gather(*under_way)
        # Those that are refused, or fail, free their places too.
        for _ in range(3):
            await refusal(probe, "Read", who=None)
        assert await probe.call("Read") == ""


@pytest.mark.parametrize("kind", Kind)
async def test_an_error_arrives_as_it_was_raised(kind: Kind) -> None:
    raised = RetinueError(
        kind,
        "SOME_CODE",
        "Ничего: 100 %\nnothing.",
        problems=(Problem("tools[1]", "is wrong"),),
        details={"agentId": "42"},
        actions=("Try.",),
        retry_after=2.0,
    )

    async def handler(_: Any, context: Any) -> Any:
        context.set_trailing_metadata((("x-retinue-ratelimit-limit", "10"),))
        raise raised

    async with serving(Write=handler) as probe, peer(probe, "execution") as other:
        with pytest.raises(RetinueError) as found:
            await ask(other, "Write", organization_id="o")
        assert vars(found.value) == vars(raised)
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await probe.stub.Write(message("Request"), metadata=metadata(ADA))
    assert failed.value.details() == raised.message
    assert dict(failed.value.trailing_metadata())["x-retinue-ratelimit-limit"] == "10"


@pytest.mark.parametrize("text", ["x" * 100_000, "ä" * 100_000, "\n" * 5_000], ids=["ascii", "wide", "lines"])
async def test_an_oversized_error_arrives_every_time(text: str) -> None:
    """What is above gRPC's soft limit is dropped at random, so it is tried more than once."""

    async def handler(_: Any, __: Any) -> Any:
        raise errors.invalid(text, *(Problem(f"items[{number}]", text[:500]) for number in range(500)), actions=(text,))

    async with serving(Write=handler) as probe:
        for _ in range(20):
            error = await refusal(probe, "Write")
            assert (error.kind, error.code) == (Kind.INVALID_ARGUMENT, "INVALID_ARGUMENT")
            assert error.message[:100] == text[:100]


async def test_a_handler_that_breaks_tells_nothing_of_why(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(_: Any, __: Any) -> Any:
        raise ValueError(SECRET)

    async with serving(Write=handler) as probe:
        with pytest.raises(grpc.aio.AioRpcError) as failed, caplog.at_level(logging.ERROR, "retinue_core.rpc.door"):
            await probe.stub.Write(message("Request"), metadata=(*metadata(ADA), ("x-request-id", "the-request")))
    error = from_rpc_error(failed.value)
    assert (error.kind, error.code) == (Kind.INTERNAL, "INTERNAL")
    assert "hunter2" not in f"{failed.value!r} {failed.value.trailing_metadata()}"
    assert "hunter2" in caplog.text
    assert "the-request" in caplog.text


async def test_a_foreign_error_is_not_passed_on() -> None:
    async def broken(_: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.NOT_FOUND, SECRET)

    async with serving(Write=broken) as behind, peer(behind, "execution") as other:

        async def handler(_: Any, __: Any) -> Any:
            return answer(await ask(other, "Write"))

        async with serving(Write=handler) as probe:
            error = await refusal(probe, "Write")
    assert (error.kind, error.code) == (Kind.NOT_FOUND, "NOT_FOUND")
    assert "hunter2" not in repr(vars(error))


@asynccontextmanager
async def two_hops(seen: list[dict[str, Any]], **options: Any) -> AsyncIterator[Caller]:
    """A probe whose Read asks another one, which notes what came along."""
    async with serving(Read=context_of(seen)) as behind, peer(behind, "execution") as other:

        async def handler(_: Any, context: Any) -> Any:
            seen.append(dict(context.invocation_metadata() or ()))
            return answer(await ask(other, "Read", **options))

        async with serving(Read=handler) as probe:
            yield probe


async def test_identity_request_id_and_trace_go_on_to_the_next_hop() -> None:
    seen: list[dict[str, Any]] = []
    async with two_hops(seen) as probe:
        await probe.call("Read", ("x-request-id", "r-1"), ("traceparent", PARENT))
    first, second = seen
    for key in ("x-retinue-identity", "x-request-id", "traceparent"):
        assert second[key] == first[key]
    assert (second["x-request-id"], second["traceparent"]) == ("r-1", PARENT)


@pytest.mark.parametrize("sent", ["", "x" * 129])
async def test_a_call_without_a_usable_request_id_or_trace_gets_them(sent: str) -> None:
    seen: list[dict[str, Any]] = []
    async with two_hops(seen) as probe:
        await probe.call("Read", ("x-request-id", sent), ("traceparent", "nonsense"))
    assert 0 < len(seen[1]["x-request-id"]) <= 128
    assert telemetry.valid(seen[1]["traceparent"])


async def test_a_call_for_an_organisation_goes_out_under_the_services_own_name() -> None:
    seen: list[dict[str, Any]] = []
    async with two_hops(seen, organization_id="other") as probe:
        await probe.call("Read")
    acting = verifier().verify(seen[1]["x-retinue-identity"])
    assert acting == Identity("other", "execution", kind="service")


async def test_a_deadline_goes_on_to_the_next_hop() -> None:
    left: list[float | None] = []
    cancelled = asyncio.Event()

    async def behind_handler(_: Any, context: Any) -> Any:
        left.append(deadline_remaining())
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with serving(Write=behind_handler) as behind, peer(behind, "execution") as other:

        async def handler(_: Any, __: Any) -> Any:
            left.append(deadline_remaining())
            return answer(await ask(other, "Write", timeout=600))

        async with serving(Write=handler) as probe:
            error = await refusal(probe, "Write", seconds=2)
            await cancelled.wait()
    assert error.kind is Kind.DEADLINE_EXCEEDED
    assert len(left) == 2
    assert all(seconds is not None and seconds < 3 for seconds in left)


async def test_no_call_goes_out_without_a_deadline() -> None:
    left: list[float | None] = []

    async def handler(_: Any, context: Any) -> Any:
        left.append(context.time_remaining())
        return answer(str(deadline_remaining()))

    async with serving(Read=handler) as probe, peer(probe, "execution") as other:
        await ask(other, "Read")
        assert (await probe.stub.Read(message("Request"), metadata=metadata(ADA))).text == "None"
    assert left[0] is not None
    assert left[0] <= 10


@pytest.mark.parametrize(("method", "calls"), [("Read", 3), ("Replace", 3), ("Write", 1)])
async def test_only_what_is_idempotent_is_tried_again(method: str, calls: int) -> None:
    seen: list[int] = []

    async def handler(_: Any, __: Any) -> Any:
        seen.append(1)
        if len(seen) <= 2:
            raise errors.unavailable("Not now.")
        return answer("done")

    async with serving(method, handler) as probe, peer(probe, "execution") as other:
        if calls == 1:
            with pytest.raises(RetinueError, match="Not now"):
                await ask(other, method)
        else:
            assert await ask(other, method) == "done"
    assert len(seen) == calls


@pytest.mark.parametrize(
    "error", [errors.exhausted("OVERLOADED", "Busy."), errors.unavailable("Busy.", code="DATABASE_UNAVAILABLE")]
)
async def test_another_failure_or_what_was_waited_for_is_not_tried_again(error: RetinueError) -> None:
    seen: list[int] = []

    async def handler(_: Any, __: Any) -> Any:
        seen.append(1)
        raise error

    async with serving(Read=handler) as probe, peer(probe, "execution") as other:
        with pytest.raises(RetinueError, match="Busy"):
            await ask(other, "Read")
    assert len(seen) == 1


async def test_a_service_that_is_away_is_unavailable() -> None:
    async with serving() as probe:
        pass
    async with peer(probe, "execution") as other:
        with pytest.raises(RetinueError) as refused:
            await ask(other, "Write")
    assert (refused.value.kind, refused.value.retry_after) == (Kind.UNAVAILABLE, 1.0)


async def test_a_connection_that_is_closed_is_no_cancellation() -> None:
    begun = asyncio.Event()

    async def handler(_: Any, __: Any) -> Any:
        begun.set()
        await asyncio.Event().wait()

    async with serving(Write=handler) as probe, peer(probe, "execution") as other:
        under_way = asyncio.create_task(ask(other, "Write"))
        await begun.wait()
        await other.close()
        for closed in (under_way, ask(other, "Write")):
            with pytest.raises(RetinueError) as refused:
                await closed
            assert refused.value.kind is Kind.UNAVAILABLE


async def test_a_cancelled_caller_cancels_the_handler() -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def handler(_: Any, __: Any) -> Any:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with serving(Write=handler) as probe, peer(probe, "execution") as other:
        under_way = asyncio.create_task(ask(other, "Write"))
        await begun.wait()
        under_way.cancel()
        with pytest.raises(asyncio.CancelledError):
            await under_way
        await cancelled.wait()


class Access(access_service_pb2_grpc.AccessServiceServicer):
    """Knows one token, until it does not."""

    def __init__(self) -> None:
        self.known = {"rtn_ada": ADA}
        self.asked: list[dict[str, Any]] = []

    async def Authenticate(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.asked.append(dict(context.invocation_metadata() or ()))
        who = self.known.get(request.token)
        if who is None:
            raise errors.unauthenticated("Revoked.", code="TOKEN_REVOKED")
        found = access_service_pb2.AuthenticateResponse(identity=token(who))
        found.expires_at.GetCurrentTime()
        found.expires_at.seconds += 300
        return found


async def test_an_api_token_is_exchanged_at_the_door() -> None:
    access = Access()  # type: ignore[abstract]  # nobody calls the rest
    server = Server("127.0.0.1:0", Door(verifier(), telemetry.Telemetry("access")))
    server.add(access_service_pb2_grpc.add_AccessServiceServicer_to_server, access, access_service_pb2.DESCRIPTOR)
    await server.start()
    seconds = [0.0]
    tokens = TokenCache(exchange_at(f"127.0.0.1:{server.port}"), monotonic=lambda: seconds[0])

    async def handler(_: Any, __: Any) -> Any:
        return answer(f"{caller().subject} {request_id()}")

    async with serving(door=partial(Door, tokens=tokens), Read=handler) as probe:
        for scheme in ("Bearer", "bearer"):
            bearer = ("authorization", f"{scheme} rtn_ada")
            assert await probe.call("Read", bearer, ("x-request-id", "r"), who=None) == "ada r"
        # An identity of the suite goes before a token; other schemes are none.
        assert await probe.call("Read", bearer, ("x-request-id", "r"), who=READER) == "bob r"
        assert (await refusal(probe, "Read", ("authorization", "Basic rtn_ada"), who=None)).code == "UNAUTHENTICATED"
        assert (
            await refusal(probe, "Read", ("authorization", "Bearer nonsense"), who=None)
        ).kind is Kind.UNAUTHENTICATED
        access.known.clear()
        seconds[0] += 1
        assert (await refusal(probe, "Read", bearer, who=None)).code == "TOKEN_REVOKED"
    assert len(access.asked) == 2
    assert "x-retinue-identity" not in access.asked[0]
    async with serving(Read=handler) as probe:
        assert (await refusal(probe, "Read", bearer, who=None)).kind is Kind.UNAUTHENTICATED
    await server.stop(0)
