"""A process of the suite: its loop, its log, and how it ends.

Owns the settings that every service has and what happens at a process's edge: an error that an operator can mend is
one line and exit code 1, never a traceback.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path

import uvloop

from retinue_core import telemetry
from retinue_core.config import address, load, log_level, setting
from retinue_core.errors import RetinueError
from retinue_core.identity import Signer, Verifier
from retinue_core.rpc.access import exchange_at
from retinue_core.rpc.door import Door
from retinue_core.rpc.idempotency import Answers
from retinue_core.rpc.tokens import TokenCache

_LOG_LEVEL = ("RETINUE_LOG_LEVEL", "DEBUG, INFO, WARNING or ERROR.")


@dataclass(frozen=True, slots=True, kw_only=True)
class _LogSettings:
    level: str = setting(*_LOG_LEVEL, default="INFO", parse=log_level)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """What every service of the suite is told."""

    identity_jwks: Path = setting("RETINUE_IDENTITY_JWKS", "Path of the public keys of all services.", parse=Path)
    identity_key: Path = setting("RETINUE_IDENTITY_KEY", "Path of this service's private key.", parse=Path)
    access_address: str = setting("RETINUE_ACCESS_ADDR", "Where access answers, host:port.", parse=address)
    otlp_endpoint: str = setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT", "Where traces go by OTLP over gRPC; nowhere when unset.", default=""
    )
    log_level: str = setting(*_LOG_LEVEL, default="INFO", parse=log_level)


@dataclass(frozen=True, slots=True)
class Common:
    """What the composition root of every service begins with."""

    signer: Signer
    verifier: Verifier
    spans: telemetry.Telemetry
    door: Door


def common(
    room: str, settings: ServiceSettings, *, accepts_tokens: bool = True, answers: Answers | None = None
) -> Common:
    """Build the parts that every service has.

    Access itself exchanges no tokens at another service. `answers` keeps what was answered under idempotency keys.
    """
    verifier = Verifier.read(settings.identity_jwks)
    spans = telemetry.Telemetry(room, endpoint=settings.otlp_endpoint)
    tokens = TokenCache(exchange_at(settings.access_address)) if accepts_tokens else None
    door = Door(verifier, spans, tokens=tokens, answers=answers)
    return Common(Signer.read(room, settings.identity_key), verifier, spans, door)


def run(main: Coroutine[None, None, None]) -> None:
    """Run a service's main coroutine to its end on uvloop."""
    try:
        level = load(_LogSettings, os.environ).level
        logging.basicConfig(level=level, format="%(levelname)s %(name)s %(message)s", stream=sys.stderr)
        # Every try to reconnect would be two lines, several times a second; whoever waits for the database says so.
        logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
        uvloop.run(main)
    except RetinueError as error:
        sys.exit(f"error: {error.message}")
    except OSError as error:
        sys.exit(f"error: {error}")
    except (asyncio.CancelledError, KeyboardInterrupt):
        sys.exit(130)
    finally:
        main.close()
