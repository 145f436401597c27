"""Every setting of every process is in docs/operations.md."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in (ROOT / "services").glob("*/config.py")
)


@pytest.mark.parametrize("module", MODULES)
def test_every_setting_is_documented(module: str) -> None:
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    found = [
        field.metadata["env"]
        for thing in vars(importlib.import_module(module)).values()
        if isinstance(thing, type) and dataclasses.is_dataclass(thing)
        for field in dataclasses.fields(thing)
        if "env" in field.metadata
    ]
    assert found, "a room without settings"
    assert [name for name in found if f"`{name}`" not in page] == []
