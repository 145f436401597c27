"""The tables of access: organisations, users and their API tokens.

Of a token only the SHA-256 of its secret is kept. The secret has 256 random bits, so the hash needs no salt and can be
looked up by an index, which takes the same time whatever the difference to a stored one.
"""

from __future__ import annotations

from alembic import op

from retinue_core.db import tenant_table

revision = "0001"
down_revision = None

ORGANIZATIONS = """
create table organizations (
    organization_id uuid primary key,
    name text not null,
    plan text collate "C" not null,
    created_at timestamptz not null
)
"""

USERS = """
create table users (
    id uuid primary key,
    organization_id uuid not null references organizations,
    email text not null,
    email_key text collate "C" not null,
    name text not null,
    kind text collate "C" not null check (kind in ('PERSON', 'SERVICE_ACCOUNT')),
    role text collate "C" not null check (role in ('ADMIN', 'MEMBER', 'VIEWER')),
    scopes text[] not null,
    created_at timestamptz not null,
    constraint users_email unique (organization_id, email_key)
);
create index users_in_order on users (organization_id, id);
comment on column users.scopes is 'What the user may do beyond the role: platform:admin for operators.';
"""

TOKENS = """
create table tokens (
    id uuid primary key,
    organization_id uuid not null references organizations,
    user_id uuid not null references users,
    name text not null,
    scopes text[] not null,
    hash bytea not null constraint tokens_hash unique,
    prefix text not null,
    expires_at timestamptz,
    created_at timestamptz not null,
    revoked_at timestamptz
);
create index tokens_in_order on tokens (organization_id, id);
create index tokens_of_user on tokens (user_id, id);
"""


def upgrade() -> None:
    for statement in (ORGANIZATIONS, USERS, TOKENS):
        op.execute(statement)
    for table in ("organizations", "users", "tokens"):
        for statement in tenant_table(table):
            op.execute(statement)
