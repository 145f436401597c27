"""Which processes the suite is made of, and what each of them is told.

Owns the list of rooms and their environments. It refuses to tell a process a secret that is not its own: the worker
and the gateway learn no database, only the worker learns a model key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from retinue_core.keyring import key_path
from retinue_core.ports import LOOPBACK, free_ports

GRPC_ROOMS = ("access", "agent", "version", "quota", "execution")
"""The rooms that listen for gRPC."""

ROOMS = (*GRPC_ROOMS, "worker", "gateway")

_STORED = {"RETINUE_DATABASE_URL", "RETINUE_NATS_URL"}
_MODEL_KEYS = "ANTHROPIC_"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is settled before the first room starts."""

    database_url: str
    nats_url: str
    host: str
    port: int
    token: str
    jwks: Path
    addresses: Mapping[str, str]

    @property
    def url(self) -> str:
        """Where the REST API is reached from this machine."""
        return f"http://{LOOPBACK if self.host in ('0.0.0.0', '::', '') else self.host}:{self.port}"  # noqa: S104

    def public(self) -> dict[str, str]:
        """What `dev.env` says."""
        return {"RETINUE_URL": self.url, "RETINUE_TOKEN": self.token, **self.addresses}


def choose_addresses() -> dict[str, str]:
    """Give every room that listens an address, by the name of the variable that carries it."""
    ports = free_ports(len(GRPC_ROOMS))
    return {f"RETINUE_{room.upper()}_ADDR": f"{LOOPBACK}:{port}" for room, port in zip(GRPC_ROOMS, ports, strict=True)}


def processes(workers: int) -> Iterator[tuple[str, str]]:
    """Yield the name of every process and its room."""
    for room in GRPC_ROOMS:
        yield room, room
    for number in range(1, workers + 1):
        yield ("worker" if workers == 1 else f"worker-{number}"), "worker"
    yield "gateway", "gateway"


def environment(room: str, facts: Facts, inherited: Mapping[str, str]) -> dict[str, str]:
    """Build the environment of a room from ours."""
    told = {name: value for name, value in inherited.items() if room == "worker" or not name.startswith(_MODEL_KEYS)}
    told |= facts.addresses
    told |= {
        "PYTHONUNBUFFERED": "1",
        "RETINUE_IDENTITY_JWKS": str(facts.jwks),
        "RETINUE_IDENTITY_KEY": str(key_path(facts.jwks.parent, room)),
        "RETINUE_DATABASE_URL": facts.database_url,
        "RETINUE_NATS_URL": facts.nats_url,
    }
    told.pop("RETINUE_BOOTSTRAP_TOKEN", None)
    if room in ("worker", "gateway"):
        for name in _STORED:
            told.pop(name)
    if room == "gateway":
        told |= {"RETINUE_HTTP_HOST": facts.host, "RETINUE_HTTP_PORT": str(facts.port)}
    if room == "access":
        told["RETINUE_BOOTSTRAP_TOKEN"] = facts.token
    return told
