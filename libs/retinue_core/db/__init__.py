"""PostgreSQL as the rooms see it: transactions scoped to an organisation, and migrations.

Owns connections, their role, schema and scope, and the running of each room's Alembic migrations. It refuses to hold
any SQL of a room; that is in the room's `store.py`.
"""

from retinue_core.db.database import Connection, Database
from retinue_core.db.idempotency import Answers, idempotency_table
from retinue_core.db.migrate import migrate
from retinue_core.db.schema import role_name, schema_name, tenant_table

__all__ = [
    "Answers",
    "Connection",
    "Database",
    "idempotency_table",
    "migrate",
    "role_name",
    "schema_name",
    "tenant_table",
]
