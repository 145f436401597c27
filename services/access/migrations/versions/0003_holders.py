"""Who holds an idempotency key: the request that took it may ask again whether it did, and nobody else frees it."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column; what old code takes has no holder, and ends as before."""
    op.execute("alter table idempotency add column holder uuid")
