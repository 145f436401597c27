"""An agent that reads a real CSV over HTTP, computes with tools and answers in a declared schema.

This program serves `sales.csv` on loopback itself. Agents may not reach loopback unless the operator says so, so start
the suite with

    RETINUE_EGRESS_ALLOW=127.0.0.1:8765 make run

and run `.venv/bin/python examples/data_processing.py` beside it. Without ANTHROPIC_API_KEY the agent follows the script
in data_processing.yaml; with it (where the suite was started, too) the same agent runs on Claude.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from retinue_client import ExecutionFailedError, Result, RetinueError
from retinue_client.sync import Agent, Retinue

HERE = Path(__file__).parent


class Handler(SimpleHTTPRequestHandler):
    """Serves files, and says nothing about it."""

    def log_message(self, *_: object) -> None:
        """Write no log."""


@contextmanager
def served(folder: Path, port: int) -> Iterator[str]:
    """Serve a folder on loopback, and give its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", port), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def definition() -> dict[str, Any]:
    """The agent of data_processing.yaml, on Claude where there is a key."""
    fields: dict[str, Any] = YAML(typ="safe").load(HERE / "data_processing.yaml")
    if os.environ.get("ANTHROPIC_API_KEY"):
        print("The agent runs on Claude.")
        return {**fields, "model": "balanced", "modelSettings": None}
    print("The agent runs on the scripted model: it follows the script in data_processing.yaml.")
    return fields


def explain_refusal(client: Retinue, error: ExecutionFailedError, port: int) -> None:
    """Say so if the agent failed because it may not reach this program."""
    steps = client.executions.steps(error.execution)
    if any(step.error is not None and step.error.code == "EGRESS_REFUSED" for step in steps):
        sys.exit(
            f"The suite does not let its agents reach 127.0.0.1:{port}, where this example serves its CSV.\n"
            f"Start it with RETINUE_EGRESS_ALLOW=127.0.0.1:{port} make run, and run this again."
        )


def run(client: Retinue, agent: Agent, url: str, port: int) -> Result:
    """Have the agent work on a table."""
    try:
        return agent.execute(url=url)
    except ExecutionFailedError as error:
        explain_refusal(client, error, port)
        raise


def main() -> None:
    """Run the example against the suite of the environment."""
    parser = argparse.ArgumentParser(description="Have an agent sum up a CSV that this program serves.")
    parser.add_argument("--port", type=int, default=8765, help="port to serve the CSV on")
    port = parser.parse_args().port
    with Retinue.from_env() as client, served(HERE, port) as base:
        agent = client.agents.ensure(**definition())
        if agent.draft_version:
            agent.publish("Written by the example.")
        result = run(client, agent, f"{base}/sales.csv", port)
        print(result.summary)
        print(f"rows {result.rows}, total {result.total:g}, mean {result.mean:g}, largest {result.largest:g}")
        for step in client.executions.steps(result.execution):
            print(f"  {step.number} {step.kind.lower()} {step.action} {step.status.lower()}")


if __name__ == "__main__":
    try:
        main()
    except RetinueError as error:
        sys.exit(f"{error.message} {' '.join(error.actions)}")
