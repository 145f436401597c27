"""The command line against the suite: what people type, what they see, and the status it ends with."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from retinue_core.testing.suite import Suite
from tests.clients.terminal import COMMAND, Ran, Shell

ANSWER = [[{"text": '{"answer": "forty-two"}'}]]
SUM: list[list[Any]] = [
    [{"text": "Let me see."}, {"toolUse": {"name": "calculator", "input": {"expression": "19 + 23"}}}],
    [{"text": '{"answer": "{{tool.output}}"}'}],
]
NOBODY = "01890000-0000-7000-8000-000000000000"


@pytest.fixture
def empty(tmp_path: Path) -> Shell:
    """A shell of somebody who has never heard of a suite."""
    inherited = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    folder = tmp_path / "checkout"
    folder.mkdir()
    return Shell(folder, inherited | {"HOME": str(tmp_path), "NO_COLOR": "1", "PYTHONWARNINGS": "error"})


@pytest.fixture
def shell(empty: Shell, suite: Suite) -> Shell:
    """A shell in a checkout where `make run` runs."""
    (empty.folder / ".retinue").symlink_to(suite.home, target_is_directory=True)
    return empty


def unique() -> str:
    return f"cli-{uuid.uuid4().hex[:10]}"


def write(shell: Shell, *agents: dict[str, Any]) -> str:
    """Write agents to a file; returns its name."""
    path = shell.folder / "agents.yaml"
    with path.open("w") as file:
        YAML(typ="safe", pure=True).dump_all(agents, file)
    return path.name


def applied(shell: Shell, script: list[Any] | None = None, **fields: Any) -> str:
    """Create and publish an agent; returns its name."""
    name = fields.setdefault("name", unique())
    fields.setdefault("model", "scripted")
    if script is not None:
        fields["modelSettings"] = {"script": script}
    file = write(shell, fields)
    ok(shell.run("apply", "-f", file, "--publish"))
    return str(name)


def ok(ran: Ran) -> str:
    assert ran.status == 0, ran
    return ran.out


def told(ran: Ran) -> Any:
    return json.loads(ok(ran))


def test_in_a_checkout_where_the_suite_runs_it_just_works(shell: Shell) -> None:
    lines = ok(shell.run("get", "agents", "--filter", "name=demo")).splitlines()
    assert lines[0].split() == ["NAME", "MODEL", "VERSION", "DRAFT", "STATE", "UPDATED", "ID"]
    assert lines[1].split()[:3] == ["demo", "scripted", "1.0.0"]
    assert "admin" in ok(shell.run("whoami"))


def test_applying_creates_changes_and_then_leaves_alone(shell: Shell) -> None:
    one, two = unique(), unique()
    agents: list[dict[str, Any]] = [
        {"name": one, "model": "scripted", "signature": "a: int -> b", "instructions": "First.\nSecond.\nThird.\n"},
        {"name": two, "model": "scripted", "timeout": "30s"},
    ]
    file = write(shell, *agents)
    dry = ok(shell.run("apply", "-f", file, "--dry-run"))
    assert f"{one}: created (dry run)" in dry
    assert "+ model: scripted" in dry
    assert shell.run("describe", "agent", one).status == 1
    assert f"{two}: created" in ok(shell.run("apply", "-f", file))
    assert [line for line in ok(shell.run("apply", "-f", file)).splitlines() if "unchanged" in line] == [
        f"{one}: unchanged",
        f"{two}: unchanged",
    ]
    agents[0]["instructions"] = "First.\n2nd.\nThird.\n"
    agents[1]["timeout"] = 40
    changed = ok(shell.run("apply", "-f", write(shell, *agents), "--publish", "-m", "Better."))
    assert f"{one}: changed\n    instructions:\n      First.\n  -   Second.\n  +   2nd.\n      Third.\n" in changed
    assert "  - timeout: 30s\n  + timeout: 40s\n" in changed
    assert f"{one}: published 1.0.0" in changed
    [version] = told(shell.run("get", "versions", one, "-o", "json"))
    assert (version["status"], version["changelog"]) == ("PUBLISHED", "Better.")


def test_what_is_read_can_be_applied_again(shell: Shell) -> None:
    name = applied(shell, ANSWER, signature="q: str -> answer: str", tags=["a"], timeout="12s")
    written = ok(shell.run("describe", "agent", name, "-o", "yaml"))
    assert "unchanged" in ok(shell.run("apply", "-f", "-", told=written))


def test_applying_tells_programs_what_it_did(shell: Shell) -> None:
    name = unique()
    file = write(shell, {"name": name, "model": "scripted"})
    [outcome] = told(shell.run("apply", "-f", file, "--publish", "-o", "json"))
    assert (outcome["action"], outcome["publishedVersion"]) == ("created", "1.0.0")
    assert set(outcome["fields"]) == {"name", "model"}


def test_a_file_with_faults_changes_nothing(shell: Shell) -> None:
    good, bad = unique(), unique()
    file = write(shell, {"name": good, "model": "scripted"}, {"name": bad, "model": "scripted", "tools": ["hammer"]})
    ran = shell.run("apply", "-f", file)
    assert (ran.status, ran.out) == (2, "")
    assert "agents.yaml, document 2: tools[0]" in ran.err
    assert shell.run("describe", "agent", good).status == 1
    ran = shell.run("apply", "-f", write(shell, {"name": good, "modle": "x"}))
    assert ran.status == 2
    assert "did you mean model?" in ran.err


def test_an_answer_goes_to_standard_output_and_the_rest_elsewhere(shell: Shell) -> None:
    name = applied(shell, SUM, tools=["calculator"], signature="q: str, n?: int -> answer: str")
    ran = shell.run("run", name, "-i", "q=What?", "-i", "n=3")
    assert json.loads(ok(ran)) == {"answer": "42"}
    assert '✓ 2 calculator {"expression": "19 + 23"} → 42' in ran.err
    execution = told(shell.run("run", name, "--input", '{"q": "?"}', "-q", "-o", "json"))
    assert (execution["status"], execution["input"]) == ("COMPLETED", {"q": "?"})
    assert told(shell.run("run", name, "--input", "-", "-q", told='{"q": "?"}')) == {"answer": "42"}


def test_an_execution_is_followed_by_its_id(shell: Shell) -> None:
    name = applied(shell, SUM, tools=["calculator"])
    execution = ok(shell.run("run", name, "--detach")).strip()
    watched = shell.run("watch", execution)
    assert json.loads(ok(watched)) == {"answer": "42"}
    assert "✓ 3 scripted" in watched.err
    followed, read = shell.run("logs", "-f", execution), shell.run("logs", execution)
    assert ok(followed) == ok(read)
    assert "INFO  Calling calculator." in read.out
    lines = [json.loads(line) for line in ok(shell.run("logs", execution, "-o", "json")).splitlines()]
    assert [line["sequence"] for line in lines] == list(range(1, len(lines) + 1))
    assert [step["action"] for step in told(shell.run("steps", execution, "-o", "json"))] == [
        "scripted",
        "calculator",
        "scripted",
    ]
    shown = ok(shell.run("describe", "execution", execution))
    assert "2 model calls, 1 tool calls" in shown
    listed = ok(shell.run("get", "executions", "-a", name)).splitlines()
    assert (len(listed), listed[1].split()[:3]) == (2, [name, "1.0.0", "COMPLETED"])


def test_a_slow_execution_is_cancelled(shell: Shell) -> None:
    name = applied(shell, [[{"text": "Slow."}, {"delayMs": 60_000}]])
    execution = ok(shell.run("run", name, "-d")).strip()
    assert ok(shell.run("cancel", execution, "-m", "Enough.")) == f"{execution}: cancelled\n"
    ran = shell.run("watch", execution, "-q")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith("error: Enough. [EXECUTION_CANCELLED]")


def test_agents_are_named_by_name_or_id_and_deleted_only_when_that_is_meant(shell: Shell) -> None:
    name = applied(shell)
    agent = told(shell.run("describe", "agent", name, "-o", "json"))
    assert told(shell.run("describe", "agent", agent["id"], "-o", "json")) == agent
    asked = shell.run("delete", "agent", name)
    assert (asked.status, "pass --yes" in asked.err) == (2, True)
    assert ok(shell.run("delete", "agent", name, "--yes")) == f"{name}: deleted\n"
    assert shell.run("describe", "agent", name).status == 1


def test_tokens_are_made_used_and_revoked(shell: Shell, suite: Suite) -> None:
    made = shell.run("tokens", "create", "reader", "--scope", "agents:read", "--expires", "1h")
    secret = ok(made).strip()
    own = {"RETINUE_HOME": str(suite.home), "RETINUE_TOKEN": secret}
    assert told(shell.run("whoami", "-o", "json", **own))["scopes"] == ["agents:read"]
    refused = shell.run("run", "demo", **own)
    assert (refused.status, "INSUFFICIENT_PERMISSIONS" in refused.err) == (1, True)
    token = made.err.split(":")[0]
    ok(shell.run("tokens", "revoke", token))
    [listed] = [one for one in told(shell.run("tokens", "list", "-o", "json")) if one["id"] == token]
    assert "revokedAt" in listed


def test_use_is_shown(shell: Shell) -> None:
    lines = ok(shell.run("usage", "--since", "7d", "--by", "agent")).splitlines()
    assert lines[0].split()[:2] == ["AGENT", "EXECUTIONS"]
    assert lines[-1].startswith("total")
    assert told(shell.run("usage", "-o", "json"))["total"]["executions"] >= 0


def test_login_keeps_a_profile_that_only_its_owner_can_read(shell: Shell, suite: Suite, tmp_path: Path) -> None:
    elsewhere = Shell(tmp_path, shell.environment)
    assert elsewhere.run("whoami").status == 3
    rooms = ("access", "agent", "version", "quota", "execution")
    addresses = [word for room in rooms for word in ("--address", f"{room}={suite.address(room)}")]
    wrong = elsewhere.run("login", *addresses, told="rtn_wrong\n")
    assert wrong.status == 3
    assert elsewhere.run("whoami").status == 3
    right = elsewhere.run("login", *addresses, "--name", "local", told=f"{suite.token}\n")
    assert ok(right).startswith("logged in as admin@localhost")
    path = tmp_path / ".config" / "retinue" / "local.env"
    assert path.stat().st_mode & 0o777 == 0o600
    assert suite.token not in right.out + right.err
    assert "local.env" in ok(elsewhere.run("--profile", "local", "whoami"))
    assert "local.env" in ok(elsewhere.run("whoami", RETINUE_PROFILE="local"))


REFUSED: dict[str, tuple[list[str], int, str]] = {
    "no such agent": (["run", "nobody"], 1, "AGENT_NOT_FOUND"),
    "no such id": (["describe", "agent", NOBODY], 1, "AGENT_NOT_FOUND"),
    "no such execution": (["watch", NOBODY], 1, "EXECUTION_NOT_FOUND"),
    "not an id": (["steps", "x/y"], 1, "EXECUTION_NOT_FOUND"),
    "no such version": (["describe", "version", "demo", "9.9.9"], 1, "VERSION_NOT_FOUND"),
    "no such command": (["fly"], 2, "No such command"),
    "no such option": (["run", "demo", "--fly"], 2, "No such option"),
    "nothing to run": (["run"], 2, "Missing argument 'AGENT'"),
    "no such form": (["get", "agents", "-o", "xml"], 2, "Invalid value for '--output'"),
    "no such file": (["apply", "-f", "nowhere.yaml"], 2, "No such file"),
    "input that is no JSON": (["run", "demo", "--input", "{"], 2, "INVALID_INPUT"),
    "filter that is none": (["get", "agents", "--filter", "x=1"], 2, "INVALID_FILTER"),
    "state that is none": (["get", "executions", "--status", "asleep"], 2, "INVALID_FILTER"),
    "level that is none": (["logs", NOBODY, "--level", "LOUD"], 2, "must be one of DEBUG"),
    "time that is none": (["usage", "--since", "ever"], 2, "not a length of time"),
    "group that is none": (["usage", "--by", "weather"], 2, "must be one of AGENT"),
    "service that is none": (["login", "--address", "x=h:1"], 2, "there is no service 'x'"),
    "address that is none": (["login", "--address", "nowhere"], 2, "is not an address"),
    "profile that is none": (["--profile", "nobody", "whoami"], 3, "NOT_CONFIGURED"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_goes_wrong_is_one_line_and_a_status(shell: Shell, what: str) -> None:
    arguments, status, reason = REFUSED[what]
    ran = shell.run(*arguments)
    assert (ran.status, ran.out) == (status, "")
    first, *more = ran.err.splitlines()
    assert first.startswith("error: ")
    assert reason in first
    assert all(line.startswith("  ") for line in more)


def test_who_is_not_let_in_and_what_is_not_there_have_statuses_of_their_own(empty: Shell, suite: Suite) -> None:
    nothing = empty.run("get", "agents")
    assert (nothing.status, "make run" in nothing.err) == (3, True)
    stranger = empty.run("get", "agents", RETINUE_HOME=str(suite.home), RETINUE_TOKEN="rtn_" + "x" * 43)
    assert (stranger.status, "retinue login" in stranger.err) == (3, True)
    gone = empty.run("get", "agents", RETINUE_ADDR="127.0.0.1:1", RETINUE_TOKEN="rtn_x")
    assert (gone.status, "127.0.0.1:1 does not answer" in gone.err) == (4, True)


def test_the_command_says_what_it_can_do(empty: Shell) -> None:
    assert "apply" in ok(empty.run())
    assert ok(empty.run("--version")).startswith("retinue ")
    assert "--publish" in ok(empty.run("apply", "--help"))
    asked = {"_RETINUE_COMPLETE": "complete_bash", "COMP_WORDS": "retinue wh", "COMP_CWORD": "1"}
    completion = empty.run(**asked)
    assert completion.out.split() == ["whoami"]


def test_a_reader_that_has_seen_enough_is_no_error(shell: Shell) -> None:
    process = subprocess.Popen(
        [COMMAND, "get", "agents", "-o", "json"],
        cwd=shell.folder,
        env=dict(shell.environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    process.wait(60)


def test_a_terminal_shows_the_work_while_it_goes_on(shell: Shell) -> None:
    script = [[*SUM[0], {"delayMs": 300}], [{"text": '{"answer": "{{tool.output}}"}', "delayMs": 2_000}]]
    name = applied(shell, script, tools=["calculator"])
    with shell.terminal("run", name) as terminal:
        working = terminal.until('{"answer": ')
        assert '✓ 2 calculator {"expression": "19 + 23"} → 42' in working
        assert "RUNNING  2 steps" in working
        assert terminal.end() == 0
        assert "COMPLETED  3 steps" in terminal.text
        assert terminal.text.endswith('{"answer": "42"}')
        assert b"\x1b[" in terminal.raw


def test_interrupting_a_run_cancels_it(shell: Shell) -> None:
    name = applied(shell, [[{"text": "Slow, and slower."}, {"delayMs": 60_000}]])
    with shell.terminal("run", name) as terminal:
        terminal.until("RUNNING")
        terminal.interrupt()
        assert terminal.end() == 130
        assert "Traceback" not in terminal.text
        assert "cancelled" in terminal.text
    [execution] = told(shell.run("get", "executions", "-a", name, "-o", "json"))
    assert (execution["status"], execution["error"]["message"]) == ("CANCELLED", "Its caller interrupted it.")


def test_interrupting_a_watch_lets_the_execution_be(shell: Shell) -> None:
    name = applied(shell, [[{"text": "Slow, and slower."}, {"delayMs": 60_000}]])
    execution = ok(shell.run("run", name, "-d")).strip()
    with shell.terminal("watch", execution) as terminal:
        terminal.until("RUNNING")
        terminal.interrupt()
        assert terminal.end() == 130
    assert told(shell.run("describe", "execution", execution, "-o", "json"))["status"] == "RUNNING"
    ok(shell.run("cancel", execution))


def test_a_terminal_asks_before_it_deletes_and_hides_a_token(shell: Shell, suite: Suite) -> None:
    name = applied(shell)
    with shell.terminal("delete", "agent", name) as terminal:
        terminal.until("Delete the agent")
        terminal.type("n\n")
        assert terminal.end() != 0
    ok(shell.run("describe", "agent", name))
    with shell.terminal("login") as terminal:
        terminal.until("API token:")
        terminal.type(f"{suite.token}\n")
        assert terminal.end() == 0
        assert "logged in as admin@localhost" in terminal.text
        assert suite.token.encode() not in terminal.raw
