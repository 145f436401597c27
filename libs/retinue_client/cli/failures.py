"""How the command fails: its exit statuses, and what it says.

Owns both. It says one line that begins with `error:`, the fields at fault, and what to do about it.
"""

from __future__ import annotations

from typing import Any, Final, TextIO

from retinue_client.cli.text import clean
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


def told(error: RetinueError, stderr: TextIO) -> int:
    """Say what a service, or this program, refused; returns the exit status."""
    stderr.write(f"error: {clean(error.message)} [{error.code}]\n")
    for problem in error.problems:
        if problem.message not in error.message:
            stderr.write(f"  {clean(problem.field)}: {clean(problem.message)}\n")
    actions = list(error.actions)
    if error.kind is Kind.UNAUTHENTICATED and _LOGIN not in actions:
        actions.append(_LOGIN)
    stderr.writelines(f"  try: {clean(action)}\n" for action in actions)
    return _STATUS.get(error.kind, FAILED)


def misused(error: Any, stderr: TextIO) -> int:
    """Say what is wrong with the arguments; returns the exit status."""
    context = getattr(error, "ctx", None)
    stderr.write(f"error: {clean(' '.join(error.format_message().split()))}\n")
    stderr.write(f"  try: {context.command_path if context else 'retinue'} --help\n")
    return MISUSED


def unexpected(error: Exception, stderr: TextIO) -> int:
    """Say that this program has a fault; returns the exit status."""
    stderr.write(f"error: a fault of this program: {type(error).__name__}: {clean(' '.join(str(error).split()))}\n")
    stderr.write("  try: set RETINUE_DEBUG=1 to see where, and report it.\n")
    return FAILED
