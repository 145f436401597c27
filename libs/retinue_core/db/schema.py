"""How a room appears in PostgreSQL: its schema, its role, and the row-level security of its tables.

Owns these names and statements; runs none of them.
"""

from __future__ import annotations

SCOPE_SETTING = "retinue.organization_id"
"""The session setting that row-level security reads: an organisation's id, or EVERY_ORGANIZATION."""

EVERY_ORGANIZATION = "*"
"""The scope of background work that serves all organisations."""


def schema_name(room: str) -> str:
    """Return the schema that holds the tables of a room."""
    return f"retinue_{room}"


def role_name(room: str) -> str:
    """Return the role a room works as; it owns nothing, so row-level security binds it."""
    return f"retinue_{room}"


def tenant_table(table: str) -> list[str]:
    """Return the statements that confine a table with `organization_id uuid not null` to the scope's organisation.

    For migrations: `for statement in tenant_table("agents"): op.execute(statement)`. The sub-selects make PostgreSQL
    read the setting once for a statement instead of once for a row.
    """
    scope = f"(select current_setting('{SCOPE_SETTING}', true))"
    # A comparison would be planned as if it left one row in hundreds, on top of the query's own condition; of CASE the
    # planner knows nothing and halves, so that it still walks an index in order where a page is wanted.
    condition = f"case {scope} when '{EVERY_ORGANIZATION}' then true else organization_id::text = {scope} end"
    return [
        f"alter table {table} enable row level security",
        f"alter table {table} force row level security",
        f"create policy tenant on {table} using ({condition})",
    ]
