"""Other systems on the same work and the same machine, beside this run.

They were measured once, on 2026-11-20, beside the floors of that moment. Absolute figures of two runs compare badly;
shares of the floor of each run compare.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench import react3, start, takeover
from bench.report import Goal, table

_ECHO = 7_400.0  # gRPC echo calls a second, client and server on the two cores, when the peers were measured
_HEADER = (
    "system",
    "exec/s at 64",
    "of the gRPC echo of its run",
    "p50 ms at 1",
    "CPU ms/exec at 64",
    "idle MB (PSS)",
    "kill -9 with 200 tool calls in flight",
)


@dataclass(frozen=True, slots=True)
class Peer:
    """A system and its figures."""

    name: str
    rate: float
    p50: float
    cpu: float
    memory: float | None
    killed: str

    def cells(self, echo: float) -> tuple[str, ...]:
        """The row of the table; `echo` is the floor of its run."""
        memory = "-" if self.memory is None else f"{self.memory:.0f}"
        share = f"{self.rate / echo:.3f}"
        return (self.name, f"{self.rate:.0f}", share, f"{self.p50:.1f}", f"{self.cpu:.1f}", memory, self.killed)


PEERS = (
    Peer("Restate 1.7 (Rust server, Python SDK)", 513, 5.4, 3.2, 316, "3.5 s after restart; every tool started twice"),
    Peer("DBOS 3.4 (PostgreSQL, FastAPI)", 116, 7.7, 11.4, 132, "5.4 s after restart; every tool started twice"),
    Peer("Celery 5.7 (Redis, not journaled, no fsync)", 213, 5.8, 8.0, 168, "0 in 75 s; 106 s with a tuned time-out"),
    Peer("LangGraph dev server (memory, pickled every 10 s)", 210, 1001, 3.9, 112, "all lost, or 4 s if just flushed"),
    Peer("Agno AgentOS (saved at run end only)", 159, 7.3, 7.7, 149, "stuck; its durable queue 63 s"),
    Peer("Agno, checkpoint per tool batch", 101, 10, 12.7, 149, "stuck"),
    Peer("pydantic-ai on DBOS", 66, 11.7, 18.2, 158, "6.7 s after restart; every tool started twice"),
)


def compare(measured: Mapping[Goal, float | None], echo: float) -> str:
    """The peers beside this run, of which react3 was measured at least; `echo` is its own floor in calls a second."""
    own = Peer(
        "**Retinue**, this run",
        measured[react3.RATE] or 0,
        measured[react3.P50] or 0,
        measured[react3.CPU] or 0,
        measured.get(start.MEMORY),
        _killed(measured),
    )
    rows = [own.cells(echo), *(peer.cells(_ECHO) for peer in PEERS)]
    return f"### Beside other systems\n\n{table(_HEADER, rows)}\n"


def _killed(measured: Mapping[Goal, float | None]) -> str:
    seconds, twice = measured.get(takeover.FROM_RESTART), measured.get(takeover.TWICE)
    if seconds is None or twice is None:
        return "-"
    return f"{seconds:.1f} s after restart; irreversible tools started twice: {twice:.0f}"
