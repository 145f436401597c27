"""The parts of the command that need no suite: files, inputs, differences, text, views and failures."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import typer

from retinue.agent.v1 import agent_pb2
from retinue_client import models
from retinue_client.agents import Agent
from retinue_client.cli import failures, text
from retinue_client.cli.differing import changes, lines
from retinue_client.cli.inputs import read_input
from retinue_client.cli.manifests import read_manifests
from retinue_client.cli.output import as_json, write_yaml
from retinue_client.cli.view import View, added, said
from retinue_client.errors import InvalidArgumentError, Kind, Problem, RetinueError
from retinue_client.reading import read
from retinue_client.signatures import signature
from retinue_client.writing import definition

SCHEMA = signature(
    'question: str, count?: int, kind: Literal["a", "b"], size: Literal[1, 2], on: bool -> a'
).input_schema


def agent(**fields: Any) -> Agent:
    return read(Agent, definition(fields).message, _client=None)


def test_members_of_an_input_are_typed_by_the_schema() -> None:
    typed = ["question=3", "count=3", "kind=a", "size=2", "on=true", 'more:={"x": [1]}', "free=3", "equal=a=b"]
    assert read_input("", typed, SCHEMA) == {
        "question": "3",
        "count": 3,
        "kind": "a",
        "size": 2,
        "on": True,
        "more": {"x": [1]},
        "free": "3",
        "equal": "a=b",
    }
    assert read_input("", [], SCHEMA) is None


def test_a_whole_input_is_json_or_a_file(tmp_path: Path) -> None:
    path = tmp_path / "input.json"
    path.write_text("[1]")
    assert read_input('"text"', [], None) == "text"
    assert read_input(f"@{path}", [], None) == [1]


@pytest.mark.parametrize(
    ("whole", "members", "reason"),
    [
        ("{", [], "--input is not JSON: Expecting property name"),
        ("text", [], "texts stand in double quotes"),
        ("@/nowhere/at/all", [], "cannot be read"),
        ("1", ["a=1"], "not both"),
        ("", ["a"], "takes name=value"),
        ("", ["=1"], "takes name=value"),
        ("", ["count=many"], "-i count takes integer or null as JSON, not 'many'"),
        ("", ["x:=many"], "-i x is not JSON"),
    ],
)
def test_an_input_that_cannot_be_read_is_refused(whole: str, members: list[str], reason: str) -> None:
    with pytest.raises(InvalidArgumentError, match="The input cannot be used") as raised:
        read_input(whole, members, SCHEMA)
    assert reason in raised.value.message


def manifests(tmp_path: Path, content: str) -> list[str]:
    path = tmp_path / "agents.yaml"
    path.write_text(content)
    return [manifest.name for manifest in read_manifests([str(path)])]


@pytest.mark.parametrize(
    "content",
    [
        "name: a\n---\nname: b",
        "agents: [{name: a}, {name: b}]",
        "- name: a\n- name: b",
        '[{"name": "a"}, {"name": "b"}]',
    ],
)
def test_a_file_holds_one_or_many(tmp_path: Path, content: str) -> None:
    assert manifests(tmp_path, content) == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "place", "reason"),
    [
        ("", "agents.yaml", "holds no agent"),
        ("name: a\nname: b", "line 2, column 1", "duplicate key"),
        ("name: [", "line 1, column 8", "expected"),
        ("name: a\n---\n- x", "document 2, agent 1", "an agent is a mapping"),
        ("model: x", "agents.yaml", "needs a `name`"),
        ("name: 3", "agents.yaml", "needs a `name`"),
        ("name: a\n---\nname: A", "document 2", "describes an agent 'A' too"),
        ("name: !!python/object:os.system x", "line 1", "constructor"),
        ("\x00", "agents.yaml", "special characters are not allowed"),
    ],
)
def test_a_file_that_describes_no_agents_is_refused_with_its_place(
    tmp_path: Path, content: str, place: str, reason: str
) -> None:
    with pytest.raises(InvalidArgumentError) as raised:
        manifests(tmp_path, content)
    assert raised.value.code == "INVALID_FILE"
    assert place in raised.value.message
    assert reason in raised.value.message


def test_no_stays_a_text_and_days_become_texts(tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text("name: n\nmetadata: {country: no, since: 2026-01-02}\n")
    [manifest] = read_manifests([str(path)])
    assert agent(**manifest.fields).metadata == {"country": "no", "since": "2026-01-02"}


def test_only_what_is_mentioned_and_different_is_a_change() -> None:
    before = agent(name="n", model="scripted", description="old", max_steps=5, tools=["http"], tags=["a"], timeout=30)
    after = definition({"model": " scripted ", "description": "new", "tags": ["a", "a"], "tools": [], "timeout": "30s"})
    found = changes(before, read(Agent, after.message, _client=None), after.paths)
    assert [(change.field, change.before, change.after) for change in found] == [
        ("description", "old", "new"),
        ("tools", ["http"], None),
    ]


def test_a_change_of_many_lines_shows_only_those_around_it() -> None:
    text = "\n".join(f"line {number}" for number in range(9))
    before, after = agent(instructions=text), agent(instructions=text.replace("line 4", "line four"))
    [change] = changes(before, after, ("instructions",))
    assert list(lines(change)) == [
        "  instructions:",
        *("    line 2", "    line 3", "-   line 4", "+   line four", "    line 5", "    line 6"),
    ]


def test_a_short_change_is_one_line_each() -> None:
    [change] = changes(agent(timeout=30, metadata=None), agent(timeout=1.5, metadata=None), ("timeout", "metadata"))
    assert list(lines(change)) == ["- timeout: 30s", "+ timeout: 1.5s"]


def test_what_others_wrote_cannot_steer_a_terminal() -> None:
    assert text.clean("a\x1b[2Jb\x9b1mc\u202ed\ne\tf") == "a�[2Jb�1mc�d\ne\tf"
    assert text.line("a\n  b\tc", 4) == "a b…"
    assert "\x9b" not in as_json({"a": "\x9b\x1b"})
    assert json.loads(as_json({"a": "\x9b\x1b"})) == {"a": "\x9b\x1b"}


def test_yaml_writes_lines_as_blocks() -> None:
    written = io.StringIO()
    write_yaml({"name": "n", "instructions": "one\ntwo\n", "country": "no"}, written)
    assert written.getvalue() == "country: no\ninstructions: |\n  one\n  two\nname: n\n"


@pytest.mark.parametrize(
    ("seconds", "shown"), [(None, ""), (0.04, "0.0s"), (12.34, "12.3s"), (61, "1m"), (7200, "2h"), (200_000, "2d")]
)
def test_lengths_are_short(seconds: float | None, shown: str) -> None:
    assert text.length(seconds) == shown


STATUSES = {
    Kind.INVALID_ARGUMENT: 2,
    Kind.UNAUTHENTICATED: 3,
    Kind.UNAVAILABLE: 4,
    Kind.DEADLINE_EXCEEDED: 4,
    Kind.NOT_FOUND: 1,
    Kind.PERMISSION_DENIED: 1,
    Kind.INTERNAL: 1,
}


@pytest.mark.parametrize("kind", STATUSES)
def test_every_kind_of_failure_has_a_status_and_one_line(kind: Kind) -> None:
    error = RetinueError(kind, "CODE", "It \x1b[2J failed.", problems=(Problem("f", "wrong"),), actions=("Mend it.",))
    stderr = io.StringIO()
    assert failures.told(error, stderr) == STATUSES[kind]
    first, second, third, *more = stderr.getvalue().splitlines()
    assert (first, second, third) == ("error: It �[2J failed. [CODE]", "  f: wrong", "  try: Mend it.")
    assert bool(more) is (kind is Kind.UNAUTHENTICATED)


@pytest.mark.parametrize(
    ("error", "status", "shown"),
    [
        (typer.BadParameter("no\nnumber"), 2, "error: Invalid value: no number\n  try: retinue --help\n"),
        (typer.Abort(), 130, "interrupted\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "no"), 2, "error: an argument is not text in UTF-8\n"),
        (ZeroDivisionError("by\nzero"), 1, "error: a fault of this program: ZeroDivisionError: by zero\n"),
    ],
)
def test_whatever_happens_is_said_without_a_trace(error: BaseException, status: int, shown: str) -> None:
    stderr = io.StringIO()
    assert failures.told(error, stderr) == status
    assert stderr.getvalue().startswith(shown)
    assert "Traceback" not in stderr.getvalue()


def step(number: int, **more: Any) -> models.Step:
    fields: dict[str, Any] = {
        "number": number,
        "kind": "TOOL",
        "status": "COMPLETED",
        "action": "calculator",
        "reasoning": "",
        "input": {"expression": "1"},
        "output": 42,
        "error": None,
        "usage": models.Usage(),
        "duration": 0.25,
        "started_at": None,
        "completed_at": None,
        "sequence": number,
        "call_id": "",
    }
    return models.Step(**fields | more)


def event(name: str, **more: Any) -> models.Event:
    return models.Event(sequence=1, event=name, kind=more.pop("kind", ""), execution_id="e", time=None, **more)


def test_a_view_knows_what_was_done_and_what_is_being_said() -> None:
    view = View("demo")
    usage = models.Usage(input_tokens=100, output_tokens=20, cost_micros=1500)
    view.take(event("chunk", chunk=models.Chunk(step=1, text="I ", thinking="hm")))
    view.take(event("chunk", chunk=models.Chunk(step=1, text="think", thinking="")))
    assert (view.saying, view.thinking, view.status) == ("I think", "hm", "RUNNING")
    view.take(event("step", step=step(1, kind="MODEL", output="I think", usage=usage)))
    view.take(event("tool", step=step(2, status="RUNNING")))
    view.take(event("tool", step=step(2)))
    assert (view.saying, len(view.steps), view.steps[2].status) == ("", 2, "COMPLETED")
    assert view.summary(2.0) == "RUNNING  2 steps  120 tokens  $0.0015  2.0s"
    lost = models.LogEntry(sequence=1, level="WARN", message="Its worker was lost.", metadata=None, time=None)
    view.take(event("log", kind="execution.recovered", log=lost))
    assert (view.status, view.note) == ("PENDING", "Its worker was lost.")


@pytest.mark.parametrize(
    ("more", "shown"),
    [
        ({}, '✓ 7 calculator {"expression": "1"} → 42  0.2s'),
        ({"status": "RUNNING"}, '… 7 calculator {"expression": "1"}'),
        (
            {"status": "FAILED", "error": models.Failure(code="NO", message="It\x1b broke.")},
            '✗ 7 calculator {"expression": "1"}  It� broke. [NO]  0.2s',
        ),
        (
            {"kind": "MODEL", "action": "scripted", "output": "Hello\nthere", "input": None},
            "✓ 7 scripted  Hello there  (0 → 0 tokens)  0.2s",
        ),
    ],
)
def test_a_step_is_one_line(more: dict[str, Any], shown: str) -> None:
    assert said(step(7, **more)) == shown
    assert added(event("tool", step=step(7, **more))) == shown


def test_agents_of_this_test_are_whole() -> None:
    assert {field.name for field in agent_pb2.Agent.DESCRIPTOR.fields} == set(Agent.__dataclass_fields__) - {"_client"}
