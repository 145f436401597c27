"""How the command fails: its exit statuses, and what it says.

Owns both. It says one line that begins with `error:`, the fields at fault, and what to do about it.
"""

from __future__ import annotations

import traceback
from typing import Any, Final, TextIO

import typer

from retinue_client.cli.text import clean, line
from retinue_client.errors import Kind, RetinueError

OK: Final = 0
FAILED: Final = 1
MISUSED: Final = 2
NOT_AUTHENTICATED: Final = 3
UNREACHABLE: Final = 4
INTERRUPTED: Final = 130

_STATUS = {
    Kind.INVALID_ARGUMENT: MISUSED,
    Kind.UNAUTHENTICATED: NOT_AUTHENTICATED,
    Kind.UNAVAILABLE: UNREACHABLE,
    Kind.DEADLINE_EXCEEDED: UNREACHABLE,
}
_LOGIN = "Run `retinue login`, or set RETINUE_TOKEN."


def told(error: BaseException, stderr: TextIO, *, trace: bool = False) -> int:
    """Say what went wrong; returns the exit status. `trace` shows where in this program a fault of its own is."""
    if isinstance(error, RetinueError):
        return _refused(error, stderr)
    if isinstance(error, typer.TyperException):
        return _misused(error, stderr)
    if isinstance(error, typer.Abort | KeyboardInterrupt):
        stderr.write("interrupted\n")
        return INTERRUPTED
    if isinstance(error, UnicodeEncodeError):
        # Bytes that are no text come in as half characters, and stop where text has to leave again.
        stderr.write("error: an argument is not text in UTF-8\n")
        return MISUSED
    if trace:
        traceback.print_exception(error, file=stderr)
    stderr.write(f"error: a fault of this program: {type(error).__name__}: {line(str(error), 200)}\n")
    stderr.write("  try: set RETINUE_DEBUG=1 to see where, and report it.\n")
    return FAILED


def _refused(error: RetinueError, stderr: TextIO) -> int:
    stderr.write(f"error: {clean(error.message)} [{error.code}]\n")
    for problem in error.problems:
        if problem.message not in error.message:
            stderr.write(f"  {clean(problem.field)}: {clean(problem.message)}\n")
    actions = list(error.actions)
    if error.kind is Kind.UNAUTHENTICATED and not any("retinue login" in action for action in actions):
        actions.append(_LOGIN)
    stderr.writelines(f"  try: {clean(action)}\n" for action in actions)
    return _STATUS.get(error.kind, FAILED)


def _misused(error: Any, stderr: TextIO) -> int:
    context = getattr(error, "ctx", None)
    stderr.write(f"error: {line(error.format_message(), 1_000)}\n")
    stderr.write(f"  try: {context.command_path if context else 'retinue'} --help\n")
    return MISUSED
