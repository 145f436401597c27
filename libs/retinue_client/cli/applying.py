"""The command `apply`: agents as files say they are.

Owns its order: read and compare everything, have everything checked, and only then change anything. What a file does
not mention stays as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from retinue_client.cli.manifests import Manifest, read_manifests
from retinue_client.cli.output import Format, Output, write
from retinue_client.cli.session import session
from retinue_client.cli.text import clean, line
from retinue_client.errors import InvalidArgumentError, Kind, NotFoundError, Problem

if TYPE_CHECKING:
    from retinue_client.agents import Agent
    from retinue_client.cli.differing import Change
    from retinue_client.client import Retinue

Action = Literal["created", "changed", "unchanged"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to become of one agent."""

    manifest: Manifest
    current: Agent | None
    changes: list[Change]

    @property
    def action(self) -> Action:
        """What it comes to."""
        if self.current is None:
            return "created"
        return "changed" if self.changes else "unchanged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What became of one agent. `draft_version` is empty when there is nothing to publish."""

    name: str
    id: str
    action: str
    fields: list[str]
    published_version: str
    draft_version: str


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("apply")(apply)


def apply(
    context: typer.Context,
    file: Annotated[list[str], typer.Option("--file", "-f", help="YAML or JSON with agents; - for standard input.")],
    publish: Annotated[bool, typer.Option("--publish", help="Publish what is not published yet.")] = False,
    changelog: Annotated[str, typer.Option("--changelog", "-m", help="What changed, in your words.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Create the agents that a file describes, or change them to what it says; again and again to the same end."""
    manifests = read_manifests(file)

    async def work(client: Retinue) -> list[Applied]:
        _check_fit(manifests)
        plans = [await _planned(client, manifest) for manifest in manifests]
        await _check(client, plans)
        if output is Format.TABLE:
            for plan in plans:
                _show(plan, dry_run=dry_run)
        if dry_run:
            return [_outcome(plan, plan.current, "") for plan in plans]
        return [await _carried_out(client, plan, publish=publish, changelog=changelog) for plan in plans]

    found = session(context).run(work)
    write(found, output, lambda: _show_published(found))


def _check_fit(manifests: Iterable[Manifest]) -> None:
    """See that every manifest fits an agent. Raises INVALID_AGENT_CONFIG with all that does not, in all of them."""
    from retinue_client.writing import definition

    problems: list[Problem] = []
    for manifest in manifests:
        try:
            definition(manifest.fields)
        except InvalidArgumentError as error:
            problems += [Problem(f"{manifest.place}: {one.field}", one.message) for one in error.problems]
    _raise(problems)


async def _planned(client: Retinue, manifest: Manifest) -> Plan:
    from retinue_client.agents import Agent
    from retinue_client.cli.differing import changes
    from retinue_client.reading import read
    from retinue_client.writing import definition

    wanted = definition(manifest.fields)
    try:
        current = await client.agents.get(manifest.name)
    except NotFoundError:
        current = None
    after = read(Agent, wanted.message, _client=None)
    paths = tuple(path for path in wanted.paths if path != "etag")
    return Plan(manifest, current, changes(current, after, paths))


async def _check(client: Retinue, plans: Iterable[Plan]) -> None:
    """Have every definition checked. Raises INVALID_AGENT_CONFIG with all that is wrong in all of them."""
    from retinue_client.reading import to_json

    problems: list[Problem] = []
    for plan in plans:
        whole: dict[str, Any] = {**(to_json(plan.current) if plan.current else {}), **plan.manifest.fields}
        if "signature" in plan.manifest.fields:
            whole = {name: value for name, value in whole.items() if name not in ("inputSchema", "outputSchema")}
        for finding in await client.agents.validate(**whole):
            words = " ".join(filter(None, (finding.message, finding.suggestion)))
            problems.append(Problem(f"{plan.manifest.place}: {finding.field}", words))
    _raise(problems)


def _raise(problems: list[Problem]) -> None:
    if problems:
        many = f"{len(problems)} things are" if len(problems) > 1 else "One thing is"
        raise InvalidArgumentError(
            Kind.INVALID_ARGUMENT,
            "INVALID_AGENT_CONFIG",
            f"{many} wrong; nothing was changed.",
            problems=tuple(problems),
        )


async def _carried_out(client: Retinue, plan: Plan, *, publish: bool, changelog: str) -> Applied:
    fields: dict[str, Any] = dict(plan.manifest.fields)
    agent = plan.current
    if agent is None:
        agent = await client.agents.create(**fields)
    elif plan.changes:
        # Only what was compared is overwritten: somebody else's change since is a conflict.
        agent = await client.agents.update(agent, **{**fields, "etag": agent.etag})
    if not publish or not agent.draft_version:
        return _outcome(plan, agent, "")
    version = await client.versions.publish(agent, changelog=changelog)
    return _outcome(plan, agent, version.version)


def _outcome(plan: Plan, agent: Agent | None, published: str) -> Applied:
    return Applied(
        name=plan.manifest.name,
        id=agent.id if agent else "",
        action=plan.action,
        fields=[change.field for change in plan.changes],
        published_version=published,
        draft_version="" if published or agent is None else agent.draft_version,
    )


def _show(plan: Plan, *, dry_run: bool) -> None:
    """Say what becomes of an agent. A new one is shown in full only where it is not made."""
    from rich.console import Console
    from rich.text import Text

    from retinue_client.cli.differing import lines

    colours = {"-": "red", "+": "green"}
    console = Console(highlight=False, soft_wrap=True)
    action = f"{plan.action} (dry run)" if dry_run else plan.action
    console.print(Text(f"{line(plan.manifest.name)}: {action}", style="bold"))
    for change in plan.changes if dry_run or plan.current else ():
        for text in lines(change):
            console.print(Text(f"  {clean(text)}", style=colours.get(text[:1], "")))


def _show_published(found: Iterable[Applied]) -> None:
    for applied in found:
        if applied.published_version:
            sys.stdout.write(f"{line(applied.name)}: published {applied.published_version}\n")
        elif applied.draft_version:
            sys.stdout.write(f"{line(applied.name)}: draft {applied.draft_version} is not published\n")
