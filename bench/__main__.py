"""`make bench`: every figure of the goals against the whole suite as processes, with the load outside it.

Prints the tables of docs/benchmarks.md and one line for each goal. Absolute figures are this machine's at this moment;
the ratios are what counts.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import psutil

from bench import dispatch, parallel, peers, react3, rows, start, storage, takeover, watch
from bench.report import Section, goals
from bench.stage import Stage

_BEGIN, _END = "<!-- results -->", "<!-- end of results -->"

# In this order: memory is idle before anything has run, the tables are filled last, and what needs a suite of another
# kind comes together.
FIGURES: Mapping[str, Callable[[Stage], Section]] = {
    "start": start.measure,
    "react3": react3.measure,
    "dispatch": dispatch.measure,
    "storage": storage.measure,
    "rows": rows.measure,
    "watch": watch.measure,
    "parallel": parallel.measure,
    "takeover": takeover.measure,
}


def main() -> None:
    """Measure what was asked for and print it."""
    given = _arguments()
    chosen = [name for name in FIGURES if name in given.only]
    with tempfile.TemporaryDirectory(prefix="retinue-bench-") as scratch:
        stage = Stage(Path(scratch), quick=given.quick, rows=given.rows or (20_000 if given.quick else 1_000_000))
        try:
            sections = {name: _measured(name, stage) for name in chosen}
        finally:
            stage.close()
    text = _text(stage, sections)
    print(text)
    if given.into:
        insert(given.into, text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures the goals of docs/benchmarks.md.")
    parser.add_argument("--quick", action="store_true", help="small sizes, for a look in about a minute")
    parser.add_argument("--rows", type=int, default=0, help="how many executions fill the tables (1,000,000)")
    words = f"figures to measure, separated by commas: {','.join(FIGURES)}"
    parser.add_argument("--only", type=_names, default=list(FIGURES), help=words)
    words = "a document in which the last results are replaced by these, between the comments that mark them"
    parser.add_argument("--into", type=Path, help=words)
    return parser.parse_args()


def _names(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in FIGURES]
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}")
    return names


def _measured(name: str, stage: Stage) -> Section:
    began = time.perf_counter()
    section = FIGURES[name](stage)
    print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    return section


def _text(stage: Stage, sections: Mapping[str, Section]) -> str:
    """Everything that was measured, as markdown; the goals first."""
    parts = [_heading(stage.quick), f"### Goals\n\n{goals(sections.values())}\n"]
    if "react3" in sections:
        measured = {verdict.goal: verdict.value for section in sections.values() for verdict in section.verdicts}
        parts.append(peers.compare(measured, stage.floors.echo[64]))
    return "\n".join([*parts, *(section.markdown() for section in sections.values())])


def insert(document: Path, text: str) -> None:
    """Put results between the comments of a document that mark them."""
    before, begin, rest = document.read_text("utf-8").partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise SystemExit(f"{document} has no {_BEGIN} … {_END}")
    document.write_text(f"{before}{begin}\n{text}{end}{after}", "utf-8")


def _heading(quick: bool) -> str:
    cores, memory = psutil.cpu_count(), psutil.virtual_memory().total / 1e9
    words = f"{datetime.now(UTC):%Y-%m-%d}, {cores} cores, {memory:.0f} GB, {platform.system()}, Python"
    sizes = " Small sizes (`--quick`): a look, not a measurement." if quick else ""
    return f"{words} {platform.python_version()}.{sizes}\n"


if __name__ == "__main__":
    main()
