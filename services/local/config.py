"""What `python -m services` reads from the environment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from retinue_core.config import positive, setting


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise ValueError("a port is between 0 and 65535")
    return port


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """Settings of local mode. What it does not know goes on to the services as it is."""

    home: Path = setting("RETINUE_HOME", "Folder for data, keys and dev.env.", default=Path(".retinue"), parse=Path)
    host: str = setting("RETINUE_HTTP_HOST", "Address the REST API listens on.", default="127.0.0.1")
    port: int = setting("RETINUE_HTTP_PORT", "Port of the REST API; 0 takes a free one.", default=8080, parse=_port)
    workers: int = setting("RETINUE_WORKERS", "How many worker processes run.", default=1, parse=positive)
    database_url: str = setting("RETINUE_DATABASE_URL", "A PostgreSQL of your own; embedded when unset.", default="")
    nats_url: str = setting("RETINUE_NATS_URL", "A NATS of your own; embedded when unset.", default="")
