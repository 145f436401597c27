"""Answers that are kept under idempotency keys."""

from alembic import op

from retinue_core.db import idempotency_table

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table."""
    for statement in idempotency_table():
        op.execute(statement)
