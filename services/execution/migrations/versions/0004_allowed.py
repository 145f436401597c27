"""How long an execution may take, for when it is tried again; and what its idempotency key stood for."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the two columns. Old code leaves them empty."""
    op.execute("alter table executions add column seconds double precision, add column fingerprint bytea")
