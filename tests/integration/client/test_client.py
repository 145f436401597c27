"""The client against the suite: what it makes is there, what it runs is answered, what it may not is a typed error."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from retinue_client import ExecutionFailedError, Retinue, errors, sync
from retinue_client.cli.collect import most
from retinue_core.testing.suite import Suite
from tests.integration.client.conftest import ANSWER, Makers, unique

SUM = [
    [{"text": "Let me see."}, {"toolUse": {"name": "calculator", "input": {"expression": "19 + 23"}}}],
    [{"text": '{"answer": "{{tool.output}}", "confidence": 1}'}],
]
SLOW = [[{"text": "Not yet."}, {"delayMs": 60_000}]]


async def test_an_agent_is_made_found_changed_and_deleted(client: Retinue, make: Makers) -> None:
    made = await make.agent(signature="a: int -> b", tags=["x"], timeout=30, metadata={"n": 1})
    assert (made.draft_version, made.current_version, made.timeout) == ("1.0.0", "", 30.0)
    assert str(made.signature) == "a: int -> b: str"
    assert await client.agents.get(made.id) == await client.agents.get(made.name.upper()) == made
    listed = [agent.id async for agent in client.agents.list(filter="tag=x", page_size=1)]
    assert made.id in listed
    changed = await client.agents.update(made.name, description="new", tags=None, timeout=None, etag=made.etag)
    assert (changed.description, changed.tags, changed.timeout, changed.metadata) == ("new", (), None, {"n": 1})
    with pytest.raises(errors.ConflictError):
        await client.agents.update(made, description="newer", etag=made.etag)
    await client.agents.delete(changed)
    with pytest.raises(errors.NotFoundError):
        await client.agents.get(made.id)


async def test_an_agent_is_ensured_again_and_again(client: Retinue) -> None:
    fields: dict[str, Any] = {"name": unique(), "model": "scripted", "signature": "a: int -> b"}
    first = await client.agents.ensure(**fields)
    await first.publish()
    again = await client.agents.ensure(**fields)
    assert (again.id, again.draft_version) == (first.id, "")
    changed = await client.agents.ensure(**fields, instructions="New.")
    assert (changed.id, changed.instructions, changed.draft_version) == (first.id, "New.", "1.0.1")


async def test_lists_go_on_from_page_to_page(client: Retinue, make: Makers) -> None:
    project = unique("project")
    names = [f"{project}-{number}" for number in range(5)]
    for name in names:
        await make.agent(name=name, project=project)
    found = client.agents.list(filter=f"project={project}", order_by="name", page_size=2)
    assert [agent.name async for agent in found] == names


async def test_a_definition_is_checked_without_being_saved(client: Retinue) -> None:
    name = unique()
    findings = await client.agents.validate(name=name, model="gpt-of-nobody", tools=["hammer"])
    assert {finding.field for finding in findings} == {"model", "tools[0]"}
    assert await client.agents.validate(name=name, model="scripted") == ()
    with pytest.raises(errors.NotFoundError):
        await client.agents.get(name)


async def test_versions_are_frozen_listed_and_opened_again(client: Retinue, make: Makers) -> None:
    agent = await make.agent(instructions="One.")
    published = await agent.publish("The first.")
    assert (published.version, published.status, published.changelog) == ("1.0.0", "PUBLISHED", "The first.")
    await client.agents.update(agent, instructions="Two.")
    assert [version.status async for version in client.versions.list(agent, page_size=1)] == ["DRAFT", "PUBLISHED"]
    assert (await client.versions.get(agent.name, "draft")).spec.instructions == "Two."
    second = await client.versions.publish(agent.id)
    assert (second.version, second.current) == ("1.0.1", True)
    opened = await client.versions.create(agent, "2.0.0", start="1.0.0")
    assert (opened.version, opened.spec.instructions) == ("2.0.0", "One.")
    with pytest.raises(errors.NotFoundError) as raised:
        await client.versions.get(agent, "9.9.9")
    assert raised.value.code == "VERSION_NOT_FOUND"


async def test_an_agent_answers_in_its_signature(make: Makers) -> None:
    agent = await make.published(ANSWER, signature="question: str -> answer: str, confidence: float, note?: str")
    result = await agent.execute(question="What?")
    assert (result.answer, result.confidence, result.note) == ("forty-two", 0.9, None)
    assert result.execution.input == {"question": "What?"}
    assert (result.usage.steps, result.execution.status) == (1, "COMPLETED")
    with pytest.raises(TypeError):
        await agent.execute({}, question="What?")


async def test_an_agent_without_schemas_takes_and_answers_anything(make: Makers) -> None:
    agent = await make.published([[{"text": "You said {{input}}."}]])
    assert (await agent.execute("hello")).output == "You said hello."
    assert (await agent.execute({"day": datetime(2026, 1, 2, tzinfo=UTC)})).output.startswith('You said {"day"')


async def test_an_execution_is_started_followed_and_read(client: Retinue, make: Makers) -> None:
    agent = await make.published(SUM, tools=["calculator"], signature="-> answer: str, confidence: float")
    conversation = unique("conversation")
    execution = await client.executions.create(
        agent.name,
        {},
        priority="HIGH",
        timeout=timedelta(seconds=40),
        conversation_id=conversation,
        metadata={"k": ["v"]},
    )
    events = [event async for event in client.executions.watch(execution) if event.event != "chunk"]
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert [event.event for event in events] == ["start", "log", "step", "tool", "tool", "step", "done"]
    ended = await client.executions.wait(execution.id)
    assert events[-1].execution == ended == await client.executions.get(execution.id)
    assert (ended.output, ended.priority, ended.metadata) == (
        {"answer": "42", "confidence": 1},
        "HIGH",
        {"k": ["v"]},
    )
    steps = [step async for step in client.executions.steps(ended)]
    assert [(step.kind, step.status) for step in steps] == [(kind, "COMPLETED") for kind in ("MODEL", "TOOL", "MODEL")]
    assert (steps[1].input, steps[1].output) == ({"expression": "19 + 23"}, 42)
    assert len([line async for line in client.executions.logs(ended)]) == len(events)
    assert [line async for line in client.executions.logs(ended, level="ERROR")] == []
    found = [one.id async for one in client.executions.list(agent, filter=f"conversation_id={conversation}")]
    assert found == [ended.id]
    assert [one async for one in client.executions.list(agent, status="FAILED")] == []


async def test_waiting_is_bounded_and_cancelling_ends_it(client: Retinue, make: Makers) -> None:
    agent = await make.published(SLOW)
    execution = await client.executions.create(agent, wait=0.2)
    assert not execution.ended
    waiting = asyncio.create_task(client.executions.wait(execution))
    cancelled = await client.executions.cancel(execution, "Enough.")
    assert cancelled.status == "CANCELLED"
    assert (await waiting).error == cancelled.error
    assert await client.executions.cancel(execution.id) == cancelled


async def test_an_execution_that_fails_is_an_exception_with_its_code(client: Retinue, make: Makers) -> None:
    agent = await make.published([])
    with pytest.raises(ExecutionFailedError) as raised:
        await agent.execute({})
    assert raised.value.code == "SCRIPT_EXHAUSTED"
    assert raised.value.execution.status == "FAILED"
    finished = await (await make.published(ANSWER)).execute({})
    with pytest.raises(errors.PreconditionError) as refused:
        await client.executions.cancel(finished.execution)
    assert refused.value.code == "EXECUTION_ENDED"


async def refusals(client: Retinue, make: Makers) -> dict[str, tuple[Any, type[errors.RetinueError]]]:
    agent = await make.agent(signature="a: int -> b")
    ready = await make.published(ANSWER, signature="a: int -> answer: str, confidence: float")
    nobody = "01890000-0000-7000-8000-000000000000"
    return {
        "AGENT_NOT_FOUND": (client.agents.get(nobody), errors.NotFoundError),
        "AGENT_NOT_PUBLISHED": (agent.execute(a=1), errors.PreconditionError),
        "INVALID_INPUT": (ready.execute(a="x"), errors.InvalidArgumentError),
        "DUPLICATE_AGENT_NAME": (make.agent(name=agent.name.upper()), errors.AlreadyExistsError),
        "INVALID_AGENT_CONFIG": (make.agent(tools=["hammer"]), errors.InvalidArgumentError),
        "INVALID_FILTER": (most(client.agents.list(filter="x=y"), 1), errors.InvalidArgumentError),
        "EXECUTION_NOT_FOUND": (client.executions.get(nobody), errors.NotFoundError),
        "INVALID_ARGUMENT": (client.usage(by="WEATHER"), errors.InvalidArgumentError),  # type: ignore[arg-type]
    }


async def test_every_refusal_is_a_typed_exception(client: Retinue, make: Makers) -> None:
    for code, (call, kind) in (await refusals(client, make)).items():
        with pytest.raises(kind) as raised:
            await call
        assert raised.value.code == code


async def test_tokens_are_made_used_and_revoked(client: Retinue, addresses: dict[str, str]) -> None:
    ends = datetime.now(UTC) + timedelta(hours=1)
    made = await client.tokens.create("reader", scopes=["agents:read"], expires_at=ends)
    assert (made.token.scopes, made.token.expires_at) == (("agents:read",), ends)
    assert made.secret not in repr(made)
    async with Retinue(addresses, made.secret) as reader:
        who = await reader.whoami()
        assert who.scopes == ("agents:read",)
        await most(reader.agents.list(), 1)
        with pytest.raises(errors.PermissionDeniedError):
            await reader.agents.create(name=unique(), model="scripted")
    await client.tokens.revoke(made.token)
    listed = {token.id: token async for token in client.tokens.list()}
    assert listed[made.token.id].revoked_at is not None


async def test_without_a_valid_token_nothing_is_answered(addresses: dict[str, str]) -> None:
    for token in ("", "rtn_" + "x" * 43, "nonsense"):
        async with Retinue(addresses, token) as stranger:
            with pytest.raises(errors.UnauthenticatedError):
                await stranger.whoami()
            with pytest.raises(errors.UnauthenticatedError):
                await most(stranger.executions.watch("01890000-0000-7000-8000-000000000000"), 1)


async def test_use_is_reported(client: Retinue, make: Makers) -> None:
    agent = await make.published(ANSWER)
    result = await agent.execute({})
    entries: dict[str, Any] = {}
    while agent.id not in entries:  # usage is booked behind the answer
        report = await client.usage(start=datetime.now(UTC) - timedelta(hours=1), by="AGENT")
        entries = {entry.key: entry for entry in report.entries}
    assert entries[agent.id].input_tokens == result.usage.input_tokens
    assert report.total.executions >= 1
    assert any(quota.metric == "CONCURRENT_EXECUTIONS" for quota in await client.quotas())


def test_the_face_without_await_does_the_same(suite: Suite, addresses: dict[str, str]) -> None:
    with sync.Retinue(addresses, suite.token) as client:
        agent = client.agents.create(
            name=unique(),
            model="scripted",
            signature="q: str -> answer: str, confidence: float",
            model_settings={"script": ANSWER},
        )
        assert agent.publish("First.").version == "1.0.0"
        result = client.agents.get(agent.name).execute(q="?")
        assert result.answer == "forty-two"
        assert next(event.sequence for event in client.executions.watch(result.execution, after=1)) == 2
        assert [one.id for one in client.executions.list(agent)] == [result.execution.id]
        with pytest.raises(errors.NotFoundError):
            client.agents.get("nobody's")
