"""The tables of quota: limits, counters, reservations and the ledger.

Every time that matters is the database's, in UTC. `counters` is one wide row for each subject, so that a batch costs
one update for each subject it touches, whatever the number of windows; its figures can be rebuilt from `ledger` and
`reservations`. What is looked up for each item of a batch has one index that can serve the look-up: a table that was
empty when its plan was made must not be searched by another index when it is large.
"""

from __future__ import annotations

from alembic import op

from retinue_core.db import tenant_table

revision = "0001"
down_revision = None

LIMITS = """
create table organizations (
    organization_id uuid primary key,
    plan text collate "C" not null,
    learnt_at timestamptz not null
);
comment on table organizations is 'Plan of each organisation; its row is the lock that orders all bookings for it.';

create table plan_limits (
    id uuid not null unique,
    plan text collate "C" not null,
    level text collate "C" not null,
    metric text collate "C" not null,
    period text collate "C" not null,
    ceiling bigint not null check (ceiling >= 0),
    primary key (plan, level, metric, period)
);
insert into plan_limits (id, plan, level, metric, period, ceiling) values
    ('0199a1b0-0000-7000-8000-000000000001', 'standard', 'USER', 'CONCURRENT_EXECUTIONS', '', 10),
    ('0199a1b0-0000-7000-8000-000000000002', 'local', 'USER', 'CONCURRENT_EXECUTIONS', '', 1000);

create table limits (
    id uuid not null unique,
    organization_id uuid not null,
    level text collate "C" not null,
    subject_id text collate "C" not null,
    metric text collate "C" not null,
    period text collate "C" not null,
    ceiling bigint not null check (ceiling >= 0),
    primary key (organization_id, level, subject_id, metric, period)
);
comment on column limits.subject_id is 'Empty: each subject of the level by itself, unless it has a limit of its own.';
"""

COUNTERS = """
create table counters (
    organization_id uuid not null,
    level text collate "C" not null,
    subject_id text collate "C" not null,
    running bigint not null default 0,
    reserved_tokens bigint not null default 0,
    reserved_cost_micros bigint not null default 0,
    reserved_credits bigint not null default 0,
    minute timestamptz not null default '-infinity',
    minute_tokens bigint not null default 0,
    minute_cost_micros bigint not null default 0,
    minute_credits bigint not null default 0,
    day timestamptz not null default '-infinity',
    day_tokens bigint not null default 0,
    day_cost_micros bigint not null default 0,
    day_credits bigint not null default 0,
    month timestamptz not null default '-infinity',
    month_tokens bigint not null default 0,
    month_cost_micros bigint not null default 0,
    month_credits bigint not null default 0,
    total_tokens bigint not null default 0,
    total_cost_micros bigint not null default 0,
    total_credits bigint not null default 0,
    primary key (organization_id, level, subject_id)
) with (fillfactor = 50);
comment on column counters.day is 'The day that day_* counts; an older one counts as zero. So for minute and month.';
"""

RESERVATIONS = """
create table reservations (
    organization_id uuid not null,
    id text collate "C" not null,
    user_id text collate "C" not null,
    agent_id text collate "C" not null,
    execution_id text collate "C" not null,
    project_id text collate "C" not null,
    team_ids text[] not null,
    tokens bigint not null,
    cost_micros bigint not null,
    credits bigint not null,
    unlimited integer not null,
    expires_at timestamptz not null,
    expired_at timestamptz,
    primary key (organization_id, id)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);
create index reservations_running_out on reservations (expires_at) where expired_at is null;
create index reservations_expired on reservations (expired_at) where expired_at is not null;
comment on column reservations.unlimited is 'Metrics without a limit when it was made: 1 tokens, 2 cost, 4 credits.';
comment on column reservations.expired_at is
    'When the sweep gave it back; the row stays a while, so that a late settlement knows whom to book to.';

create table extensions (
    organization_id uuid not null,
    reservation_id text collate "C" not null,
    id text collate "C" not null,
    tokens bigint not null,
    cost_micros bigint not null,
    credits bigint not null,
    unlimited integer not null,
    primary key (organization_id, reservation_id, id)
);
"""

LEDGER = """
create table settled (
    organization_id uuid not null,
    reservation_id text collate "C" not null,
    tokens bigint not null,
    cost_micros bigint not null,
    credits bigint not null,
    unlimited integer not null,
    primary key (organization_id, reservation_id)
);
comment on table settled is 'What each settled reservation had been granted: nothing is booked twice.';

create table ledger (
    organization_id uuid not null,
    reservation_id text collate "C" not null,
    booked_at timestamptz not null,
    user_id text collate "C" not null,
    agent_id text collate "C" not null,
    execution_id text collate "C" not null,
    project_id text collate "C" not null,
    team_ids text[] not null,
    input_tokens bigint not null,
    output_tokens bigint not null,
    cost_micros bigint not null,
    credits bigint not null,
    steps bigint not null,
    tool_calls bigint not null,
    ended text collate "C" not null
);
create index ledger_in_time on ledger (organization_id, booked_at);

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'the ledger is append-only';
end $$;
create trigger append_only before update or delete or truncate on ledger
    for each statement execute function refuse_change();
"""


def upgrade() -> None:
    for statement in (LIMITS, COUNTERS, RESERVATIONS, LEDGER):
        op.execute(statement)
    for table in ("organizations", "limits", "counters", "reservations", "extensions", "settled", "ledger"):
        for statement in tenant_table(table):
            op.execute(statement)
