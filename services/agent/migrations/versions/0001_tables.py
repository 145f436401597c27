"""The tables of agents: definitions with their drafts, and the terms by which they are found.

Row-level security lets an index be used only through comparisons that cannot leak a row. Those of plain columns are
such, those of arrays, JSON and full-text search are not. So names are kept as a key to compare, and tags and words of
names as rows of their own.
"""

from __future__ import annotations

from alembic import op

from retinue_core.db import idempotency_table, tenant_table

revision = "0001"
down_revision = None

AGENTS = """
create table agents (
    id uuid primary key,
    organization_id uuid not null,
    owner_id text collate "C" not null,
    name text not null,
    name_key text collate "C" not null,
    description text not null,
    department text collate "C" not null,
    project text collate "C" not null,
    tags text[] not null,
    metadata jsonb,
    visibility text collate "C" not null check (visibility in ('PRIVATE', 'TEAM', 'ORGANIZATION', 'PUBLIC')),
    trigger_mode text collate "C" not null check (trigger_mode in ('MANUAL', 'EVENT', 'SCHEDULED')),
    trigger_config jsonb,
    active boolean not null,
    model text collate "C" not null,
    spec jsonb not null,
    current_version text not null,
    latest_version text not null,
    draft_version text not null,
    draft_revision bigint not null,
    draft_edited boolean not null,
    revision bigint not null check (revision > 0),
    created_at timestamptz not null,
    updated_at timestamptz not null,
    deleted_at timestamptz
);
comment on column agents.name_key is 'The name without case; unique in the organisation among what is not deleted.';
comment on column agents.spec is 'The versioned part: that of the draft where there is one, else of the newest.';
comment on column agents.draft_revision is 'The revision at which the versioned part last changed.';
"""

TERMS = """
create table terms (
    agent_id uuid not null references agents (id) on delete cascade,
    organization_id uuid not null,
    kind text collate "C" not null check (kind in ('tag', 'word')),
    term text collate "C" not null,
    public boolean not null,
    primary key (organization_id, kind, term, agent_id)
);
create index terms_of_agent on terms (agent_id);
create index terms_public on terms (kind, term, agent_id) where public;
"""

UNIQUE_NAME = """
create unique index agents_name on agents (organization_id, name_key) where deleted_at is null
"""

# One for each order of each part of a list: all of an organisation, the caller's own, what others share, what is
# public; and one for each field that a filter compares.
INDEXES = {
    "created": ("organization_id, created_at, id", ""),
    "updated": ("organization_id, updated_at, id", ""),
    "own_created": ("organization_id, owner_id, created_at, id", ""),
    "own_updated": ("organization_id, owner_id, updated_at, id", ""),
    "own_name": ("organization_id, owner_id, name_key, id", ""),
    "shared_created": ("organization_id, created_at, id", "visibility in ('ORGANIZATION', 'PUBLIC')"),
    "shared_updated": ("organization_id, updated_at, id", "visibility in ('ORGANIZATION', 'PUBLIC')"),
    "shared_name": ("organization_id, name_key, id", "visibility in ('ORGANIZATION', 'PUBLIC')"),
    "public_created": ("created_at, id", "visibility = 'PUBLIC'"),
    "public_updated": ("updated_at, id", "visibility = 'PUBLIC'"),
    "public_name": ("name_key, id", "visibility = 'PUBLIC'"),
    "department": ("organization_id, department, created_at, id", ""),
    "project": ("organization_id, project, created_at, id", ""),
    "model": ("organization_id, model, created_at, id", ""),
    "visibility": ("organization_id, visibility, created_at, id", ""),
    "inactive": ("organization_id, created_at, id", "not active"),
}

PUBLIC = """
create policy public on agents for select using (visibility = 'PUBLIC' and deleted_at is null);
create policy public on terms for select using (public)
"""


def upgrade() -> None:
    for statement in (AGENTS, TERMS, UNIQUE_NAME):
        op.execute(statement)
    for name, (columns, condition) in INDEXES.items():
        which = f" and {condition}" if condition else ""
        op.execute(f"create index agents_{name} on agents ({columns}) where deleted_at is null{which}")
    for table in ("agents", "terms"):
        for statement in tenant_table(table):
            op.execute(statement)
    for statement in idempotency_table():
        op.execute(statement)
    op.execute(PUBLIC)
