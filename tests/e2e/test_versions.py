"""Versions from the outside: what is frozen, what runs, who may run a draft."""

from __future__ import annotations

import pytest

from tests.clients.agents import say, scripted, slow
from tests.clients.people import People
from tests.clients.rest import Refused, Rest


async def edit(acme: Rest, agent: str, text: str) -> None:
    await acme.call("PATCH", f"/v1/agents/{agent}", {"modelSettings": {"script": [say(text)]}})


async def test_an_execution_runs_the_version_it_names_and_the_current_one_otherwise(acme: Rest) -> None:
    agent = await acme.publish(scripted(say("one")))
    await edit(acme, agent, "two")
    assert (await acme.run(agent))["output"] == "one"
    await acme.post(f"/v1/agents/{agent}/versions/draft/publish")
    second = await acme.run(agent)
    assert (second["agentVersion"], second["output"]) == ("1.0.1", "two")
    first = await acme.run(agent, version="1.0.0")
    assert (first["agentVersion"], first["output"]) == ("1.0.0", "one")
    with pytest.raises(Refused) as refused:
        await acme.run(agent, version="9.9.9")
    assert (refused.value.status, refused.value.code) == (404, "VERSION_NOT_FOUND")

    listed = (await acme.get(f"/v1/agents/{agent}/versions"))["versions"]
    assert [(one["version"], one["status"], one["current"]) for one in listed] == [
        ("1.0.1", "PUBLISHED", True),
        ("1.0.0", "PUBLISHED", False),
    ]


async def test_what_runs_already_keeps_its_version(acme: Rest) -> None:
    agent = await acme.publish(scripted(say("old", delayMs=800)))
    running = await acme.start(agent)
    await edit(acme, agent, "new")
    await acme.post(f"/v1/agents/{agent}/versions/draft/publish")
    assert (await acme.run(agent))["output"] == "new"
    ended = await acme.until(running["id"])
    assert (ended["agentVersion"], ended["output"]) == ("1.0.0", "old")


async def test_a_new_draft_opens_from_a_frozen_version(acme: Rest) -> None:
    agent = await acme.publish(scripted(say("one")))
    opened = await acme.post(f"/v1/agents/{agent}/versions", {"from": "1.0.0", "version": "2.0.0", "changelog": "Big."})
    assert (opened["version"], opened["status"]) == ("2.0.0", "DRAFT")
    listed = (await acme.get(f"/v1/agents/{agent}/versions"))["versions"]
    assert [(one["version"], one["status"]) for one in listed] == [("2.0.0", "DRAFT"), ("1.0.0", "PUBLISHED")]
    published = await acme.post(f"/v1/agents/{agent}/versions/2.0.0/publish")
    assert (published["version"], published["changelog"]) == ("2.0.0", "Big.")
    assert (await acme.get(f"/v1/agents/{agent}/versions/1.0.0"))["status"] == "PUBLISHED"


async def test_a_draft_runs_only_for_those_who_may_write_the_agent(people: People) -> None:
    admin = await people.founder()
    owner, colleague = await people.join(admin.organization_id), await people.join(admin.organization_id)
    agent = await owner.publish(scripted(say("published")))
    await edit(owner, agent, "draft")
    for writer in (owner, admin):
        run = await writer.run(agent, version="draft")
        assert (run["status"], run["agentVersion"], run["output"]) == ("COMPLETED", "draft", "draft")
    assert (await colleague.run(agent))["output"] == "published"
    with pytest.raises(Refused) as refused:
        await colleague.run(agent, version="draft")
    assert (refused.value.status, refused.value.code) == (404, "VERSION_NOT_FOUND")


async def test_an_agent_that_is_not_published_not_active_or_deleted_does_not_run(acme: Rest) -> None:
    agent = (await acme.post("/v1/agents", scripted(say("Hi."))))["id"]
    with pytest.raises(Refused) as refused:
        await acme.run(agent)
    assert (refused.value.status, refused.value.code) == (400, "AGENT_NOT_PUBLISHED")
    assert "publish" in refused.value.actions[0]

    await acme.post(f"/v1/agents/{agent}/versions/draft/publish")
    assert (await acme.run(agent))["status"] == "COMPLETED"
    await acme.call("PATCH", f"/v1/agents/{agent}", {"active": False})
    with pytest.raises(Refused) as refused:
        await acme.run(agent)
    assert (refused.value.status, refused.value.code) == (400, "AGENT_INACTIVE")

    await acme.call("DELETE", f"/v1/agents/{agent}")
    with pytest.raises(Refused) as refused:
        await acme.run(agent)
    assert (refused.value.status, refused.value.code) == (404, "AGENT_NOT_FOUND")


async def test_deleting_an_agent_leaves_what_runs_alone(acme: Rest) -> None:
    agent = await acme.publish(slow(1_000))
    running = await acme.start(agent)
    await acme.call("DELETE", f"/v1/agents/{agent}")
    assert (await acme.until(running["id"]))["status"] == "COMPLETED"
