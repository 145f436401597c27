"""The rest of a version's life: why it was retired, who did what, and what the agent room knows of it.

History is written once: the database refuses to change or delete it, to everybody.
"""

from __future__ import annotations

from alembic import op

from retinue_core.db import tenant_table

revision = "0002"
down_revision = "0001"

STATUS = """
alter table versions
    add column status_reason text not null default '',
    add column status_changed_at timestamptz;
create or replace function refuse_change() returns trigger language plpgsql as $$
declare
    changing constant text[] := '{status, status_reason, status_changed_at, recorded_at, record_tried_at}';
begin
    if tg_op <> 'UPDATE' or to_jsonb(new) - changing is distinct from to_jsonb(old) - changing then
        raise exception 'a published version never changes' using errcode = 'restrict_violation';
    end if;
    return new;
end $$
"""

TELLING = """
alter table heads
    add column moves bigint not null default 0,
    add column told bigint not null default 0,
    add column tell_tried_at timestamptz not null default '-infinity';
create index heads_untold on heads (tell_tried_at) where told < moves;
comment on column heads.moves is 'Counts how often another version became current.';
comment on column heads.told is 'The move up to which the agent room was told; a sweep tells it the rest.';
comment on column heads.tell_tried_at is 'Since when somebody is telling; nobody else does for some seconds.'
"""

EVENTS = """
create table version_events (
    agent_id uuid not null,
    number integer not null,
    organization_id uuid not null,
    kind text collate "C" not null check (kind in ('PUBLISHED', 'DEPRECATED', 'ARCHIVED', 'ROLLED_BACK')),
    version text collate "C" not null,
    previous text collate "C" not null,
    reason text not null,
    actor text collate "C" not null,
    at timestamptz not null,
    primary key (agent_id, number)
);
comment on table version_events is 'Who did what to the versions of an agent, when and why.';
comment on column version_events.previous is 'Number of the version that was current before; empty if there was none.';
insert into version_events (agent_id, number, organization_id, kind, version, previous, reason, actor, at)
select agent_id, ordinal, organization_id, 'PUBLISHED', version,
    coalesce(lag(version) over (partition by agent_id order by ordinal), ''), changelog, created_by, published_at
from versions;
create function refuse_other_history() returns trigger language plpgsql as $$
begin
    raise exception 'what happened does not change' using errcode = 'restrict_violation';
end $$;
create trigger written_once before update or delete on version_events
    for each row execute function refuse_other_history();
create trigger written_once_whole before truncate on version_events
    for each statement execute function refuse_other_history()
"""


def upgrade() -> None:
    for statement in (STATUS, TELLING, EVENTS):
        op.execute(statement)
    for statement in tenant_table("version_events"):
        op.execute(statement)
