"""The `retinue` command as people and programs run it: in a terminal, or with its output captured.

Owns the process and the screen; it knows nothing of what the command does.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyte

COMMAND = str(Path(sys.executable).with_name("retinue"))
_ROWS, _COLUMNS = 30, 110
_PATIENCE = 120.0


@dataclass(frozen=True)
class Ran:
    """What a command came to."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Shell:
    """A folder and an environment to run the command in."""

    folder: Path
    environment: Mapping[str, str]

    def run(self, *arguments: str, told: str = "", **environment: str) -> Ran:
        """Run the command to its end; `told` is its standard input."""
        process = subprocess.run(
            [COMMAND, *arguments],
            cwd=self.folder,
            env={**self.environment, **environment},
            input=told,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Ran(process.returncode, process.stdout, process.stderr)

    @contextmanager
    def terminal(self, *arguments: str) -> Iterator[Terminal]:
        """Run the command in a terminal of its own."""
        ours, theirs = pty.openpty()
        coloured = {name: value for name, value in self.environment.items() if name != "NO_COLOR"}
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
        process = subprocess.Popen(
            [COMMAND, *arguments],
            cwd=self.folder,
            env={**coloured, "TERM": "xterm-256color", "LANG": "C.UTF-8"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        try:
            yield Terminal(process, ours)
        finally:
            process.kill()
            process.wait()
            os.close(ours)


class Terminal:
    """A terminal with the command in it."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self._process = process
        self._descriptor = descriptor
        self._screen = pyte.Screen(_COLUMNS, _ROWS)
        self._stream = pyte.ByteStream(self._screen)
        self.raw = b""

    @property
    def text(self) -> str:
        """What the screen shows."""
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    def until(self, text: str) -> str:
        """Read until the screen shows a text; returns all that it shows then."""
        deadline = time.monotonic() + _PATIENCE
        while text not in self.text:
            left = deadline - time.monotonic()
            if left <= 0 or not self._read(left):
                raise AssertionError(f"{text!r} is not on the screen:\n{self.text}")
        return self.text

    def end(self) -> int:
        """Read to the end of the command; returns its status."""
        while self._read(_PATIENCE):
            pass
        return self._process.wait(_PATIENCE)

    def type(self, text: str) -> None:
        """Type something."""
        os.write(self._descriptor, text.encode())

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        os.killpg(self._process.pid, signal.SIGINT)

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._descriptor], [], [], seconds)
        try:
            data = os.read(self._descriptor, 65_536) if ready else b""
        except OSError:
            return False  # the other side is closed
        self.raw += data
        self._stream.feed(data)
        return bool(data)
