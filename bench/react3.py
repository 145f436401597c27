"""react3: model, tool, model, through REST, each result waited for; at 1, 16 and 64 at a time.

Owns the agent that docs/benchmarks.md calls react3, and what an execution of it costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.floors import Floors
from bench.report import Goal, Section, percentile
from bench.stage import Stage, Subject

_TEXT = "The sum of the two numbers is worked out with the calculator, which is exact, and then told to the person. "
SCRIPT = [
    [
        {"text": (_TEXT * 3)[:300]},
        {"toolUse": {"name": "calculator", "input": {"expression": "19 + 23"}}},
    ],
    [{"text": (_TEXT * 3)[:280] + "{{tool.output}}"}],
]
RATE = Goal("react3 executions/s at 64", "", 300, 1_000, more=True)
P50 = Goal("react3 p50 at 1", "ms", 10, 4)
CPU = Goal("CPU per execution at 64", "ms", 6, 2)
_HEADER = ("concurrency", "exec/s", "p50 ms", "p95 ms", "p99 ms", "CPU ms/exec", "of gRPC echo", "of commits")
_WARM_UP = 300


def agent(name: str) -> dict[str, Any]:
    """The agent, under a name of its own."""
    return {
        "name": name,
        "description": "The work of docs/benchmarks.md: model, tool, model.",
        "instructions": "Add the numbers that you are given.",
        "model": "scripted",
        "tools": ["calculator"],
        "inputSchema": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
        "modelSettings": {"script": SCRIPT},
    }


@dataclass(frozen=True, slots=True)
class Run:
    """One load and what it cost. Times are in milliseconds."""

    concurrency: int
    rate: float
    p50: float
    p95: float
    p99: float
    cpu: float
    shares: Mapping[str, float]

    def cells(self, floors: Floors) -> tuple[str, ...]:
        """The row of the table."""
        times = (f"{value:.1f}" for value in (self.p50, self.p95, self.p99))
        ratios = (f"{self.rate / floor[self.concurrency]:.3f}" for floor in (floors.echo, floors.commits))
        return (str(self.concurrency), f"{self.rate:.0f}", *times, f"{self.cpu:.2f}", *ratios)


def load(subject: Subject, agent_id: str, concurrency: int, count: int) -> Run:
    """Run one closed loop and weigh the whole suite meanwhile."""
    before = subject.cpu_by_room()
    result = subject.load(agent_id, concurrency, count)
    shares = {room: (used - before[room]) / count * 1000 for room, used in subject.cpu_by_room().items()}
    found = result["latencies"]
    p50, p95, p99 = (percentile(found, percent) for percent in (50, 95, 99))
    return Run(concurrency, count / result["seconds"], p50, p95, p99, sum(shares.values()), shares)


def measure(stage: Stage) -> Section:
    """Measure react3 at 1, 16 and 64."""
    floors, subject = stage.floors, stage.plain()
    agent_id = subject.publish(agent("react3"))
    subject.load(agent_id, 16, _WARM_UP)
    counts = stage.choose((500, 1_500, 3_000), (100, 300, 500))
    runs = [load(subject, agent_id, clients, count) for clients, count in zip((1, 16, 64), counts, strict=True)]
    rows = [run.cells(floors) for run in runs]
    notes = (
        floors.words(),
        f"CPU ms/exec at 64 by process: {', '.join(f'{room} {cpu:.2f}' for room, cpu in runs[2].shares.items())}.",
        f"Memory (PSS) of the whole suite after the load: {subject.memory_mb():.0f} MB.",
    )
    verdicts = (RATE.verdict(runs[2].rate), P50.verdict(runs[0].p50), CPU.verdict(runs[2].cpu))
    return Section("react3", _HEADER, rows, notes, verdicts)
