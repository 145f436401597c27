"""`python -m services` as a new user meets it: embedded servers, every real room, the demo agent."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from retinue_core.testing.suite import Suite


def call(suite: Suite, path: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {suite.token}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(suite.url + path, data, headers), timeout=60) as answer:
        return json.loads(answer.read())


def demo(suite: Suite) -> dict[str, Any]:
    (agent,) = call(suite, "/v1/agents?filter=name%3Ddemo")["agents"]
    return dict(agent)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def start(home: Path) -> Iterator[Callable[[], Suite]]:
    """Start the suite on one home, as often as a test wants to."""
    started: list[Suite] = []

    def start() -> Suite:
        started.append(Suite(home))
        started[-1].start()
        return started[-1]

    yield start
    for suite in started:
        suite.stop()


def test_the_demo_agent_runs_and_everything_is_there_after_a_restart(start: Callable[[], Suite]) -> None:
    suite = start()
    agent = demo(suite)
    assert agent["currentVersion"] == "1.0.0"
    execution = call(suite, f"/v1/agents/{agent['id']}/executions", {"input": "What is 19 + 23?", "wait": "50s"})
    assert execution["status"] == "COMPLETED"
    assert "42" in execution["output"]

    children = psutil.Process(suite.pid).children(recursive=True)
    assert suite.stop() == 0
    assert psutil.wait_procs(children, 20)[1] == []

    again = start()
    assert demo(again)["id"] == agent["id"]
    assert call(again, f"/v1/executions/{execution['id']}")["output"] == execution["output"]


@pytest.mark.faults
def test_nothing_is_left_of_a_killed_suite_and_it_starts_again(start: Callable[[], Suite]) -> None:
    suite = start()
    agent = demo(suite)
    children = psutil.Process(suite.pid).children(recursive=True)
    suite.kill()
    assert psutil.wait_procs(children, 40)[1] == []
    assert demo(start())["id"] == agent["id"]


@pytest.mark.faults
def test_its_own_postgres_and_nats_come_back_after_a_crash(start: Callable[[], Suite]) -> None:
    suite = start()
    agent = demo(suite)
    for name in ("postgres", "nats-server"):
        for process in suite.processes(name):
            process.kill()
            psutil.wait_procs([process], 20)
    execution = call(suite, f"/v1/agents/{agent['id']}/executions", {"input": "What is 19 + 23?", "wait": "50s"})
    assert execution["status"] == "COMPLETED"
