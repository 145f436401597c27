"""Commands about who you are: login and whoami.

Owns the asking for a token. A profile is written only after the suite has said who the token stands for.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import typer

from retinue_client.cli.output import Format, Output, say, write, write_facts
from retinue_client.cli.session import Session, session
from retinue_client.settings import ROOMS, Connection, check_address, profile_path, write_profile


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("login")(login)
    app.command("whoami")(whoami)


def login(
    context: typer.Context,
    address: Annotated[
        list[str] | None,
        typer.Option(
            "--address",
            metavar="[SERVICE=]HOST:PORT",
            help="Where the suite is; https://HOST:PORT for TLS. Once for all services, or once for each.",
        ),
    ] = None,
    token: Annotated[
        str, typer.Option(help="The API token. Better left out: it is asked for, or read from standard input.")
    ] = "",
    ca: Annotated[str, typer.Option(help="PEM file with the authorities to trust.")] = "",
    name: Annotated[str, typer.Option("--name", help="Name of the profile.")] = "default",
) -> None:
    """Keep the address of a suite and a token as a profile that only you can read.

    Without --address, the suite is the one that would be used now: of the environment, or of `make run` here.
    """
    current = session(context)
    path = profile_path(name, current.environment)
    connection = _connection(current, address or [], ca)
    connection = replace(connection, token=token or _asked_token(connection))
    who = Session.run_at(connection, lambda client: client.whoami())
    write_profile(path, connection)
    say(f"logged in as {who.user.email} of {who.organization.name}: {path}")


def _connection(current: Session, addresses: Sequence[str], ca: str) -> Connection:
    if not addresses:
        found = current.connection()
        return replace(found, ca=ca) if ca else found
    places: dict[str, str] = {}
    for address in addresses:
        room, equals, place = address.partition("=")
        if equals and room not in ROOMS:
            raise typer.BadParameter(f"there is no service {room!r}; there are {', '.join(ROOMS)}")
        places[room if equals else ""] = check_address(place if equals else address)
    return Connection(places, ca=ca)


def _asked_token(connection: Connection) -> str:
    if sys.stdin.isatty():
        return str(
            typer.prompt("API token", default=connection.token or None, hide_input=True, show_default=False, err=True)
        )
    return sys.stdin.readline().strip() or connection.token


def whoami(context: typer.Context, output: Output = Format.TABLE) -> None:
    """Say who your token stands for, and what it allows."""
    current = session(context)
    who = current.run(lambda client: client.whoami())
    facts = {
        "user": who.user.email,
        "name": who.user.name,
        "role": who.user.role.lower(),
        "organization": f"{who.organization.name} ({who.organization.id})",
        "scopes": ", ".join(who.scopes),
        "suite": current.connection().source,
    }
    write(who, output, lambda: write_facts(facts))
