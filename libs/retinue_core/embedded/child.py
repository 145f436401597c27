"""Starting, watching and ending one child process.

Owns what every child of this machine needs: its output in a file, a death signal so that it never outlives a killed
parent, another user where a program refuses root, and an end that is asked for first and forced later. It refuses to
know what the child is.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from retinue_core.embedded.account import Account

POLL = 0.02
"""Seconds between two looks at something that has no event to wait for."""

_LOG_LIMIT = 10 * 1024 * 1024

_PR_SET_PDEATHSIG = 1


def death_signal(number: signal.Signals, account: Account | None = None) -> Callable[[], None]:
    """Return what a child runs before its program: change account, then tie its life to this process.

    The kernel sends `number` to the child when the thread that started it ends, so children are started from the
    main thread. Only Linux knows this signal; elsewhere a leftover child is ended by the next start.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def before_program() -> None:
        if account is not None:
            account.become(libc)
        # The kernel forgets the death signal when the account changes, so it comes last.
        if sys.platform == "linux":
            libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
            if os.getppid() != parent:
                os.kill(os.getpid(), signal.SIGKILL)

    return before_program


class Child:
    """A running child process with its output in a log file."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        stop_signal: signal.Signals,
        account: Account | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Start `command`; `stop_signal` is how it is asked to end, by `stop` and by the death of this process."""
        if log.exists() and log.stat().st_size > _LOG_LIMIT:
            log.replace(log.with_suffix(".old.log"))
        self._stop_signal = stop_signal
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # A Ctrl-C in the terminal is for the parent, which ends its children in order.
                start_new_session=True,
                cwd="/",
                env=None if env is None else dict(env),
                preexec_fn=death_signal(stop_signal, account),  # noqa: PLW1509 - one thread, nothing but system calls
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def running(self) -> bool:
        """Tell whether the process is alive."""
        return self._process.poll() is None

    def wait(self) -> int:
        """Wait for the end and return the exit status."""
        return self._process.wait()

    def stop(self, grace: float) -> None:
        """Ask the process to end and force it after `grace` seconds."""
        if self.running():
            self._process.send_signal(self._stop_signal)
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the process at once, as a crash would."""
        self._process.kill()
        self._process.wait()


def end_leftover(pid_file: Path, program: str, stop_signal: signal.Signals, grace: float = 15) -> None:
    """End a server that an earlier, killed parent left running, as named by its pid file.

    Raises TimeoutError when it does not end within `grace` seconds.
    """
    try:
        pid = int(pid_file.read_text().split()[0])
    except (FileNotFoundError, ValueError, IndexError):
        return
    deadline = time.monotonic() + grace
    while _runs(pid, program):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{program} (process {pid}) does not end: stop it by hand")
        os.kill(pid, stop_signal)
        time.sleep(POLL * 5)


def _runs(pid: int, program: str) -> bool:
    import psutil

    try:
        process = psutil.Process(pid)
        return process.name() == program and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
