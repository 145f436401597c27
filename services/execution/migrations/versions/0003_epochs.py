"""Sessions that outlive a stream: each stream that a worker goes on with has the next epoch."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column; what old code writes begins with the first epoch, as it should."""
    op.execute("alter table sessions add column epoch integer not null default 1")
