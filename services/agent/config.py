"""Settings of the agent room."""

from __future__ import annotations

from dataclasses import dataclass

from retinue_core.config import address as host_and_port
from retinue_core.config import setting
from retinue_core.process import ServiceSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ServiceSettings):
    """What the agent room is told."""

    address: str = setting("RETINUE_AGENT_ADDR", "Where the agent room listens, host:port.", parse=host_and_port)
    database_url: str = setting("RETINUE_DATABASE_URL", "The PostgreSQL database.")
    nats_url: str = setting("RETINUE_NATS_URL", "The NATS server.")
