"""Settings of the quota room."""

from __future__ import annotations

from dataclasses import dataclass

from retinue_core.config import address, seconds, setting
from retinue_core.process import ServiceSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ServiceSettings):
    """What the quota room is told."""

    address: str = setting("RETINUE_QUOTA_ADDR", "Where the quota room listens, host:port.", parse=address)
    database_url: str = setting("RETINUE_DATABASE_URL", "The PostgreSQL database.")
    nats_url: str = setting("RETINUE_NATS_URL", "The NATS server.")
    sweep_seconds: float = setting(
        "RETINUE_QUOTA_SWEEP_SECONDS", "How often expired reservations are given back.", parse=seconds, default=1.0
    )
    keep_expired_seconds: float = setting(
        "RETINUE_QUOTA_KEEP_EXPIRED_SECONDS",
        "How long an expired reservation is remembered, so that a late settlement is booked to its user and agent.",
        parse=seconds,
        default=7 * 86_400.0,
    )
