"""One run of the command: where it finds the suite, and where it writes.

Owns the event loop and the client of a command. Nothing is connected before a command asks for it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from retinue_client.settings import Connection, find_connection

if TYPE_CHECKING:
    from rich.console import Console

    from retinue_client.client import Retinue

T = TypeVar("T")

AgentName = Annotated[str, typer.Argument(metavar="AGENT", help="Name or id of the agent.", show_default=False)]
ExecutionId = Annotated[str, typer.Argument(metavar="EXECUTION", help="Id of the execution.", show_default=False)]


class Session:
    """What every command is given."""

    def __init__(self, environment: Mapping[str, str], profile: str) -> None:
        """Take the environment, and the name of a profile or nothing."""
        self.environment = environment
        self.profile = profile

    def connection(self) -> Connection:
        """Find the suite."""
        return find_connection(self.environment, profile=self.profile)

    def run(self, work: Callable[[Retinue], Awaitable[T]]) -> T:
        """Do something with a client, and return what comes of it."""
        return self.run_at(self.connection(), work)

    @staticmethod
    def run_at(connection: Connection, work: Callable[[Retinue], Awaitable[T]]) -> T:
        """Do something with a client of a certain suite."""
        from retinue_client.client import Retinue

        async def connected() -> T:
            async with Retinue(connection) as client:
                return await work(client)

        return asyncio.run(connected())

    def console(self, *, stderr: bool = False) -> Console:
        """Where people read."""
        from rich.console import Console

        return Console(file=sys.stderr if stderr else sys.stdout, highlight=False, emoji=False, markup=False)


def session(context: typer.Context) -> Session:
    """The session of a command."""
    found = context.obj
    assert isinstance(found, Session)
    return found
