"""Commands about API tokens: list, create, revoke.

Owns that a secret goes to standard output alone, once.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from retinue_client.cli.account import read_span
from retinue_client.cli.output import Column, Format, Output, say, write, write_table
from retinue_client.cli.session import session
from retinue_client.cli.text import age, line, moment

if TYPE_CHECKING:
    from retinue_client.client import Retinue
    from retinue_client.models import Token

_COLUMNS = (
    Column("NAME", lambda token: line(token.name, 40)),
    Column("BEGINS", lambda token: token.prefix),
    Column("SCOPES", lambda token: ", ".join(token.scopes) or "all of its user"),
    Column("STATE", lambda token: _state(token)),  # noqa: PLW0108 - defined below
    Column("CREATED", lambda token: age(token.created_at)),
    Column("ID", lambda token: token.id),
)


def register(parent: typer.Typer) -> None:
    """Add the commands."""
    app = typer.Typer(help="List, create and revoke API tokens.", rich_markup_mode=parent.rich_markup_mode)
    app.command("list")(list_tokens)
    app.command("create")(create_token)
    app.command("revoke")(revoke_token)
    parent.add_typer(app, name="tokens")


def list_tokens(context: typer.Context, output: Output = Format.TABLE) -> None:
    """List your tokens, or all of the organisation if you administer it."""

    async def ask(client: Retinue) -> list[Token]:
        return [token async for token in client.tokens.list()]

    found = session(context).run(ask)
    write(found, output, lambda: write_table(_COLUMNS, found, empty="There are no tokens."))


def create_token(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What it is for.")],
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help="Allow only this, for example agents:read; several times.")
    ] = None,
    expires: Annotated[str, typer.Option(help="When it ends, for example 30d; never without.")] = "",
    output: Output = Format.TABLE,
) -> None:
    """Make a token and print its secret, which is never shown again."""
    ends = datetime.now(UTC) + read_span(expires) if expires else None
    made = session(context).run(lambda client: client.tokens.create(name, scopes=scope or (), expires_at=ends))

    def secret() -> None:
        sys.stderr.write(f"{made.token.id}: keep this secret, it is shown only now\n")
        sys.stdout.write(f"{made.secret}\n")

    write(made, output, secret)


def revoke_token(
    context: typer.Context, token: Annotated[str, typer.Argument(metavar="TOKEN", help="Id of the token.")]
) -> None:
    """End a token; within about a second it works nowhere."""
    session(context).run(lambda client: client.tokens.revoke(token))
    say(f"{token}: revoked")


def _state(token: Token) -> str:
    if token.revoked_at is not None:
        return "revoked"
    if token.expires_at is None:
        return "valid"
    return "expired" if token.expires_at <= datetime.now(UTC) else f"valid until {moment(token.expires_at)}"
