"""The body of every room's Alembic `env.py`.

Owns how a migration is run: on the connection `migrate` hands over, each revision in a transaction, the version table
inside the room's schema. It refuses to be run by the `alembic` command, which knows neither role nor schema.
"""

from __future__ import annotations


def run() -> None:
    """Run the migrations that Alembic asks for; called by `env.py` and nothing else."""
    from alembic import context

    attributes = context.config.attributes
    context.configure(
        connection=attributes["connection"],
        version_table_schema=attributes["schema"],
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()
