"""Settings of the gateway, and which generated modules it fronts.

A room's packages decide which upstream answers its RPCs; a new annotated RPC in one of these
modules is served without a line of gateway code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from retinue_core.config import address, positive, seconds, setting

ROOMS: Mapping[str, tuple[str, ...]] = {
    "access": ("retinue.access.v1.access_service_pb2",),
    "agent": ("retinue.agent.v1.agent_service_pb2",),
    "version": ("retinue.version.v1.version_service_pb2",),
    "execution": ("retinue.execution.v1.execution_service_pb2",),
    "quota": ("retinue.quota.v1.quota_service_pb2",),
}


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65535:
        raise ValueError("it must be from 0 to 65535")
    return value


def _flag(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError("it must be 0 or 1")
    return text == "1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the gateway is told."""

    access_address: str = setting("RETINUE_ACCESS_ADDR", "Where access answers, host:port.", parse=address)
    agent_address: str = setting("RETINUE_AGENT_ADDR", "Where agent answers, host:port.", parse=address)
    version_address: str = setting("RETINUE_VERSION_ADDR", "Where version answers, host:port.", parse=address)
    execution_address: str = setting("RETINUE_EXECUTION_ADDR", "Where execution answers, host:port.", parse=address)
    quota_address: str = setting("RETINUE_QUOTA_ADDR", "Where quota answers, host:port.", parse=address)
    host: str = setting("RETINUE_HTTP_HOST", "Address to listen on for REST.", default="127.0.0.1")
    port: int = setting("RETINUE_HTTP_PORT", "Port for REST; 0 takes a free one.", default=8080, parse=_port)
    metrics_port: int | None = setting(
        "RETINUE_METRICS_PORT", "Port of /metrics; the REST port when unset.", default=None, parse=_port
    )
    most_unary: int = setting(
        "RETINUE_GATEWAY_MOST_REQUESTS", "Requests under way at once.", default=1_000, parse=positive
    )
    most_streams: int = setting(
        "RETINUE_GATEWAY_MOST_STREAMS", "Event streams open at once.", default=5_000, parse=positive
    )
    grace: float = setting(
        "RETINUE_GATEWAY_GRACE", "Seconds that a drain waits for what is under way.", default=10.0, parse=seconds
    )
    log_requests: bool = setting(
        "RETINUE_GATEWAY_ACCESS_LOG", "1 logs a line for each request.", default=False, parse=_flag
    )
    otlp_endpoint: str = setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT", "Where traces go by OTLP over gRPC; nowhere when unset.", default=""
    )

    @property
    def addresses(self) -> dict[str, str]:
        """Where each room answers."""
        return {
            "access": self.access_address,
            "agent": self.agent_address,
            "version": self.version_address,
            "execution": self.execution_address,
            "quota": self.quota_address,
        }
