"""The life of a version from the outside: compared, rolled back to, deprecated, archived; and what runs meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import jsonpatch
import pytest

from tests.clients.agents import say, scripted
from tests.clients.people import People
from tests.clients.rest import PATIENCE, Refused, Rest


async def released(acme: Rest, *answers: str) -> str:
    """An agent with a version for each answer: 1.0.0, 1.0.1, …"""
    agent = await acme.publish(scripted(say(answers[0]), instructions=f"Say {answers[0]}.\n"))
    for answer in answers[1:]:
        await edit(acme, agent, answer)
        await acme.post(f"/v1/agents/{agent}/versions/draft/publish")
    return agent


async def edit(acme: Rest, agent: str, answer: str) -> None:
    wanted = {"instructions": f"Say {answer}.\n", "modelSettings": {"script": [say(answer)]}}
    await acme.call("PATCH", f"/v1/agents/{agent}", wanted)


async def runs(acme: Rest, agent: str, version: str) -> dict[str, Any]:
    """Run an agent until it runs a version by itself: whoever remembers another is told by an event."""
    async with asyncio.timeout(PATIENCE):
        while True:
            ended = await acme.run(agent)
            if ended["agentVersion"] == version:
                return ended


async def until_refused(acme: Rest, agent: str, version: str) -> Refused:
    """Run a version until it is refused, and return how."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await acme.run(agent, version=version)
            except Refused as refused:
                return refused


async def refusal(acme: Rest, path: str, body: Any = None) -> Refused:
    with pytest.raises(Refused) as refused:
        await acme.post(path, body)
    return refused.value


async def test_a_roll_back_changes_what_runs_and_is_undone_the_same_way(acme: Rest) -> None:
    agent = await released(acme, "one", "two")
    assert (await runs(acme, agent, "1.0.1"))["output"] == "two"
    back = await acme.post(f"/v1/agents/{agent}/rollback", {"version": "1.0.0", "reason": "The new one is rude."})
    assert (back["version"], back["current"], back["status"]) == ("1.0.0", True, "PUBLISHED")
    assert (await acme.get(f"/v1/agents/{agent}"))["currentVersion"] == "1.0.0"
    assert (await runs(acme, agent, "1.0.0"))["output"] == "one"
    await acme.post(f"/v1/agents/{agent}/rollback", {"version": "1.0.1"})
    assert (await runs(acme, agent, "1.0.1"))["output"] == "two"

    history = (await acme.get(f"/v1/agents/{agent}/versions:history"))["events"]
    assert [(one["kind"], one["version"], one.get("previousVersion", "")) for one in history] == [
        ("ROLLED_BACK", "1.0.1", "1.0.0"),
        ("ROLLED_BACK", "1.0.0", "1.0.1"),
        ("PUBLISHED", "1.0.1", "1.0.0"),
        ("PUBLISHED", "1.0.0", ""),
    ]
    assert (history[1]["reason"], history[1]["createdBy"]) == ("The new one is rude.", acme.user_id)


async def test_what_is_deprecated_runs_and_what_is_archived_does_not(acme: Rest) -> None:
    agent = await released(acme, "one", "two")
    path = f"/v1/agents/{agent}/versions/1.0.0"
    deprecated = await acme.post(f"{path}/deprecate", {"reason": "It forgets."})
    assert (deprecated["status"], deprecated["statusReason"]) == ("DEPRECATED", "It forgets.")
    assert (await acme.run(agent, version="1.0.0"))["output"] == "one"
    assert (await refusal(acme, f"/v1/agents/{agent}/rollback", {"version": "1.0.0"})).code == "INVALID_TRANSITION"

    assert (await acme.post(f"{path}/archive"))["status"] == "ARCHIVED"
    refused = await until_refused(acme, agent, "1.0.0")
    assert (refused.status, refused.code) == (400, "VERSION_ARCHIVED")
    in_use = await refusal(acme, f"/v1/agents/{agent}/versions/1.0.1/archive")
    assert (in_use.status, in_use.code) == (400, "VERSION_IN_USE")
    assert "rollback" in in_use.actions[0]
    assert (await acme.get(path))["spec"]["instructions"] == "Say one.\n"


async def test_a_draft_is_compared_with_what_runs(acme: Rest) -> None:
    agent = await released(acme, "one")
    await edit(acme, agent, "two")
    found = await acme.get(f"/v1/agents/{agent}/versions:compare", **{"from": "1.0.0", "to": "draft"})
    assert (found["fromVersion"], found["toVersion"], found["differs"]) == ("1.0.0", "1.0.1", True)
    assert (found["bump"], found["proposedVersion"]) == ("PATCH", "1.0.1")
    assert found["instructionsDiff"] == "--- 1.0.0\n+++ 1.0.1\n@@ -1 +1 @@\n-Say one.\n+Say two.\n"
    assert {"path": "instructions", "kind": "CHANGED", "old": "Say one.\n", "new": "Say two.\n"} in found["changes"]
    specs = [(await acme.get(f"/v1/agents/{agent}/versions/{one}"))["spec"] for one in ("1.0.0", "draft")]
    assert jsonpatch.apply_patch(specs[0], found["jsonPatch"]) == specs[1]

    for query in ({"from": "1.0.0"}, {"to": "draft"}, {"from": "1.0.0", "to": "draft", "than": "1"}):
        with pytest.raises(Refused) as refused:
            await acme.get(f"/v1/agents/{agent}/versions:compare", **query)
        assert refused.value.status == 400


async def test_only_who_may_change_an_agent_moves_its_versions(people: People) -> None:
    owner = await people.founder()
    agent = await released(owner, "one", "two")
    viewer = await people.join(owner.organization_id, "VIEWER")
    stranger = await people.founder()
    for path in ("versions/1.0.0/deprecate", "versions/1.0.0/archive", "rollback"):
        body = {"version": "1.0.0"} if path == "rollback" else {}
        assert (await refusal(viewer, f"/v1/agents/{agent}/{path}", body)).status == 403
        assert (await refusal(stranger, f"/v1/agents/{agent}/{path}", body)).code == "AGENT_NOT_FOUND"
    assert (await viewer.get(f"/v1/agents/{agent}/versions:history"))["events"]
