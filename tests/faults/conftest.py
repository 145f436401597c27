"""The arena of all fault tests, which of them are long, and the report of what was measured."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

from retinue_core.testing.suite import Suite
from tests.faults.arena import LEASE, WORKERS, Arena
from tests.faults.oracle import Oracle

_FIGURES: dict[str, list[float]] = {}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long ones out, unless fault tests were asked for (`-m faults`)."""
    if "faults" in config.option.markexpr:
        return
    long = [item for item in items if item.get_closest_marker("long")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that docs/reliability.md quotes."""
    if _FIGURES:
        terminalreporter.section("measured under faults, in seconds")
        for what, seconds in _FIGURES.items():
            ordered = sorted(seconds)
            p95 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
            figures = f"n={len(ordered)}  p50={statistics.median(ordered):.2f}  p95={p95:.2f}  max={ordered[-1]:.2f}"
            terminalreporter.write_line(f"{what:<60} {figures}")


@pytest.fixture(scope="session")
def arena(scratch: Path) -> Iterator[Arena]:
    """Give the suite that is broken and mends itself, with two workers and a short lease."""
    keyed = Oracle(scratch / "keyed.ledger", honours_keys=True)
    plain = Oracle(scratch / "plain.ledger", honours_keys=False)
    false = Oracle(scratch / "false.ledger", honours_keys=False)
    witnesses = (keyed, plain, false)
    suite = Suite(
        scratch / "arena",
        RETINUE_WORKERS=str(WORKERS),
        RETINUE_LEASE_SECONDS=str(LEASE),
        RETINUE_EGRESS_ALLOW=",".join(witness.address for witness in witnesses),
        RETINUE_IDEMPOTENT_HOSTS=f"{keyed.address},{false.address}",
    )
    suite.start()
    yield Arena(suite, *witnesses, _FIGURES)
    suite.stop()
    for witness in witnesses:
        witness.stop()
