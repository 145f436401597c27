"""From the commit of a journal entry to its event at a client, with 1,000 clients that follow an execution each.

The executions take turns that are spaced by `delayMs` and begun evenly, so that events come at a steady rate; a turn
says no text, so that no pieces of text are mixed in. The time of an event is the beginning of the transaction that
committed its entry, so the commit is part of the figure.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from bench.report import Goal, Section, percentile
from bench.stage import Stage, child
from bench.watchers import Job

P99 = Goal("journal commit → event at an SSE client, p99, 1,000 clients", "ms", 50, 15)
_TURNS = 4
_HEADER = ("clients", "events/s", "p50 ms", "p95 ms", "p99 ms", "longest ms", "CPU ms/event, whole suite")


def _agent(delay: int) -> dict[str, Any]:
    turn = {"content": [{"toolUse": {"name": "calculator", "input": {"expression": "19 + 23"}}}], "delayMs": delay}
    return {
        "name": "watched",
        "model": "scripted",
        "tools": ["calculator"],
        "modelSettings": {"script": [turn] * _TURNS + [{"content": [{"text": "."}], "delayMs": delay}]},
    }


def measure(stage: Stage) -> Section:
    """Let many clients follow."""
    subject = stage.wide()
    clients, delay = stage.choose((1_000, 8_000), (100, 1_000))
    agent_id = subject.publish(_agent(delay))
    job = Job(subject.suite.url, subject.suite.token, agent_id, clients, ramp=delay / 1000)
    before = subject.cpu()
    result = child("bench.watchers", asdict(job))
    cpu = (subject.cpu() - before) * 1000
    lags = result["lags"]
    # start, two of the worker's taking up and end, and three for each turn with a tool
    events = clients * (3 * _TURNS + 4)
    cuts = [percentile(lags, percent) for percent in (50, 95, 99)]
    rate = len(lags) / result["seconds"]
    row = (str(clients), f"{rate:.0f}", *(f"{cut:.1f}" for cut in cuts), f"{max(lags):.0f}", f"{cpu / events:.2f}")
    notes = (
        f"{len(lags):,} events in the {result['seconds']:.0f} s in which all clients were connected. The CPU is "
        "that of the whole run: creating, running and following.",
    )
    note = "" if clients == 1_000 else f"({clients} clients)"
    return Section("From a commit to its event at a client", _HEADER, [row], notes, (P99.verdict(cuts[2], note),))
