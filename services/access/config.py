"""Settings of the access room."""

from __future__ import annotations

from dataclasses import dataclass

from retinue_core.config import setting
from retinue_core.process import ServiceSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ServiceSettings):
    """What the access room is told. It listens at the address where the other rooms find it."""

    database_url: str = setting("RETINUE_DATABASE_URL", "The PostgreSQL database.")
    nats_url: str = setting("RETINUE_NATS_URL", "The NATS server.")
    bootstrap_token: str = setting(
        "RETINUE_BOOTSTRAP_TOKEN",
        "API token of the first administrator: with it an empty installation gets its first organisation.",
        default="",
    )
