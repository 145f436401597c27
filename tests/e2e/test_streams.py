"""Streams of events: their order, going on after a break, and what dies with a connection."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.clients.agents import adder, say, scripted, slow, use
from tests.clients.rest import Event, Refused, Rest


def pausing(**fields: Any) -> dict[str, Any]:
    """An agent whose steps come one after the other, with text in pieces."""
    turns = [use("calculator", {"expression": f"{n} + {n}"}, "One moment, please.", delayMs=150) for n in range(3)]
    return scripted(*turns, say("All done by now.", delayMs=150), tools=["calculator"], **fields)


def numbers(events: list[Event]) -> list[int | None]:
    return [event.id for event in events if event.id is not None]


async def test_execute_tells_everything_from_start_to_done(acme: Rest) -> None:
    agent = await acme.publish(adder())
    async with acme.events("POST", f"/v1/agents/{agent}/execute", {"input": {"a": 40, "b": 2}}) as stream:
        events = [event async for event in stream]
    told = [event for event in events if event.id is not None]
    assert [event.event for event in told] == ["start", "log", "step", "tool", "tool", "step", "done"]
    assert numbers(told) == list(range(1, 8))
    assert all(event.data["sequence"] == event.id and event.data["event"] == event.event for event in told)

    started, done = told[0].data["start"]["execution"], told[-1].data["done"]["execution"]
    assert (started["status"], done["status"], done["output"]) == ("PENDING", "COMPLETED", "The sum is 42.")
    assert done == await acme.execution(done["id"])
    assert [told[3].data["tool"]["status"], told[4].data["tool"]["status"]] == ["RUNNING", "COMPLETED"]

    chunks = [event for event in events if event.event == "chunk"]
    assert "".join(chunk.data["chunk"]["text"] for chunk in chunks) == "I need a sum.The sum is 42."
    assert all(chunk.id is None and not chunk.data["sequence"] for chunk in chunks)
    steps = [n for n, event in enumerate(events) if event.event == "step"]
    assert all(n < steps[event.data["chunk"]["step"] - 1] for n, event in enumerate(events) if event.event == "chunk")


async def test_a_text_is_seen_while_it_is_said(acme: Rest) -> None:
    agent = await acme.publish(scripted(say("word " * 200, delayMs=1_500)))
    async with acme.events("POST", f"/v1/agents/{agent}/execute", {}) as stream:
        events = [event async for event in stream]
    chunks = [event.data["chunk"]["text"] for event in events if event.event == "chunk"]
    assert len(chunks) > 3
    assert "".join(chunks) == "word " * 200
    assert [event.event for event in events][-2:] == ["step", "done"]


async def test_a_failure_ends_the_stream_with_exactly_one_error(acme: Rest) -> None:
    agent = await acme.publish(scripted(say("", error={"code": "BROKEN", "message": "It is broken."})))
    async with acme.events("POST", f"/v1/agents/{agent}/execute", {}) as stream:
        events = [event async for event in stream]
    assert [event.event for event in events if event.event in ("done", "error")] == ["error"]
    assert events[-1].event == "error"
    assert events[-1].data["error"]["error"]["code"] == "BROKEN"
    assert events[-1].data["error"]["execution"]["status"] == "FAILED"


async def test_a_stream_goes_on_where_it_broke(acme: Rest) -> None:
    agent = await acme.publish(pausing())
    execution = (await acme.start(agent))["id"]
    path = f"/v1/executions/{execution}/events"
    seen: list[Event] = []
    while not seen or seen[-1].event != "done":
        headers = {"Last-Event-ID": str(seen[-1].id)} if seen else {}
        async with acme.events("GET", path, headers=headers) as stream:
            # Read two entries of each connection, then break it.
            wanted = len(seen) + 2
            async for event in stream:
                seen += [event] if event.id is not None else []
                if len(seen) == wanted or event.event == "done":
                    break
    assert numbers(seen) == list(range(1, (await acme.execution(execution))["lastSequence"] + 1))
    assert [event.id for event in await acme.followed(execution, after=5)] == numbers(seen)[5:]


async def test_many_watchers_see_the_same_from_wherever_they_begin(acme: Rest) -> None:
    agent = await acme.publish(pausing())
    execution = (await acme.start(agent))["id"]
    watched = await asyncio.gather(*(acme.followed(execution, after=n % 2) for n in range(10)))
    last = (await acme.execution(execution))["lastSequence"]
    for n, events in enumerate(watched):
        assert numbers(events) == list(range(1 + n % 2, last + 1))


@pytest.mark.parametrize("after", ["-1", "99", "x", "1.5", "99999999999"])
async def test_a_place_that_is_not_there_is_refused(acme: Rest, after: str) -> None:
    done = await acme.run(await acme.publish(scripted(say("Hi."))))
    path = f"/v1/executions/{done['id']}/events"
    for query, headers, field in ((f"?after={after}", {}, "after"), ("", {"Last-Event-ID": after}, "Last-Event-ID")):
        with pytest.raises(Refused) as refused:
            async with acme.events("GET", path + query, headers=headers):
                pass
        assert refused.value.status == 400
        assert set(refused.value.fields) <= {field, "after"}
        assert refused.value.fields


async def test_an_inline_execution_dies_with_its_connection(acme: Rest) -> None:
    agent = await acme.publish(slow())
    async with acme.events("POST", f"/v1/agents/{agent}/execute", {}) as stream:
        execution = (await anext(stream)).data["executionId"]
    ended = await acme.until(execution)
    assert (ended["status"], ended["error"]["code"]) == ("CANCELLED", "EXECUTION_CANCELLED")
    assert ended["error"]["message"] == "The caller went away."


async def test_a_detached_execution_goes_on_without_its_caller(acme: Rest) -> None:
    agent = await acme.publish(pausing())
    async with acme.events("POST", f"/v1/agents/{agent}/execute", {"detach": True}) as stream:
        execution = (await anext(stream)).data["executionId"]
    assert (await acme.until(execution))["status"] == "COMPLETED"


async def test_inline_time_has_a_ceiling(acme: Rest) -> None:
    agent = await acme.publish(scripted(say("Hi.")))
    with pytest.raises(Refused) as refused:
        async with acme.events("POST", f"/v1/agents/{agent}/execute", {"timeout": "61s"}):
            pass
    assert (refused.value.status, refused.value.fields) == (400, ["timeout"])
    async with acme.events("POST", f"/v1/agents/{agent}/execute", {"timeout": "61s", "detach": True}) as stream:
        assert [event.event async for event in stream][-1] == "done"
