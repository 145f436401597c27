"""Pausing: what is to be journaled when a worker hands an execution back, and since when it is paused."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the two columns."""
    op.execute("alter table executions add column pause_body bytea, add column paused_at timestamptz")
