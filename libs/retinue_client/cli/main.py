"""From the arguments of the process to its exit status.

Owns which commands there are. It refuses to let an exception out: what a person can mend is one line and what to do,
anything else is one line too, with its trace only where RETINUE_DEBUG is set.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from retinue_client.cli import account, agents, applying, executions, failures, login, running, tokens
from retinue_client.cli.session import Session


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and end the process with its status."""
    sys.exit(status(sys.argv[1:] if arguments is None else arguments))


def status(arguments: Sequence[str]) -> int:
    """Run a command; returns the status that the process ends with."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character shows another
    try:
        returned = application(colours=sys.stdout.isatty())(list(arguments), prog_name="retinue", standalone_mode=False)
    except BrokenPipeError:
        # Whoever read our output has seen enough; what is buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return failures.FAILED
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the process's edge
        return failures.told(error, sys.stderr, trace=bool(os.environ.get("RETINUE_DEBUG")))
    return returned if isinstance(returned, int) else failures.OK


def application(*, colours: bool) -> typer.Typer:
    """Put the command together; help is drawn with colours and boxes only for a terminal."""
    app = typer.Typer(
        name="retinue",
        help="Create, publish, run and follow agents of a Retinue suite.",
        rich_markup_mode="rich" if colours else None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        invoke_without_command=True,
        callback=_root,
    )
    agents.register(app)
    applying.register(app)
    running.register(app)
    executions.register(app)
    login.register(app)
    account.register(app)
    tokens.register(app)
    return app


def _root(
    context: typer.Context,
    profile: Annotated[
        str, typer.Option(help="The profile of `retinue login` to use; RETINUE_PROFILE is its other name.")
    ] = "",
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    """Create, publish, run and follow agents of a Retinue suite."""
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"retinue {installed('retinue')}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())
    context.obj = Session(os.environ, profile)
