"""What changed between two versions, in every form, and the number it calls for."""

from __future__ import annotations

import json
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.version.domain.compare import Difference, compare, differences, judged, patch, text_diff
from services.version.domain.numbers import Bump, moved
from services.version.domain.version import Version, digest

LEAVES = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.5]) | st.sampled_from(["", "a", "b"])
KEYS = st.sampled_from(["a", "b/c", "d~e", "", "f g"])
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=4))
UNENDED = "\\ No newline at end of file\n"
CONTENTS = st.dictionaries(st.sampled_from(("modelSettings", "tools")), TREES, max_size=2)


def text(value: Any) -> str:
    """JSON as text: Python takes 1 for true."""
    return json.dumps(value, sort_keys=True)


def version(number: str, **content: Any) -> Version:
    return Version("a", "o", number, content, digest(content), "owner", "n")


@given(old=CONTENTS, new=CONTENTS)
def test_the_patch_makes_the_new_content_of_the_old_one(old: dict[str, Any], new: dict[str, Any]) -> None:
    made = patch(old, new)
    assert text(jsonpatch.apply_patch(old, made)) == text(new)
    assert bool(made) == (text(old) != text(new))
    assert {operation["op"] for operation in made} <= {"add", "remove", "replace", "move", "copy", "test"}


@given(old=CONTENTS, new=CONTENTS)
def test_fields_differ_exactly_where_contents_do(old: dict[str, Any], new: dict[str, Any]) -> None:
    found = differences(old, new)
    assert bool(found) == (text(old) != text(new))
    paths = [difference.path for difference in found]
    assert len(paths) == len(set(paths))
    for difference in found:
        assert difference.kind != "CHANGED" or text(difference.old) != text(difference.new)
    mirrored = {"ADDED": "REMOVED", "REMOVED": "ADDED", "CHANGED": "CHANGED"}
    back = [Difference(one.path, mirrored[one.kind], one.new, one.old) for one in found]
    assert text([repr(one) for one in differences(new, old)]) == text([repr(one) for one in back])


@given(old=st.text("ab\n\r\f\u2028", max_size=30), new=st.text("ab\n\r\f\u2028", max_size=30))
def test_a_text_diff_holds_both_texts(old: str, new: str) -> None:
    found = text_diff(old, new, "1.0.0", "1.1.0")
    assert bool(found) == (old != new)
    lines = [f"{line}\n" for line in found.split("\n")[2:-1]]
    for at in reversed([at for at, line in enumerate(lines) if line == UNENDED]):
        lines[at - 1 : at + 1] = [lines[at - 1].removesuffix("\n")]
    if lines and old.count("\n") < 3 and new.count("\n") < 3:
        for sign, whole in (("-", old), ("+", new)):
            assert "".join(line[1:] for line in lines if line[0] in (sign, " ")) == whole


def test_paths_are_those_of_clients() -> None:
    old = {"tools": ["a", "b"], "inputSchema": {"properties": {"x y": {"type": "string"}}}, "maxSteps": 3}
    new = {"tools": ["n", "a", "b"], "inputSchema": {"properties": {"x y": {"type": "number"}}}, "model": "scripted"}
    assert differences(old, new) == [
        Difference('inputSchema.properties["x y"].type', "CHANGED", "string", "number"),
        Difference("maxSteps", "REMOVED", old=3),
        Difference("model", "ADDED", new="scripted"),
        Difference("tools[0]", "ADDED", new="n"),
    ]


def test_a_text_diff_is_unified() -> None:
    assert text_diff("one\ntwo\n", "one\nthree", "1.0.0", "draft") == (
        "--- 1.0.0\n+++ draft\n@@ -1,2 +1,2 @@\n one\n-two\n+three\n\\ No newline at end of file\n"
    )


def test_what_is_huge_is_compared_as_a_whole() -> None:
    old, new = {"modelSettings": {"x": [*range(9_000)]}}, {"modelSettings": {"x": [*range(9_000, 0, -1)]}}
    assert [one.path for one in differences(old, new)] == ["modelSettings"]
    assert patch(old, new) == [{"op": "replace", "path": "/modelSettings", "value": new["modelSettings"]}]
    before, now = ("".join(f"{letter}{at}\nsame {at}\n" for at in range(5_000)) for letter in "ab")
    found = text_diff(before, now, "a", "b")
    assert found.startswith("--- a\n+++ b\n@@ -1,10000 +1,10000 @@\n-a0\n")
    assert found.count("\n") == 20_003


def test_a_comparison_has_it_all() -> None:
    old = version("1.0.0", instructions="Add.\n", model="scripted")
    found = compare(old, version("1.0.1", instructions="Add well.\n", model="scripted"), "1.3.0")
    assert (found.differs, found.bump, found.proposed) == (True, Bump.PATCH, "1.3.1")
    assert found.text.endswith("-Add.\n+Add well.\n")
    assert [reason.path for reason in found.reasons] == ["instructions"]
    same = compare(old, version("2.0.0", instructions="Add.\n", model="scripted"), "2.0.0")
    assert (same.differs, same.bump, same.proposed, same.patch, same.text) == (False, Bump.NONE, "", [], "")


@pytest.mark.parametrize(
    ("bump", "number", "proposed"),
    [
        (Bump.NONE, "1.2.3", ""),
        (Bump.PATCH, "1.2.3", "1.2.4"),
        (Bump.MINOR, "1.2.3", "1.3.0"),
        (Bump.MAJOR, "1.2.3", "2.0.0"),
        (Bump.MAJOR, "0.1.0", "1.0.0"),
        (Bump.MINOR, "3.0.0-rc.1", "3.1.0"),
    ],
)
def test_the_next_number_is_above_the_highest(bump: Bump, number: str, proposed: str) -> None:
    assert moved(number, bump) == proposed


@pytest.mark.parametrize(
    ("old", "new", "bump"),
    [
        ({"instructions": "a"}, {"instructions": "b"}, Bump.PATCH),
        ({"maxSteps": 3}, {"maxSteps": 4}, Bump.PATCH),
        ({}, {"timeout": "5s"}, Bump.PATCH),
        ({"modelSettings": {"a": 1}}, {"modelSettings": {"a": True}}, Bump.PATCH),
        ({"tools": ["a", "b"]}, {"tools": ["b", "a"]}, Bump.PATCH),
        ({"tools": ["a"]}, {"tools": ["a", "b"]}, Bump.MINOR),
        ({"tools": ["a", "b"]}, {"tools": ["a"]}, Bump.MINOR),
        ({"model": "a"}, {"model": "b"}, Bump.MINOR),
        ({}, {"inputSchema": {"type": "object"}}, Bump.MAJOR),
        ({"inputSchema": {"type": "object"}}, {}, Bump.MINOR),
        ({}, {"outputSchema": {"type": "object"}}, Bump.MAJOR),
        ({"outputSchema": {"type": "object"}}, {}, Bump.MAJOR),
        ({"model": "a", "instructions": "a"}, {"model": "b", "instructions": "b"}, Bump.MINOR),
        ({"inputSchema": {"title": "a"}}, {"inputSchema": {"title": "b"}}, Bump.PATCH),
        ({"a": 1}, {"a": 1}, None),
    ],
)
def test_the_rule_for_numbers(old: dict[str, Any], new: dict[str, Any], bump: Bump | None) -> None:
    reasons = judged(old, new)
    assert (reasons[0].bump if reasons else None) == bump
    assert [reason.bump for reason in reasons] == sorted((reason.bump for reason in reasons), reverse=True)
