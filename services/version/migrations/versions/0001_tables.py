"""The tables of versions: what was frozen, which of it is current, and notes on drafts.

A row of `versions` can change only in where it is in its life and in whether the agent room was told of it. The
database itself refuses anything else, to everybody.
"""

from __future__ import annotations

from alembic import op

from retinue_core.db import idempotency_table, tenant_table

revision = "0001"
down_revision = None

VERSIONS = """
create table versions (
    id uuid primary key,
    organization_id uuid not null,
    agent_id uuid not null,
    version text collate "C" not null,
    ordinal integer not null check (ordinal > 0),
    status text collate "C" not null check (status in ('PUBLISHED', 'DEPRECATED', 'ARCHIVED')),
    content jsonb not null,
    digest text collate "C" not null,
    changelog text not null,
    agent_name text not null,
    created_by text collate "C" not null,
    frozen_etag text not null,
    published_at timestamptz not null,
    created_at timestamptz not null,
    recorded_at timestamptz,
    record_tried_at timestamptz not null default now(),
    unique (agent_id, version),
    unique (agent_id, ordinal)
);
create index versions_unrecorded on versions (record_tried_at) where recorded_at is null;
create index versions_by_digest on versions (agent_id, digest);
comment on column versions.ordinal is 'Counts the versions of an agent; numbers only rise, so it sorts them too.';
comment on column versions.frozen_etag is 'Etag of the agent from which the content was taken.';
comment on column versions.recorded_at is 'When the agent room was told; a sweep tells it what it was not told yet.';
"""

FROZEN = """
create function refuse_change() returns trigger language plpgsql as $$
declare
    changing constant text[] := '{status, recorded_at, record_tried_at}';
begin
    if tg_op <> 'UPDATE' or to_jsonb(new) - changing is distinct from to_jsonb(old) - changing then
        raise exception 'a published version never changes' using errcode = 'restrict_violation';
    end if;
    return new;
end $$;
create trigger frozen before update or delete on versions for each row execute function refuse_change();
create trigger frozen_whole before truncate on versions for each statement execute function refuse_change()
"""

HEADS = """
create table heads (
    agent_id uuid primary key,
    organization_id uuid not null,
    current_id uuid references versions (id)
);
comment on table heads is 'Which version of an agent runs; its row is the lock that orders publishes.';

create table notes (
    agent_id uuid primary key,
    organization_id uuid not null,
    version text not null,
    changelog text not null,
    created_by text not null,
    created_at timestamptz not null
);
comment on table notes is 'What was said of a draft when it was opened from a version.'
"""


def upgrade() -> None:
    for statement in (VERSIONS, FROZEN, HEADS):
        op.execute(statement)
    for table in ("versions", "heads", "notes"):
        for statement in tenant_table(table):
            op.execute(statement)
    for statement in idempotency_table():
        op.execute(statement)
