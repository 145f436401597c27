"""Real PostgreSQL and NATS servers from Python wheels, as children of this process.

Owns their whole life on one machine: first start, readiness, stop, restart, data that stays. It refuses to serve a
cluster: in production both are somebody else's, reached by their URLs.
"""

from retinue_core.embedded.nats import EmbeddedNats
from retinue_core.embedded.postgres import EmbeddedPostgres

__all__ = ["EmbeddedNats", "EmbeddedPostgres"]
