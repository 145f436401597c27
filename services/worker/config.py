"""Settings of the worker."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from retinue_core.config import address as host_port
from retinue_core.config import positive, seconds, setting, words
from retinue_core.process import ServiceSettings
from services.worker.egress.policy import Policy, parse_policy


def _policy(text: str) -> Policy:
    return parse_policy(words(text))


def _hosts(text: str) -> frozenset[str]:
    return frozenset(word.lower() for word in words(text))


def _tiers(text: str) -> dict[str, str]:
    tiers = dict(word.split("=", 1) for word in words(text) if "=" in word)
    if len(tiers) != len(words(text)) or not all(tiers) or not all(tiers.values()):
        raise ValueError("it must look like fast=model,balanced=model")
    return tiers


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ServiceSettings):
    """What a worker is told."""

    execution_address: str = setting("RETINUE_EXECUTION_ADDR", "Where execution answers, host:port.", parse=host_port)
    name: str = setting("RETINUE_WORKER_NAME", "Name of this worker, unique among those that run.", default="")
    pool: str = setting("RETINUE_WORKER_POOL", "Pool that this worker belongs to.", default="default")
    slots: int = setting(
        "RETINUE_WORKER_SLOTS", "How many executions it holds at once at most.", default=500, parse=positive
    )
    grace: float = setting(
        "RETINUE_WORKER_GRACE",
        "Seconds it has to finish or hand over when it is told to stop.",
        default=20.0,
        parse=seconds,
    )
    egress: Policy = setting(
        "RETINUE_EGRESS_ALLOW",
        "Inner places that tools may reach all the same: host:port or range[:port], separated by commas.",
        default=Policy(),
        parse=_policy,
    )
    honours_key: frozenset[str] = setting(
        "RETINUE_IDEMPOTENT_HOSTS",
        "Hosts (host or host:port) that take one effect for one Idempotency-Key, so that calls may be repeated.",
        default=frozenset(),
        parse=_hosts,
    )
    anthropic_key: str = setting("ANTHROPIC_API_KEY", "Key of the Anthropic account; no Claude without it.", default="")
    anthropic_url: str = setting("ANTHROPIC_BASE_URL", "Where the Messages API answers.", default="")
    tiers: dict[str, str] | None = setting(
        "RETINUE_MODEL_TIERS", "Models behind the tiers: fast=…,balanced=…,powerful=….", default=None, parse=_tiers
    )
    prices: Path | None = setting(
        "RETINUE_PRICES", "A JSON file that replaces the table of model prices.", default=None, parse=Path
    )

    def unique_name(self) -> str:
        """The worker's name: as set, or made of machine and process."""
        return self.name or f"{socket.gethostname()}-{os.getpid()}"
