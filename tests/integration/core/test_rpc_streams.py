"""Streams between real servers: a handler learns that its caller went away, and an error comes at any point."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import grpc
import pytest

from retinue_core import errors, telemetry
from retinue_core.errors import Kind, RetinueError
from retinue_core.rpc.call import caller, request_id
from retinue_core.rpc.door import Door
from retinue_core.rpc.errors import from_rpc_error
from tests.fakes.core.probe import message
from tests.fakes.core.serving import ADA, Caller, metadata, serving

GUARD = 30.0


def answer(text: str) -> Any:
    return message("Response", text=text)


def watch(probe: Caller, who: Any = ADA, **options: Any) -> Any:
    return probe.stub.Watch(message("Request"), metadata=metadata(who), **options)


async def texts(call: Any) -> list[str]:
    return [response.text async for response in call]


async def failure(call: Any, after: list[str] | None = None) -> RetinueError:
    """The error that ends a stream, behind some answers."""
    got = []
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        async for response in call:
            got.append(response.text)  # noqa: PERF401 - what came before the error is looked at
    assert got == (after or [])
    return from_rpc_error(failed.value)


async def test_a_stream_knows_who_calls_until_its_end() -> None:
    async def handler(_: Any, __: Any) -> AsyncIterator[Any]:
        for _ in range(2):
            yield answer(f"{caller().subject} {request_id()} {telemetry.valid(telemetry.current())}")

    async with serving(Watch=handler) as probe:
        call = probe.stub.Watch(message("Request"), metadata=(*metadata(ADA), ("x-request-id", "r")))
        assert await texts(call) == ["ada r True"] * 2


async def test_an_error_before_the_first_message_is_the_whole_answer() -> None:
    async def handler(request: Any, _: Any) -> AsyncIterator[Any]:
        if not request.text:
            raise errors.not_found("execution", "42")
        yield answer("")

    async with serving(Watch=handler) as probe:
        error = await failure(watch(probe))
    assert (error.kind, error.code, error.details) == (Kind.NOT_FOUND, "EXECUTION_NOT_FOUND", {"executionId": "42"})


async def test_an_error_behind_messages_ends_the_stream_behind_them() -> None:
    async def handler(_: Any, __: Any) -> AsyncIterator[Any]:
        yield answer("one")
        yield answer("two")
        raise errors.exhausted("BUDGET", "Spent.", retry_after=3.0)

    async with serving(Watch=handler) as probe:
        error = await failure(watch(probe), after=["one", "two"])
    assert (error.kind, error.code, error.retry_after) == (Kind.RESOURCE_EXHAUSTED, "BUDGET", 3.0)


@pytest.mark.parametrize("before", [[], ["one"]])
async def test_a_stream_that_breaks_tells_nothing_of_why(before: list[str]) -> None:
    async def handler(_: Any, __: Any) -> AsyncIterator[Any]:
        for text in before:
            yield answer(text)
        raise ValueError("hunter2")

    async with serving(Watch=handler) as probe:
        error = await failure(watch(probe), after=before)
    assert (error.kind, "hunter2" in repr(vars(error))) == (Kind.INTERNAL, False)


@pytest.mark.parametrize(("who", "kind"), [(None, Kind.UNAUTHENTICATED), ("nobody", Kind.PERMISSION_DENIED)])
async def test_the_door_stands_before_streams_too(who: Any, kind: Kind) -> None:
    begun: list[int] = []

    async def handler(_: Any, __: Any) -> AsyncIterator[Any]:
        begun.append(1)
        yield answer("")

    somebody = who and type(ADA)(ADA.organization_id, who)
    async with serving(Watch=handler) as probe:
        assert (await failure(watch(probe, somebody))).kind is kind
    assert begun == []


async def test_a_caller_that_goes_away_while_a_handler_waits_cancels_it() -> None:
    ended: asyncio.Queue[str] = asyncio.Queue()

    async def handler(_: Any, __: Any) -> AsyncIterator[Any]:
        try:
            yield answer("one")
            await asyncio.Event().wait()
        except BaseException as error:
            ended.put_nowait(type(error).__name__)
            raise

    async with serving(Watch=handler) as probe, asyncio.timeout(GUARD):
        call = watch(probe)
        assert (await call.read()).text == "one"
        call.cancel()
        assert await ended.get() == "CancelledError"


async def test_a_caller_that_goes_away_while_a_handler_speaks_closes_it() -> None:
    """A caller that does not read stops the writer between two answers: the generator is at its `yield` then."""
    ended: asyncio.Queue[str] = asyncio.Queue()
    said = 0

    async def handler(_: Any, __: Any) -> AsyncIterator[Any]:
        nonlocal said
        try:
            while True:
                said += 1
                yield answer("x" * 100_000)
        except BaseException as error:
            ended.put_nowait(type(error).__name__)
            raise

    async with serving(Watch=handler) as probe, asyncio.timeout(GUARD):
        call = watch(probe)
        await call.read()
        call.cancel()
        assert await ended.get() in {"GeneratorExit", "CancelledError"}
    assert said < 1_000


async def test_a_deadline_ends_a_stream_and_its_handler() -> None:
    ended = asyncio.Event()

    async def handler(_: Any, __: Any) -> AsyncIterator[Any]:
        try:
            yield answer("one")
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with serving(Watch=handler) as probe, asyncio.timeout(GUARD):
        assert (await failure(watch(probe, timeout=2), after=["one"])).kind is Kind.DEADLINE_EXCEEDED
        await ended.wait()


async def test_streams_have_a_limit_of_their_own_and_free_their_places() -> None:
    async def handler(_: Any, __: Any) -> AsyncIterator[Any]:
        yield answer("in")
        await asyncio.Event().wait()

    left = asyncio.Event()

    async def last(_: Any, __: Any) -> AsyncIterator[Any]:
        try:
            async for response in handler(_, __):
                yield response
        finally:
            left.set()

    async with serving(door=partial(Door, limit=1, streams=1), Watch=last) as probe, asyncio.timeout(GUARD):
        first = watch(probe)
        await first.read()
        assert (await failure(watch(probe))).code == "OVERLOADED"
        assert await probe.call("Read") == ""
        first.cancel()
        await left.wait()
        while True:
            # The place is free when the call has ended, a moment after its handler did.
            second = watch(probe)
            try:
                assert (await second.read()).text == "in"
                break
            except grpc.aio.AioRpcError as error:
                assert from_rpc_error(error).code == "OVERLOADED"  # noqa: PT017 - any other error is one
        second.cancel()


async def test_both_sides_of_a_stream_may_speak() -> None:
    async def handler(requests: Any, __: Any) -> AsyncIterator[Any]:
        async for request in requests:
            yield answer(f"{caller().subject}: {request.text}")
            if request.text == "bad":
                raise errors.invalid("Bad.")

    async with serving(Chat=handler) as probe, asyncio.timeout(GUARD):
        call = probe.stub.Chat(metadata=metadata(ADA))
        for text in ("one", "two"):
            await call.write(message("Request", text=text))
            assert (await call.read()).text == f"ada: {text}"
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        call = probe.stub.Chat(metadata=metadata(ADA))
        await call.write(message("Request", text="bad"))
        assert (await failure(call, after=["ada: bad"])).kind is Kind.INVALID_ARGUMENT


@pytest.mark.parametrize("who", [ADA, None])
async def test_a_stream_of_requests_has_one_answer(who: Any) -> None:
    async def handler(requests: Any, _: Any) -> Any:
        return answer(" ".join([request.text async for request in requests]))

    async def requests() -> AsyncIterator[Any]:
        for text in ("a", "b", "c"):
            yield message("Request", text=text)

    async with serving(Collect=handler) as probe, asyncio.timeout(GUARD):
        call = probe.stub.Collect(requests(), metadata=metadata(who))
        if who:
            assert (await call).text == "a b c"
        else:
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await call
            assert from_rpc_error(failed.value).kind is Kind.UNAUTHENTICATED
