"""Start of a suite that is installed, and what it takes when it does nothing.

A start is timed from the command to the line `retinue ready`. The first start on an empty home makes the database; the
figure is the second start, as every day has it.
"""

from __future__ import annotations

import statistics
import time

from bench.report import Goal, Section
from bench.stage import Stage, Subject

START = Goal("start, installed", "s", 8, 4)
MEMORY = Goal("idle memory (PSS) of the whole suite", "MB", 700, 400)
_SETTLED = 5.0  # seconds after which what a start leaves behind is over


def measure(stage: Stage) -> Section:
    """Start the suite on an empty home, then again on the same one."""
    began = time.perf_counter()
    subject = stage.plain()
    first = time.perf_counter() - began
    again = [_restart(subject) for _ in range(1 if stage.quick else 3)]
    time.sleep(_SETTLED)
    rooms = subject.memory_by_room()
    whole = sum(rooms.values())
    rows = [(f"{first:.2f}", f"{statistics.median(again):.2f}", f"{whole:.0f}")]
    shares = ", ".join(f"{room} {size:.0f}" for room, size in rooms.items())
    notes = (f"MB by process: {shares}.",)
    verdicts = (START.verdict(statistics.median(again)), MEMORY.verdict(whole))
    header = ("first start on an empty home, s", "start on an existing home, s", "idle memory (PSS), MB")
    return Section("Start and idle memory", header, rows, notes, verdicts)


def _restart(subject: Subject) -> float:
    subject.suite.stop()
    began = time.perf_counter()
    subject.suite.start()
    return time.perf_counter() - began
