"""What the supervisor writes to its terminal: the lines of every process with its name before them.

Owns the only writer. It refuses to wait for a reader: a pipe that nobody empties must not stop the suite, so lines
are dropped, and counted, when the terminal does not keep up.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import zlib
from collections.abc import Mapping
from typing import TextIO

_WAITING = 5_000
_WIDTH = 9
_COLOURS = (36, 32, 33, 35, 34, 96, 92, 93, 95, 94)


class Output:
    """Writes lines in a thread of its own."""

    def __init__(self, stream: TextIO, environment: Mapping[str, str]) -> None:
        """Start the writer; colours are for terminals whose user did not refuse them (no-color.org)."""
        self._stream = stream
        self._coloured = stream.isatty() and not environment.get("NO_COLOR")
        self._lines: queue.Queue[str | None] = queue.Queue(_WAITING)
        self._dropped = 0
        self._writer = threading.Thread(target=self._write, name="output", daemon=True)
        self._writer.start()

    def say(self, name: str, text: str) -> None:
        """Write a line of a process."""
        label = f"{name:<{_WIDTH}} |"
        if self._coloured:
            label = f"\x1b[{_COLOURS[zlib.crc32(name.encode()) % len(_COLOURS)]}m{label}\x1b[0m"
        self.line(f"{label} {text}")

    def line(self, text: str) -> None:
        """Write a line as it is."""
        try:
            if self._dropped:
                self._lines.put_nowait(f"({self._dropped} lines were dropped: this output is not read)")
                self._dropped = 0
            self._lines.put_nowait(text)
        except queue.Full:
            self._dropped += 1

    def close(self, seconds: float = 2.0) -> None:
        """Write what is waiting, for a few seconds at most."""
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(None)
        self._writer.join(seconds)

    def _write(self) -> None:
        while (text := self._lines.get()) is not None:
            # The reader may be gone; the suite goes on without one.
            with contextlib.suppress(OSError, ValueError):
                self._stream.write(text + "\n")
                if self._lines.empty():
                    self._stream.flush()
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()
