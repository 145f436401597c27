"""The `retinue` command.

Owns the process's edge: arguments in, exit status out, and never a stack trace. What it prints for programs goes to
standard output, what it tells people while it works to standard error.
"""

from retinue_client.cli.main import main

__all__ = ["main"]
