"""Versions and drafts are compared as they are kept."""

from __future__ import annotations

from typing import Any

import jsonpatch
import pytest
from google.protobuf.json_format import MessageToDict

from retinue.version.v1.version_pb2 import AgentVersion, VersionComparison
from retinue_core import values
from retinue_core.errors import RetinueError
from tests.integration.agent.room import member
from tests.integration.version.room import Rooms

SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}}}
WIDER = {"type": "object", "properties": {"q": {"type": "string"}, "lang": {"type": "string"}}}
NARROWER = {**SCHEMA, "required": ["q"]}


def changes(comparison: VersionComparison) -> list[dict[str, Any]]:
    return [MessageToDict(change) for change in comparison.changes]


def spec(version: AgentVersion) -> Any:
    return MessageToDict(version.spec)


async def test_fields_text_and_patch_say_the_same(rooms: Rooms) -> None:
    who = member()
    agent = await rooms.released(who, "Add.\nBe brief.\n", input_schema=SCHEMA, max_steps=5)
    await rooms.edit(who, agent, instructions="Add.\nBe kind.\n", tools=["calculator"], input_schema=WIDER, max_steps=6)
    found = await rooms.compare(who, agent, "1.0.0", "draft")
    assert (found.from_version, found.to_version, found.differs) == ("1.0.0", "1.0.1", True)
    assert changes(found) == [
        {"path": "inputSchema.properties.lang", "kind": "ADDED", "new": {"type": "string"}},
        {
            "path": "instructions",
            "kind": "CHANGED",
            "old": "Add.\nBe brief.\n",
            "new": "Add.\nBe kind.\n",
        },
        {"path": "maxSteps", "kind": "CHANGED", "old": 5.0, "new": 6.0},
        {"path": "tools", "kind": "ADDED", "new": ["calculator"]},
    ]
    assert found.instructions_diff == ("--- 1.0.0\n+++ 1.0.1\n@@ -1,2 +1,2 @@\n Add.\n-Be brief.\n+Be kind.\n")
    old, new = await rooms.version(who, agent, "1.0.0"), await rooms.version(who, agent, "draft")
    operations = [values.struct_to_python(operation) for operation in found.json_patch]
    assert jsonpatch.apply_patch(spec(old), operations) == spec(new)
    assert (found.bump, found.proposed_version) == (VersionComparison.MINOR, "1.1.0")
    assert [(reason.path, reason.bump) for reason in found.reasons] == [
        ("inputSchema", VersionComparison.MINOR),
        ("tools", VersionComparison.MINOR),
        ("instructions", VersionComparison.PATCH),
        ("maxSteps", VersionComparison.PATCH),
    ]


async def test_the_number_is_proposed_above_the_highest(rooms: Rooms) -> None:
    who = member()
    agent = await rooms.released(who, "one", "two", input_schema=SCHEMA)
    assert (await rooms.compare(who, agent, "1.0.0", "1.0.1")).proposed_version == "1.0.2"
    await rooms.edit(who, agent, input_schema=NARROWER)
    found = await rooms.compare(who, agent, "1.0.0", "draft")
    assert (found.bump, found.proposed_version) == (VersionComparison.MAJOR, "2.0.0")
    assert found.reasons[0].path == "inputSchema.required"
    back = await rooms.compare(who, agent, "draft", "1.0.0")
    assert back.bump == VersionComparison.MINOR
    await rooms.act(who, "archive", agent, "1.0.0")
    assert (await rooms.compare(who, agent, "1.0.0", "1.0.1")).differs


async def test_a_version_does_not_differ_from_itself(rooms: Rooms) -> None:
    who = member()
    agent = await rooms.create(who, instructions="one")
    for number in ("draft", "1.0.0"):
        found = await rooms.compare(who, agent.id, number, "draft")
        assert found == VersionComparison(from_version="1.0.0", to_version="1.0.0", bump=VersionComparison.NONE)


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("", "1.0.0", "INVALID_ARGUMENT"),
        ("1.0.0", "", "INVALID_ARGUMENT"),
        ("1.0.0", "9.9.9", "VERSION_NOT_FOUND"),
        ("latest", "1.0.0", "VERSION_NOT_FOUND"),
        ("1.0.0", "\0", "VERSION_NOT_FOUND"),
        ("x" * 5_000, "1.0.0", "VERSION_NOT_FOUND"),
        ("1.0.0", "draft", "VERSION_NOT_FOUND"),
    ],
)
async def test_what_is_not_there_is_not_compared(rooms: Rooms, old: str, new: str, code: str) -> None:
    who = member()
    agent = await rooms.released(who, "one")
    with pytest.raises(RetinueError) as refused:
        await rooms.compare(who, agent, old, new)
    assert refused.value.code == code
    assert refused.value.actions or refused.value.problems


async def test_the_largest_agents_are_compared(rooms: Rooms) -> None:
    who = member()
    turns = [{"text": "x" * 400} for _ in range(1_000)]
    agent = await rooms.released(
        who, "\n".join(f"line {at}" for at in range(9_000)), model_settings={"script": [[turn] for turn in turns]}
    )
    await rooms.edit(
        who,
        agent,
        instructions="\n".join(f"line {at if at % 2 else -at}" for at in range(9_000)),
        model_settings={"script": [[turn] for turn in reversed(turns)][:999]},
    )
    found = await rooms.compare(who, agent, "1.0.0", "draft")
    assert {change.path for change in found.changes} == {"instructions", "modelSettings.script[999]"}
    assert found.bump == VersionComparison.PATCH
