"""Executions, their journals, the sessions that hold them, and the two outboxes.

The journal is partitioned by the execution's id: ids are UUIDv7 and grow with time, so a partition is a span of time
and yet one execution's entries are in one partition under one primary key.
"""

from alembic import op

from retinue_core.db.idempotency import idempotency_table
from retinue_core.db.schema import role_name, schema_name, tenant_table

revision = "0001"
down_revision = None

_TABLES = """
create table executions (
    id uuid primary key,
    organization_id uuid not null,
    agent_id uuid not null,
    agent_name text not null,
    agent_version text not null,
    spec_digest bytea not null,
    status text not null check (
        status in ('PENDING', 'RUNNING', 'WAITING', 'PAUSED', 'COMPLETED', 'FAILED', 'CANCELLED')),
    priority smallint not null default 2,
    pool text not null default 'default',
    attempt integer not null default 0,
    fence bigint not null default 0,
    session_id uuid,
    last_sequence integer not null default 0,
    input_json text not null,
    output_json text,
    error_code text,
    error_message text,
    error_retryable boolean,
    error_details jsonb,
    input_tokens bigint not null default 0,
    output_tokens bigint not null default 0,
    cache_read_tokens bigint not null default 0,
    cache_write_tokens bigint not null default 0,
    tool_calls bigint not null default 0,
    steps bigint not null default 0,
    cost_micros bigint not null default 0,
    credits bigint not null default 0,
    booked bigint[] not null default '{0,0,0,0,0,0}',
    conversation_id text not null default '',
    project_id text not null default '',
    traceparent text not null default '',
    metadata_json text not null default '',
    created_by text not null,
    waiting_for text not null default '',
    idempotency_key text not null default '',
    created_at timestamptz not null default now(),
    available_at timestamptz not null default now(),
    deadline_at timestamptz not null,
    started_at timestamptz,
    completed_at timestamptz
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02)
"""

_INDEXES = (
    "create index executions_runnable on executions (pool, priority desc, id) where status = 'PENDING'",
    "create index executions_held on executions (session_id) where status = 'RUNNING'",
    "create index executions_deadline on executions (deadline_at) where status in ('PENDING', 'RUNNING')",
    "create index executions_by_organization on executions (organization_id, id)",
    "create index executions_by_agent on executions (organization_id, agent_id, id)",
    "create index executions_by_creator on executions (organization_id, created_by, id)",
    "create index executions_by_idempotency_key on executions (organization_id, created_by, idempotency_key)"
    " where idempotency_key <> ''",
    "create index executions_by_conversation on executions (organization_id, conversation_id, id)"
    " where conversation_id <> ''",
    "create index executions_by_project on executions (organization_id, project_id, id) where project_id <> ''",
)

_SPECS = """
create table specs (
    organization_id uuid not null,
    digest bytea not null,
    spec bytea not null,
    created_at timestamptz not null default now(),
    primary key (organization_id, digest)
)
"""

_JOURNAL = """
create table journal (
    execution_id uuid not null,
    sequence integer not null,
    organization_id uuid not null,
    kind text not null,
    body bytea not null,
    recorded_at timestamptz not null default now(),
    primary key (execution_id, sequence)
) partition by range (execution_id)
"""

_SESSIONS = """
create table sessions (
    id uuid primary key,
    worker text not null,
    pool text not null,
    slots integer not null,
    attached_at timestamptz not null default now(),
    expires_at timestamptz not null
) with (fillfactor = 50)
"""

# What was committed and not yet told to others. A row is deleted by its id when it is done; a watermark would lose
# rows, for commits do not become visible in the order of their numbers.
_OUTBOX = """
create table outbox (
    id uuid primary key,
    execution_ids uuid[] not null,
    first_sequences integer[] not null,
    last_sequences integer[] not null,
    created_at timestamptz not null default now()
)
"""

_UNSETTLED = """
create table unsettled (
    reservation_id text primary key,
    organization_id uuid not null,
    input_tokens bigint not null,
    output_tokens bigint not null,
    cost_micros bigint not null,
    credits bigint not null,
    steps bigint not null,
    tool_calls bigint not null,
    ended text not null,
    created_at timestamptz not null default now()
)
"""

# Owned by the migrating role: the room's own role may not create tables, but may ask for the next partition.
_PARTITION = """
create function add_journal_partition(month date) returns void
language plpgsql security definer set search_path = {schema} as $body$
declare
    first date := date_trunc('month', month);
    name text := 'journal_' || to_char(first, 'YYYYMM');
    low uuid := journal_bound(first);
    high uuid := journal_bound((first + interval '1 month')::date);
begin
    if to_regclass(name) is not null then return; end if;
    execute format('create table %I partition of journal for values from (%L) to (%L)', name, low, high);
end
$body$
"""

_BOUND = """
create function journal_bound(day date) returns uuid language sql immutable as $body$
    select (lpad(to_hex((extract(epoch from day::timestamp at time zone 'UTC') * 1000)::bigint), 12, '0')
        || repeat('0', 20))::uuid
$body$
"""


def upgrade() -> None:
    """Make the tables of the room."""
    for statement in (_TABLES, *_INDEXES, _SPECS, _JOURNAL, _SESSIONS, _OUTBOX, _UNSETTLED, _BOUND):
        op.execute(statement)
    op.execute(_PARTITION.format(schema=schema_name("execution")))
    op.execute("create table journal_default partition of journal default")
    for months in (0, 1):
        op.execute(f"select add_journal_partition((now() at time zone 'UTC' + interval '{months} month')::date)")
    for table in ("executions", "specs", "journal", "unsettled"):
        for statement in tenant_table(table):
            op.execute(statement)
    for statement in idempotency_table():
        op.execute(statement)
    op.execute(f"grant execute on function add_journal_partition(date) to {role_name('execution')}")
