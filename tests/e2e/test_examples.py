"""The examples and the snippets of the documentation, run as their readers run them."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from retinue_core.ports import free_ports
from retinue_core.testing.suite import Suite
from tests.clients.terminal import Ran
from tests.fakes.anthropic import MessagesApi, Say, text, tool_use
from tests.fakes.web import serving

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
SNIPPETS = re.findall(
    r"^```(python|sh)\n(.*?)^```$", (ROOT / "docs" / "client.md").read_text(), re.DOTALL | re.MULTILINE
)


def environment(suite: Suite, home: Path, **more: str) -> dict[str, str]:
    """What somebody has who uses a suite and nothing else."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(home), "RETINUE_HOME": str(suite.home), "PYTHONWARNINGS": "error", **more}


async def run(suite: Suite, home: Path, *command: str, **more: str) -> Ran:
    process = await asyncio.create_subprocess_exec(
        *command, env=environment(suite, home, **more), cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return Ran(process.returncode or 0, out.decode(), err.decode())


async def example(suite: Suite, home: Path, name: str, *arguments: str, **more: str) -> Ran:
    return await run(suite, home, sys.executable, str(EXAMPLES / name), *arguments, **more)


@pytest.mark.parametrize(("language", "snippet"), SNIPPETS, ids=range(len(SNIPPETS)))
async def test_a_snippet_of_the_documentation_runs(suite: Suite, tmp_path: Path, language: str, snippet: str) -> None:
    command = (sys.executable, "-c") if language == "python" else ("sh", "-euc")
    ran = await run(suite, tmp_path, *command, snippet)
    assert ran.status == 0, ran


def test_the_documentation_shows_the_client_and_the_command() -> None:
    assert sorted(language for language, _ in SNIPPETS) == ["python"] * 4 + ["sh"]


async def test_the_quickstart_runs_again_and_again(suite: Suite, tmp_path: Path) -> None:
    first = await example(suite, tmp_path, "quickstart.py")
    assert first.status == 0, first
    assert "runs on the scripted model" in first.out
    assert "What is (19 + 23) * 2? (19 + 23) * 2 is 84. (as a number: 84)" in first.out
    assert "7 execution.completed" in first.out
    again = await example(suite, tmp_path, "quickstart.py")
    assert (again.status, "Published" in again.out) == (0, False)


async def test_without_a_suite_an_example_says_what_to_do(tmp_path: Path) -> None:
    nowhere = Suite(tmp_path / "nowhere")
    ran = await example(nowhere, tmp_path, "quickstart.py")
    assert (ran.status, ran.err.count("\n")) == (1, 1)
    assert "make run" in ran.err


async def test_the_data_example_says_when_the_operator_has_to_allow_it(suite: Suite, tmp_path: Path) -> None:
    [port] = free_ports(1)
    ran = await example(suite, tmp_path, "data_processing.py", "--port", str(port))
    assert ran.status == 1
    assert f"Start it with RETINUE_EGRESS_ALLOW=127.0.0.1:{port} make run" in ran.err


def figures() -> tuple[list[float], str]:
    """The amounts of the example's table, and what the example prints about them."""
    with (EXAMPLES / "sales.csv").open() as file:
        amounts = [float(row["amount"]) for row in csv.DictReader(file)]
    total, middle = round(sum(amounts), 2), round(mean(amounts), 2)
    return amounts, f"rows {len(amounts)}, total {total:g}, mean {middle:g}, largest {max(amounts):g}"


def on_claude(url: str) -> list[Say]:
    """What Claude says to the data agent."""
    amounts, _ = figures()
    rows = {"rows": [{"amount": amount} for amount in amounts]}
    answer: dict[str, Any] = {"rows": len(amounts), "total": sum(amounts), "mean": mean(amounts)}
    answer |= {"largest": max(amounts), "summary": "Claude has read the table."}
    return [
        Say([text("I read it."), tool_use("t1", "http", {"url": url})], "tool_use"),
        Say([tool_use("t2", "calculator", {"expression": "sum(rows.amount)", "variables": rows})], "tool_use"),
        Say([text(json.dumps(answer))]),
    ]


async def test_the_data_example_computes_from_a_real_table_on_both_models(
    start_suite: Callable[..., Suite], tmp_path: Path
) -> None:
    [port] = free_ports(1)
    async with serving() as web:
        claude = MessagesApi(web)
        claude.behaviours = list(on_claude(f"http://127.0.0.1:{port}/sales.csv"))
        own = await asyncio.to_thread(
            start_suite,
            RETINUE_EGRESS_ALLOW=f"127.0.0.1:{port}",
            ANTHROPIC_API_KEY="sk-test",
            ANTHROPIC_BASE_URL=claude.url,
        )
        scripted = await example(own, tmp_path, "data_processing.py", "--port", str(port))
        assert scripted.status == 0, scripted
        assert "runs on the scripted model" in scripted.out
        assert figures()[1] in scripted.out
        assert claude.requests == []

        ran = await example(own, tmp_path, "data_processing.py", "--port", str(port), ANTHROPIC_API_KEY="sk-test")
        assert ran.status == 0, ran
        assert "The agent runs on Claude." in ran.out
        assert "Claude has read the table." in ran.out
        assert len(claude.requests) == 3
        assert "2026-01-03" in json.dumps(claude.requests[1]["messages"])
