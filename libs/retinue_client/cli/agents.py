"""Commands about agents and their versions: get, describe, delete, publish.

Owns what their tables show.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retinue_client.cli import executions
from retinue_client.cli.collect import most, page
from retinue_client.cli.output import Column, Format, Output, as_json, say, write, write_facts, write_table
from retinue_client.cli.session import AgentName, session
from retinue_client.cli.text import age, line, moment

if TYPE_CHECKING:
    from retinue_client.agents import Agent
    from retinue_client.client import Retinue

Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.")]

_AGENTS = (
    Column("NAME", lambda agent: line(agent.name, 40)),
    Column("MODEL", lambda agent: agent.model),
    Column("VERSION", lambda agent: agent.current_version or "-"),
    Column("DRAFT", lambda agent: agent.draft_version or "-"),
    Column("STATE", lambda agent: "active" if agent.active else "inactive"),
    Column("UPDATED", lambda agent: age(agent.updated_at)),
    Column("ID", lambda agent: agent.id),
)
_VERSIONS = (
    Column("VERSION", lambda version: version.version),
    Column("STATUS", lambda version: version.status),
    Column("CURRENT", lambda version: "yes" if version.current else ""),
    Column("MODEL", lambda version: version.spec.model),
    Column("PUBLISHED", lambda version: age(version.published_at)),
    Column("CHANGELOG", lambda version: line(version.changelog, 60)),
)
_RECENT = 5


def register(app: typer.Typer) -> None:
    """Add the commands."""
    get = typer.Typer(help="List agents, executions or versions.", rich_markup_mode=app.rich_markup_mode)
    get.command("agents")(get_agents)
    get.command("versions")(get_versions)
    get.command("executions")(executions.get_executions)
    app.add_typer(get, name="get")
    describe = typer.Typer(
        help="Show all there is about one agent, execution or version.", rich_markup_mode=app.rich_markup_mode
    )
    describe.command("agent")(describe_agent)
    describe.command("version")(describe_version)
    describe.command("execution")(executions.describe_execution)
    app.add_typer(describe, name="describe")
    delete = typer.Typer(help="Delete an agent.", rich_markup_mode=app.rich_markup_mode)
    delete.command("agent")(delete_agent)
    app.add_typer(delete, name="delete")
    app.command("publish")(publish)


def get_agents(
    context: typer.Context,
    filter: Annotated[str, typer.Option(help="For example `department=sales AND name:report`.")] = "",
    order_by: Annotated[str, typer.Option(help="name, created_at or updated_at, with ` desc` for the reverse.")] = "",
    limit: Limit = 50,
    output: Output = Format.TABLE,
) -> None:
    """List the agents that you may see."""
    found = session(context).run(
        lambda client: most(client.agents.list(filter=filter, order_by=order_by, page_size=page(limit)), limit)
    )
    write(found, output, lambda: write_table(_AGENTS, found, empty="There are no agents yet: `retinue apply -f` one."))


def get_versions(context: typer.Context, agent: AgentName, limit: Limit = 50, output: Output = Format.TABLE) -> None:
    """List the versions of an agent, the draft first."""
    found = session(context).run(lambda client: most(client.versions.list(agent, page_size=page(limit)), limit))
    write(found, output, lambda: write_table(_VERSIONS, found, empty="There are no versions."))


def describe_agent(context: typer.Context, agent: AgentName, output: Output = Format.TABLE) -> None:
    """Show an agent, its versions and its latest executions."""

    async def ask(client: Retinue) -> tuple[Agent, list[Any], list[Any]]:
        found = await client.agents.get(agent)
        versions = most(client.versions.list(found, page_size=_RECENT), _RECENT)
        runs = most(client.executions.list(found, page_size=_RECENT), _RECENT)
        return found, *await asyncio.gather(versions, runs)

    found, versions, runs = session(context).run(ask)

    def table() -> None:
        write_facts(_facts(found))
        if versions:
            sys.stdout.write("\nVersions\n")
            write_table(_VERSIONS, versions, empty="")
        if runs:
            sys.stdout.write("\nLatest executions\n")
            write_table(executions.COLUMNS[1:], runs, empty="")

    write(found, output, table)


def describe_version(
    context: typer.Context,
    agent: AgentName,
    version: Annotated[str, typer.Argument(help="Its number, or `draft`.")],
    output: Output = Format.YAML,
) -> None:
    """Show a version and what it runs."""
    found = session(context).run(lambda client: client.versions.get(agent, version))
    write(found, output, lambda: write_table(_VERSIONS, [found], empty=""))


def delete_agent(
    context: typer.Context,
    agent: AgentName,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete an agent; its executions stay readable."""

    async def ask(client: Retinue) -> str:
        found = await client.agents.get(agent)
        if not yes and not _confirmed(f"Delete the agent {found.name}?"):
            raise typer.Abort
        await client.agents.delete(found)
        return found.name

    say(f"{session(context).run(ask)}: deleted")


def publish(
    context: typer.Context,
    agent: AgentName,
    changelog: Annotated[str, typer.Option("--changelog", "-m", help="What changed, in your words.")] = "",
    version: Annotated[str, typer.Option(help="The number of the draft, where it matters which.")] = "draft",
    output: Output = Format.TABLE,
) -> None:
    """Freeze the draft of an agent as the version that runs."""
    found = session(context).run(lambda client: client.versions.publish(agent, version, changelog=changelog))
    write(found, output, lambda: say(f"{found.agent_name}: published {found.version}"))


def _confirmed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise typer.BadParameter("nobody can be asked here: pass --yes")
    return typer.confirm(question, err=True)


def _facts(agent: Agent) -> dict[str, str]:
    signature = agent.signature
    schemas = {} if signature else {"input": agent.input_schema, "output": agent.output_schema}
    return {
        "name": agent.name,
        "id": agent.id,
        "description": agent.description,
        "model": agent.model,
        "tools": ", ".join(agent.tools),
        "signature": str(signature) if signature else "",
        **{f"{name} schema": as_json(schema) for name, schema in schemas.items() if schema},
        "instructions": agent.instructions,
        "limits": _limits(agent),
        "visibility": agent.visibility.lower(),
        "state": "active" if agent.active else "inactive",
        "department": agent.department,
        "project": agent.project,
        "tags": ", ".join(agent.tags),
        "runs": agent.current_version or "nothing is published yet",
        "draft": agent.draft_version,
        "created": moment(agent.created_at),
        "updated": moment(agent.updated_at),
    }


def _limits(agent: Agent) -> str:
    time = f", {agent.timeout:g}s" if agent.timeout else ""
    return f"{agent.max_steps} steps, {agent.max_retries} retries{time}"
