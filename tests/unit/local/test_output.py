"""What the supervisor writes."""

from __future__ import annotations

import io
import os
import threading

from services.local.output import Output


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Blocked(io.StringIO):
    """A pipe that nobody empties until `open` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Event()
        self.reached = threading.Event()

    def write(self, text: str) -> int:
        self.reached.set()
        self.open.wait()
        return super().write(text)


def written(stream: io.StringIO, environment: dict[str, str]) -> str:
    output = Output(stream, environment)
    output.say("agent", "hello")
    output.close()
    return stream.getvalue()


def test_names_are_coloured_on_a_terminal_only() -> None:
    assert written(io.StringIO(), {}) == "agent     | hello\n"
    assert "\x1b[" in written(Terminal(), {})
    assert written(Terminal(), {"NO_COLOR": "1"}) == "agent     | hello\n"


def test_lines_are_dropped_and_counted_when_nobody_reads() -> None:
    stream = Blocked()
    output = Output(stream, {})
    output.line("first")
    stream.reached.wait()
    for number in range(6_000):  # more than may wait; none of these calls blocks
        output.line(str(number))
    stream.open.set()
    while output._lines.qsize() > 1_000:
        os.sched_yield()
    output.line("last")
    output.close()
    lines = stream.getvalue().splitlines()
    assert lines[-2:] == ["(1000 lines were dropped: this output is not read)", "last"]


def test_a_reader_that_is_gone_is_no_error() -> None:
    stream = io.StringIO()
    output = Output(stream, {})
    stream.close()
    output.line("nobody hears this")
    output.close()
    assert not output._writer.is_alive()
