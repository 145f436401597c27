"""Settings of the execution room."""

from __future__ import annotations

from dataclasses import dataclass

from retinue_core.config import address as host_port
from retinue_core.config import positive, seconds, setting
from retinue_core.process import ServiceSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ServiceSettings):
    """What the execution room is told."""

    address: str = setting("RETINUE_EXECUTION_ADDR", "Where this service listens, host:port.", parse=host_port)
    version_address: str = setting("RETINUE_VERSION_ADDR", "Where version answers, host:port.", parse=host_port)
    quota_address: str = setting("RETINUE_QUOTA_ADDR", "Where quota answers, host:port.", parse=host_port)
    database_url: str = setting("RETINUE_DATABASE_URL", "The PostgreSQL database.")
    nats_url: str = setting("RETINUE_NATS_URL", "The NATS server.")
    lease: float = setting(
        "RETINUE_LEASE_SECONDS", "Seconds a worker's lease lives without a heartbeat.", default=5.0, parse=seconds
    )
    reattach: float = setting(
        "RETINUE_REATTACH_SECONDS",
        "Seconds a worker whose stream broke has to come back before what it held is given to others.",
        default=1.0,
        parse=seconds,
    )
    sweep: float = setting(
        "RETINUE_SWEEP_SECONDS", "Seconds between two looks for what was left behind.", default=0.5, parse=seconds
    )
    most_attempts: int = setting(
        "RETINUE_MOST_ATTEMPTS", "How many workers an execution may lose.", default=10, parse=positive
    )
    most_waiting: int = setting(
        "RETINUE_MOST_CREATIONS", "How many creations may wait for their commit at once.", default=5_000, parse=positive
    )
