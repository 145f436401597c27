"""Whether a definition may be saved.

Owns the one function that finds all that is wrong with a definition, in the order of the fields. Creating, changing,
checking and publishing an agent all ask it, and nothing else decides.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from retinue_core.errors import Problem, RetinueError, invalid
from retinue_core.free_json import path
from services.agent.domain import known
from services.agent.domain.agent import SPEC_FIELDS, Definition, Spec
from services.agent.domain.findings import Finding, closest, json_findings, text_findings
from services.agent.domain.schema import schema_findings
from services.agent.domain.script import script_findings

_MOST_ACTIONS = 5


def validate(definition: Definition) -> tuple[Finding, ...]:
    """All that is wrong with a definition; nothing when it may be saved."""
    spec = definition.spec
    return (
        *_name(definition.name),
        *text_findings("description", definition.description, known.LONGEST_DESCRIPTION, lines=True),
        *text_findings("instructions", spec.instructions, known.LONGEST_INSTRUCTIONS, lines=True),
        *_model(spec.model),
        *_tools(spec.tools),
        *_schema("inputSchema", spec.input_schema),
        *_schema("outputSchema", spec.output_schema),
        *_bounds(spec),
        *_model_settings(spec),
        *text_findings("department", definition.department, known.LONGEST_LABEL),
        *text_findings("project", definition.project, known.LONGEST_LABEL),
        *_tags(definition.tags),
        *json_findings("metadata", definition.metadata, known.LARGEST_METADATA),
        *json_findings("triggerConfig", definition.trigger_config, known.LARGEST_METADATA),
    )


def check(definition: Definition, changed: Collection[str] | None = None) -> None:
    """Raise INVALID_AGENT_CONFIG with all that is wrong.

    With `changed`, some of the names of fields, only what they touch counts: an agent that was saved under other
    rules can still be switched off or renamed.
    """
    found = validate(definition)
    if changed is not None:
        found = tuple(finding for finding in found if _touches(finding, changed))
    if found:
        raise refused(found)


def refused(found: Collection[Finding]) -> RetinueError:
    """The error for a definition with something wrong in it."""
    problems = [Problem(finding.field, f"{finding.message}. {finding.suggestion}") for finding in found]
    count = f"{len(problems)} things are" if len(problems) > 1 else "One thing is"
    actions = tuple(dict.fromkeys(f"{finding.field}: {finding.suggestion}" for finding in found))
    return invalid(
        f"{count} wrong with the definition of the agent.",
        *problems,
        code="INVALID_AGENT_CONFIG",
        actions=actions[:_MOST_ACTIONS],
    )


def camel(name: str) -> str:
    """The name of a field as clients send it."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _touches(finding: Finding, changed: Collection[str]) -> bool:
    fields = SPEC_FIELDS.union(changed) if SPEC_FIELDS.intersection(changed) else changed
    root = finding.field.partition(".")[0].partition("[")[0]
    return root in {camel(name) for name in fields}


def _name(name: str) -> Iterator[Finding]:
    if not name:
        yield Finding("name", "is missing", f"Give it a name of 1 to {known.LONGEST_NAME} characters.")
    yield from text_findings("name", name, known.LONGEST_NAME)


def _model(model: str) -> Iterator[Finding]:
    examples = "Use 'scripted', a tier (fast, balanced, powerful), a Claude model, or 'provider/model'."
    if not model:
        yield Finding("model", "is missing", examples)
    elif len(model) > known.LONGEST_MODEL or not known.is_model(model):
        shown = model[: known.LONGEST_MODEL]
        yield Finding("model", f"{shown!r} is not a known model", closest(model, known.MODEL_EXAMPLES, examples))


def _tools(tools: tuple[str, ...]) -> Iterator[Finding]:
    if len(tools) > known.MOST_TOOLS:
        yield Finding("tools", f"holds {len(tools)} tools", f"Keep it to {known.MOST_TOOLS} tools.")
        return
    every = "The tools are " + ", ".join(known.TOOLS) + "."
    for index, tool in enumerate(tools):
        where = path("tools", [index])
        if tool not in known.TOOLS:
            yield Finding(where, f"{tool[:100]!r} is not a known tool", closest(tool, known.TOOLS, every))
        elif tool in tools[:index]:
            yield Finding(where, f"{tool!r} is there twice", "Name each tool once.")


def _schema(field: str, schema: dict[str, Any] | None) -> Iterator[Finding]:
    if schema is None:
        return
    found = list(json_findings(field, schema, known.LARGEST_SCHEMA))
    yield from found or schema_findings(field, schema)


def _bounds(spec: Spec) -> Iterator[Finding]:
    if not 1 <= spec.max_steps <= known.MOST_STEPS:
        yield Finding("maxSteps", f"is {spec.max_steps}", f"Choose from 1 to {known.MOST_STEPS}.")
    if spec.timeout is not None and not 0 < spec.timeout <= known.LONGEST_TIMEOUT:
        yield Finding("timeout", f"is {spec.timeout:g} s", "Choose more than 0 s and at most 24 h (86400s).")
    if not 0 <= spec.max_retries <= known.MOST_RETRIES:
        yield Finding("maxRetries", f"is {spec.max_retries}", f"Choose from 0 to {known.MOST_RETRIES}.")


def _model_settings(spec: Spec) -> Iterator[Finding]:
    settings = spec.model_settings or {}
    found = list(json_findings("modelSettings", settings, known.LARGEST_SETTINGS))
    yield from found
    if found:
        return
    if not _is_number(settings.get("temperature", 0), 0, 2):
        yield Finding("modelSettings.temperature", "is not a number from 0 to 2", "Choose from 0 to 2.")
    tokens = settings.get("maxTokens", 1)
    if not _is_number(tokens, 1, 10_000_000) or int(tokens) != tokens:
        yield Finding("modelSettings.maxTokens", "is not a whole number above 0", "Choose a whole number above 0.")
    if spec.model == known.SCRIPTED and "script" in settings:
        yield from script_findings("modelSettings.script", settings["script"])


def _tags(tags: tuple[str, ...]) -> Iterator[Finding]:
    if len(tags) > known.MOST_TAGS:
        yield Finding("tags", f"holds {len(tags)} tags", f"Keep it to {known.MOST_TAGS} tags.")
        return
    for index, tag in enumerate(tags):
        where = path("tags", [index])
        if not tag:
            yield Finding(where, "is empty", "Remove it, or write a word.")
        yield from text_findings(where, tag, known.LONGEST_TAG)


def _is_number(value: Any, least: float, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most
