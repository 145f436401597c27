"""Validation as a function: suggestions, paths, and what a change is judged by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinue_core.errors import RetinueError
from retinue_core.free_json import path
from services.agent.domain.agent import Definition, Spec, merged
from services.agent.domain.schema import schema_findings
from services.agent.domain.validation import check, validate

GOOD = Definition(name="Clerk", spec=Spec(model="scripted"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("changes", "suggestion"),
    [
        ({"tools": ("htp",)}, "Did you mean 'http'?"),
        ({"tools": ("Calculator",)}, "Did you mean 'calculator'?"),
        ({"tools": ("database",)}, "The tools are calculator, http."),
        ({"model": "Balanced"}, "Did you mean 'balanced'?"),
        ({"model": "claude_sonnet-4-5"}, "Did you mean 'claude-sonnet-4-5'?"),
        ({"model_settings": {"script": [[{"tooluse": {}}]]}}, "Did you mean 'toolUse'?"),
        ({"input_schema": {"type": ["string", "nul"]}}, "Did you mean 'null'?"),
    ],
)
def test_what_is_nearly_right_gets_the_right_one_suggested(changes: dict[str, Any], suggestion: str) -> None:
    found = validate(merged(GOOD, changes))
    assert [finding.suggestion for finding in found] == [suggestion]


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object", "properties": {"x": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"type": "integer"}}},
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": ["string", "null"]},
        {"const": {"$ref": "https://example.com"}, "enum": [{"$ref": "x"}]},
        {"properties": {"$ref": {"type": "string"}}},
        {"$defs": {"tree": {"properties": {"next": {"$ref": "#/$defs/tree"}}}}, "$ref": "#/$defs/tree"},
        {"pattern": "^(a+)+$", "format": "email"},
    ],
)
def test_schemas_that_stand_by_themselves_are_fine(schema: dict[str, Any]) -> None:
    assert schema_findings("inputSchema", schema) == []


@given(st.dictionaries(st.sampled_from(["type", "properties", "items", "$ref", "pattern", "allOf", "$id"]), JSON))
def test_no_schema_breaks_the_check(schema: dict[str, Any]) -> None:
    for finding in validate(merged(GOOD, {"input_schema": schema})):
        assert finding.field.startswith("inputSchema")
        assert finding.message
        assert finding.suggestion


@given(JSON)
def test_no_script_breaks_the_check(script: Any) -> None:
    for finding in validate(merged(GOOD, {"model_settings": {"script": script}})):
        assert finding.field.startswith("modelSettings")


def test_a_script_is_judged_only_where_it_is_used() -> None:
    settings = {"script": "not a script"}
    assert validate(merged(GOOD, {"model_settings": settings}))
    assert not validate(merged(GOOD, {"model_settings": settings, "model": "fast"}))


def test_a_change_is_judged_by_what_it_touches() -> None:
    old = replace(GOOD, spec=replace(GOOD.spec, tools=("abacus",)))
    check(merged(old, {"active": False}), {"active"})
    for touched in ({"tools"}, {"instructions"}):
        with pytest.raises(RetinueError):
            check(old, touched)


def test_paths_are_as_clients_write_them() -> None:
    assert path("inputSchema", ["properties", "x", "allOf", 0, "a b", "$ref"]) == (
        'inputSchema.properties.x.allOf[0]["a b"].$ref'
    )
