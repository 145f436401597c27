"""Commands that stay with an execution: run and watch.

Owns the live view, and what becomes of an execution whose watcher leaves: `run` cancels it, `watch` lets it be.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retinue_client.cli.executions import took
from retinue_client.cli.inputs import read_input
from retinue_client.cli.output import Format, Output, as_json, say, write
from retinue_client.cli.session import AgentName, ExecutionId, Session, session
from retinue_client.cli.text import clean
from retinue_client.cli.view import View, added, picture
from retinue_client.errors import ExecutionFailedError, RetinueError

if TYPE_CHECKING:
    from retinue_client.client import Retinue
    from retinue_client.models import Event, Execution

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show only the answer.")]

_PER_SECOND = 8
_INTERRUPTED = "Its caller interrupted it."


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("run")(run)
    app.command("watch")(watch)


def run(  # noqa: PLR0913, PLR0917 - one for each option
    context: typer.Context,
    agent: AgentName,
    member: Annotated[
        list[str] | None,
        typer.Option("--in", "-i", metavar="NAME=VALUE", help="A member of the input; NAME:=VALUE takes JSON."),
    ] = None,
    whole: Annotated[
        str, typer.Option("--input", metavar="JSON", help="The whole input: JSON, @FILE, or - for standard input.")
    ] = "",
    version: Annotated[str, typer.Option(help="Run this version, or `draft`.")] = "",
    timeout: Annotated[float | None, typer.Option(help="Seconds that it may take.")] = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Start it, print its id, and leave.")] = False,
    quiet: Quiet = False,
    output: Output = Format.TABLE,
) -> None:
    """Run an agent, watch it work, and print its answer. Interrupting it cancels the execution."""
    current = session(context)

    async def work(client: Retinue) -> Execution:
        found = await client.agents.get(agent)
        given = read_input(whole, member or [], found.input_schema)
        options: dict[str, Any] = {"version": version} | ({} if timeout is None else {"timeout": timeout})
        execution = await client.executions.create(found, given, **options)
        if detach:
            return execution
        try:
            title = f"{found.name} {execution.agent_version}  {execution.id}"
            return await _followed(current, client, execution, title, quiet=quiet)
        except asyncio.CancelledError:
            with contextlib.suppress(RetinueError):
                await client.executions.cancel(execution, _INTERRUPTED)
                sys.stderr.write(f"cancelled {execution.id}\n")
            raise

    execution = current.run(work)
    if detach:
        write(execution, output, lambda: say(execution.id))
    else:
        _answer(execution, output)


def watch(
    context: typer.Context,
    execution: ExecutionId,
    quiet: Quiet = False,
    output: Output = Format.TABLE,
) -> None:
    """Watch an execution from its beginning to its end, and print its answer."""
    current = session(context)

    async def work(client: Retinue) -> Execution:
        found = await client.executions.get(execution)
        return await _followed(current, client, found, f"{found.agent_version}  {found.id}", quiet=quiet)

    _answer(current.run(work), output)


async def _followed(current: Session, client: Retinue, execution: Execution, title: str, *, quiet: bool) -> Execution:
    """Show what happens to an execution until it has ended; returns it as it ended."""
    async with aclosing(client.executions.watch(execution)) as events:
        with _shown(current, View(title, execution), execution, quiet=quiet) as take:
            async for event in events:
                take(event)
                if event.ends and event.execution is not None:
                    return event.execution
    return await client.executions.get(execution)


@contextmanager
def _shown(current: Session, view: View, execution: Execution, *, quiet: bool) -> Iterator[Any]:
    """Show events as they are taken: in place on a terminal, as lines elsewhere."""
    if quiet:
        yield lambda event: None
    elif sys.stderr.isatty():
        from rich.live import Live
        from rich.spinner import Spinner

        moving, begun = Spinner("dots"), time.monotonic()

        def look() -> Any:
            return picture(view, took(view.execution) or time.monotonic() - begun, moving)

        with Live(get_renderable=look, console=current.console(stderr=True), refresh_per_second=_PER_SECOND):
            yield view.take
    else:

        def tell(event: Event) -> None:
            view.take(event)
            if text := added(event):
                sys.stderr.write(f"{text}\n")
                sys.stderr.flush()

        yield tell


def _answer(execution: Execution, output: Format) -> None:
    """Print the answer; an execution without one is an error."""

    def text() -> None:
        if execution.status == "COMPLETED":
            found = execution.output
            sys.stdout.write((clean(found) if isinstance(found, str) else as_json(found)) + "\n")

    write(execution, output, text)
    sys.stdout.flush()
    if execution.status != "COMPLETED":
        failure = execution.error
        message = failure.message if failure else f"The execution is {execution.status}."
        code = failure.code if failure else f"EXECUTION_{execution.status}"
        raise ExecutionFailedError(code, message, execution)
