"""Commands about executions that exist: get, describe, steps, logs, cancel.

Owns what their tables show.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retinue_client.cli.collect import most, page
from retinue_client.cli.output import Column, Format, Output, as_json, say, write, write_each, write_facts, write_table
from retinue_client.cli.session import ExecutionId, session
from retinue_client.cli.text import age, clean, length, line, moment, money, number, shown

if TYPE_CHECKING:
    from retinue_client.client import Retinue
    from retinue_client.models import Execution, LogEntry, Step


def took(execution: Execution | None) -> float | None:
    """Seconds from the first worker that took it up to its end; None before that."""
    if execution is None or execution.started_at is None or execution.completed_at is None:
        return None
    return (execution.completed_at - execution.started_at).total_seconds()


def _tokens(found: Any) -> str:
    return number(found.usage.input_tokens + found.usage.output_tokens)


COLUMNS = (
    Column("AGENT", lambda execution: execution.agent_id),
    Column("VERSION", lambda execution: execution.agent_version),
    Column("STATUS", lambda execution: execution.status),
    Column("STEPS", lambda execution: number(execution.usage.steps + execution.usage.tool_calls), number=True),
    Column("TOKENS", _tokens, number=True),
    Column("COST", lambda execution: money(execution.usage.cost_micros), number=True),
    Column("TOOK", lambda execution: length(took(execution)), number=True),
    Column("CREATED", lambda execution: age(execution.created_at)),
    Column("ID", lambda execution: execution.id),
)
"""What is shown of an execution in a list; the agent first."""

_STEPS = (
    Column("#", lambda step: str(step.number), number=True),
    Column("KIND", lambda step: step.kind.lower()),
    Column("ACTION", lambda step: step.action),
    Column("STATUS", lambda step: step.status),
    Column("TOOK", lambda step: length(step.duration), number=True),
    Column("TOKENS", lambda step: _tokens(step) if step.kind == "MODEL" else "", number=True),
    Column("INPUT", lambda step: shown(step.input, 40)),
    Column("OUTPUT", lambda step: step.error.message if step.error else shown(step.output, 60)),
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("steps")(steps)
    app.command("logs")(logs)
    app.command("cancel")(cancel)


def get_executions(
    context: typer.Context,
    agent: Annotated[str, typer.Option("--agent", "-a", help="Only of this agent, by name or id.")] = "",
    status: Annotated[str, typer.Option(help="Only in this state, for example RUNNING.")] = "",
    filter: Annotated[str, typer.Option(help="For example `project_id=p AND priority=HIGH`.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.")] = 20,
    output: Output = Format.TABLE,
) -> None:
    """List executions, the newest first."""

    async def ask(client: Retinue) -> tuple[list[Execution], dict[str, str]]:
        runs = client.executions.list(agent, status=status.upper(), filter=filter, page_size=page(limit))
        found = await most(runs, limit)
        return found, await names_of(client, (run.agent_id for run in found)) if output is Format.TABLE else {}

    found, names = session(context).run(ask)
    named = Column("AGENT", lambda execution: line(names.get(execution.agent_id, execution.agent_id), 30))
    columns = (named, *COLUMNS[1:])
    write(found, output, lambda: write_table(columns, found, empty="There are no such executions."))


async def names_of(client: Retinue, ids: Iterable[str]) -> dict[str, str]:
    """The names of agents by their ids; those that are gone keep their ids."""
    known = list(set(ids))
    agents = await asyncio.gather(*map(client.agents.get, known), return_exceptions=True)
    return {agent_id: getattr(agent, "name", agent_id) for agent_id, agent in zip(known, agents, strict=True)}


def describe_execution(context: typer.Context, execution: ExecutionId, output: Output = Format.TABLE) -> None:
    """Show an execution: what it was given, what it did, what it answered."""

    async def ask(client: Retinue) -> tuple[Execution, list[Step]]:
        found = await client.executions.get(execution)
        return found, [step async for step in client.executions.steps(found)]

    found, done = session(context).run(ask)

    def table() -> None:
        write_facts(_facts(found))
        if done:
            sys.stdout.write("\nSteps\n")
            write_table(_STEPS, done, empty="")

    write(found, output, table)


def steps(context: typer.Context, execution: ExecutionId, output: Output = Format.TABLE) -> None:
    """List what an execution did: model calls and tool calls."""

    async def ask(client: Retinue) -> list[Step]:
        return [step async for step in client.executions.steps(execution)]

    found = session(context).run(ask)
    write(found, output, lambda: write_table(_STEPS, found, empty="It has done nothing yet."))


def logs(
    context: typer.Context,
    execution: ExecutionId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it has ended.")] = False,
    level: Annotated[str, typer.Option(help="Lines at least this serious: DEBUG, INFO, WARN or ERROR.")] = "DEBUG",
    output: Output = Format.TABLE,
) -> None:
    """Print the log of an execution; as JSON, one line for each."""

    known: Any = level

    async def ask(client: Retinue) -> None:
        lines = _followed(client, execution, known) if follow else client.executions.logs(execution, level=known)
        async for entry in lines:
            write_each(entry, output, _text(entry))

    session(context).run(ask)


async def _followed(client: Retinue, execution: str, level: Any) -> AsyncIterator[LogEntry]:
    """The lines of the log as they are written: every event says that there is more to read."""
    told = 0
    async with aclosing(client.executions.watch(execution)) as events:
        async for event in events:
            if event.sequence <= told:
                continue
            async for entry in client.executions.logs(execution, level=level):
                if entry.sequence > told:
                    yield entry
                    told = entry.sequence
            told = max(told, event.sequence)


def cancel(
    context: typer.Context,
    execution: ExecutionId,
    reason: Annotated[str, typer.Option("--reason", "-m", help="Why, for those who read the journal.")] = "",
    output: Output = Format.TABLE,
) -> None:
    """Stop an execution."""
    found = session(context).run(lambda client: client.executions.cancel(execution, reason))
    write(found, output, lambda: say(f"{found.id}: cancelled"))


def _text(entry: LogEntry) -> str:
    facts = " ".join(f"{name}={shown(value)}" for name, value in sorted((entry.metadata or {}).items()))
    words = line(entry.message, 2_000)
    return f"{moment(entry.time)} {entry.level:<5} {words}{f'  {clean(facts)}' if facts else ''}"


def _facts(execution: Execution) -> dict[str, str]:
    usage, error = execution.usage, execution.error
    return {
        "id": execution.id,
        "status": execution.status,
        "waits for": execution.waiting_for,
        "agent": execution.agent_id,
        "version": execution.agent_version,
        "input": _value(execution.input),
        "output": _value(execution.output),
        "error": f"{error.message} [{error.code}]" if error else "",
        "used": f"{usage.steps} model calls, {usage.tool_calls} tool calls, {_tokens(execution)} tokens, "
        f"{money(usage.cost_micros)}",
        "took": length(took(execution)),
        "attempt": str(execution.attempt) if execution.attempt > 1 else "",
        "conversation": execution.conversation_id,
        "project": execution.project_id,
        "trace": execution.trace_id,
        "created": moment(execution.created_at),
        "ended": moment(execution.completed_at),
    }


def _value(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else as_json(value)
