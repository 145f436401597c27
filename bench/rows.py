"""What an execution costs when a million have run before, against an almost empty database.

The same react3 load before and after the tables are filled, in the same suite; the median of several passes.
"""

from __future__ import annotations

import statistics
import time

from bench import fill
from bench.react3 import Run, agent, load
from bench.report import TIMES, Goal, Section
from bench.stage import Stage, Subject

RATIO = Goal("cost per execution with 1,000,000 rows, CPU", TIMES, 1.3, 1.05)
P50 = Goal("… and its p50", TIMES, 1.3, 1.05)
_CLIENTS = 16
_HEADER = ("executions in the tables", "size of the tables, MB", "CPU ms/exec", "p50 ms", "exec/s")
_TEMPLATE = """
select e.id::text from retinue_execution.executions e
join retinue_quota.settled s on s.reservation_id = e.id || ':1'
where e.agent_id = %s and e.status = 'COMPLETED' limit 1
"""


def measure(stage: Stage) -> Section:
    """Measure, fill, measure again."""
    subject = stage.plain()
    agent_id = subject.publish(agent("rows"))
    before, few = _passes(stage, subject, agent_id), _size(subject)
    began = time.perf_counter()
    template: str = subject.query(_TEMPLATE, agent_id)[0][0]
    fill.fill(subject.database_url, template, stage.rows)
    seconds = time.perf_counter() - began
    many, after = _size(subject), _passes(stage, subject, agent_id)
    notes = (
        f"Filling took {seconds:.0f} s. Each row of the table is the median of {len(before)} passes at {_CLIENTS} "
        "callers.",
    )
    rows = (_cells(few, before), _cells(many, after))
    note = "" if stage.rows == 1_000_000 else f"({stage.rows:,} rows)"
    verdicts = (
        RATIO.verdict(_median(after, "cpu") / _median(before, "cpu"), note),
        P50.verdict(_median(after, "p50") / _median(before, "p50"), note),
    )
    return Section("Cost of an execution after a million others", _HEADER, rows, notes, verdicts)


def _size(subject: Subject) -> tuple[int, int]:
    """How many executions there are, and the bytes of all tables that are filled."""
    count: int = subject.query("select count(*) from retinue_execution.executions")[0][0]
    return count, sum(subject.bytes_of(table) for table in fill.TABLES)


def _passes(stage: Stage, subject: Subject, agent_id: str) -> list[Run]:
    passes, count = stage.choose((5, 1_000), (2, 200))
    subject.load(agent_id, _CLIENTS, 200)
    return [load(subject, agent_id, _CLIENTS, count) for _ in range(passes)]


def _median(runs: list[Run], name: str) -> float:
    values: list[float] = [getattr(run, name) for run in runs]
    return statistics.median(values)


def _cells(size: tuple[int, int], runs: list[Run]) -> tuple[str, ...]:
    cpu, p50, rate = (_median(runs, name) for name in ("cpu", "p50", "rate"))
    return (f"{size[0]:,}", f"{size[1] / 1e6:,.0f}", f"{cpu:.2f}", f"{p50:.1f}", f"{rate:.0f}")
