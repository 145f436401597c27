"""Other systems on the same work and the same machine, as ratios.

They were measured once, on 2026-11-20, beside the floors of that day; docs/benchmarks.md says how. Absolute figures of
two days do not compare, shares of a floor do.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.report import table

_ECHO = 7_400  # gRPC echo calls a second, client and server on the two cores
_HEADER = ("system", "exec/s at 64", "of the gRPC echo of its run", "CPU ms/exec at 64", "idle MB (PSS)")


@dataclass(frozen=True, slots=True)
class Peer:
    """A system and its figures at 64 callers."""

    name: str
    rate: float
    cpu: float
    memory: float


PEERS = (
    Peer("Restate 1.7 (Rust server, Python SDK)", 513, 3.2, 316),
    Peer("DBOS 3.4 (PostgreSQL, FastAPI)", 116, 11.4, 132),
    Peer("Celery 5.7 (Redis, not journaled, no fsync)", 213, 8.0, 168),
    Peer("LangGraph dev server (memory, pickled every 10 s)", 210, 3.9, 112),
    Peer("Agno AgentOS (saved at run end only)", 159, 7.7, 149),
    Peer("Agno, checkpoint per tool batch", 101, 12.7, 149),
    Peer("pydantic-ai on DBOS", 66, 18.2, 158),
)


def compare(rate: float, echo: float, cpu: float, memory: float | None) -> str:
    """The peers beside this run; `echo` is its own floor, in calls a second."""
    idle = "-" if memory is None else f"{memory:.0f}"
    own = ("**Retinue**, this run", f"{rate:.0f}", f"{rate / echo:.3f}", f"{cpu:.1f}", idle)
    rows = [
        (peer.name, f"{peer.rate:.0f}", f"{peer.rate / _ECHO:.3f}", f"{peer.cpu:.1f}", f"{peer.memory:.0f}")
        for peer in PEERS
    ]
    return f"### Beside other systems\n\n{table(_HEADER, [own, *rows])}\n"
