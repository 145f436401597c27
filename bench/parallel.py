"""How many executions that wait for their model one worker process carries, and how much they stretch.

Each takes turns that wait for `delayMs`. Stretch is the time from `started_at` to `completed_at` by the database's
clock over the delay they were told to take: 1.00 is nothing lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench.report import Goal, Section, percentile
from bench.stage import Stage, Subject

AT_ONCE = Goal("concurrent I/O-bound executions per worker process", "", 500, 2_000, more=True)
_MOST_STRETCH = 1.10
_TURNS = 3
_RATE = 400.0
_HEADER = ("executions", "at once", "delay s", "stretch p50", "stretch p99", "longest", "CPU s", "worker MB (PSS)")
_TIMES = """
select extract(epoch from started_at)::float8, extract(epoch from completed_at)::float8, status, session_id
from retinue_execution.executions where agent_id = %s
"""


@dataclass(frozen=True, slots=True)
class Crowd:
    """Executions that ran at once, and what became of their time."""

    count: int
    at_once: int
    delay: float
    stretches: list[float]
    cpu: float
    memory: float

    @property
    def carried(self) -> bool:
        """Whether all ran at once and took little longer than they were told to."""
        return self.at_once == self.count and percentile(self.stretches, 99) <= _MOST_STRETCH

    def cells(self) -> tuple[str, ...]:
        """The row of the table."""
        cuts = (percentile(self.stretches, 50), percentile(self.stretches, 99), max(self.stretches))
        stretch = (f"{cut:.3f}" for cut in cuts)
        return (
            f"{self.count:,}",
            f"{self.at_once:,}",
            f"{self.delay:g}",
            *stretch,
            f"{self.cpu:.1f}",
            f"{self.memory:.0f}",
        )


def measure(stage: Stage) -> Section:
    """Measure crowds of growing size."""
    subject = stage.wide()
    sizes = stage.choose((500, 2_000), (200,))
    crowds = [_crowd(subject, size, 1_500 if stage.quick else 5_000) for size in sizes]
    carried = [crowd.count for crowd in crowds if crowd.carried]
    note = "(not more was tried)" if stage.quick else ""
    verdict = AT_ONCE.verdict(max(carried, default=0), note)
    notes = (
        f"An execution makes {_TURNS} model calls and {_TURNS - 1} tool calls. Carried are those that all ran at once "
        f"and whose 99th percentile took at most {_MOST_STRETCH} times their delay.",
    )
    rows = [crowd.cells() for crowd in crowds]
    return Section("I/O-bound executions in one worker process", _HEADER, rows, notes, (verdict,))


def _agent(size: int, delay: int) -> dict[str, Any]:
    call = {"toolUse": {"name": "calculator", "input": {"expression": "19 + 23"}}}
    turns = [{"content": [call], "delayMs": delay}] * (_TURNS - 1)
    return {
        "name": f"crowd{size}",
        "model": "scripted",
        "tools": ["calculator"],
        "modelSettings": {"script": [*turns, {"content": [{"text": "."}], "delayMs": delay}]},
    }


def _crowd(subject: Subject, size: int, delay: int) -> Crowd:
    agent_id = subject.publish(_agent(size, delay))
    seconds = _TURNS * delay / 1000
    before = subject.cpu()
    subject.load(agent_id, 32, size, rate=_RATE, wait="")
    memory = subject.suite.processes("worker")[0].memory_full_info().pss / 1e6
    subject.await_ended(agent_id, size, seconds * 10)
    cpu = subject.cpu() - before
    rows = subject.query(_TIMES, agent_id)
    if {row[2] for row in rows} != {"COMPLETED"} or len({row[3] for row in rows}) != 1:
        raise SystemExit("the crowd did not complete in one session of one worker")
    spans = [(row[0], row[1]) for row in rows]
    return Crowd(size, most_at_once(spans), seconds, [(end - start) / seconds for start, end in spans], cpu, memory)


def most_at_once(spans: list[tuple[float, float]]) -> int:
    """The largest number of spans that overlap."""
    steps = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    most = now = 0
    for _, step in steps:
        now += step
        most = max(most, now)
    return most
