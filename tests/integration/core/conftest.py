"""A room that exists in these tests only, with a table of tenant data."""

from __future__ import annotations

from pathlib import Path

import pytest

import services
from retinue_core.db import migrate

_FIRST = """
from alembic import op

from retinue_core.db import tenant_table

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute("create table things (id int primary key, organization_id uuid not null, name text not null)")
    for statement in tenant_table("things"):
        op.execute(statement)
"""
_SECOND = """
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("alter table things add column colour text")
"""


@pytest.fixture
def probe_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the room `probe` importable as `services.probe` and return its migrations."""
    migrations = tmp_path / "rooms" / "probe" / "migrations"
    (migrations / "versions").mkdir(parents=True)
    (migrations / "env.py").write_text("from retinue_core.db.environment import run\n\nrun()\n")
    (migrations / "versions" / "0001_things.py").write_text(_FIRST)
    monkeypatch.setattr(services, "__path__", [*services.__path__, str(tmp_path / "rooms")])
    return migrations


@pytest.fixture
def second_revision(probe_room: Path) -> str:
    """Add a second revision to the room and return its id."""
    (probe_room / "versions" / "0002_colour.py").write_text(_SECOND)
    return "0002"


@pytest.fixture
def probe_url(probe_room: Path, empty_database_url: str) -> str:
    """Give a database in which the room `probe` is migrated."""
    migrate(empty_database_url, "probe")
    return empty_database_url
