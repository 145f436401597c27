"""How a channel to a service behaves, whoever opens it.

Owns its limits, its keepalive, its reconnects and the retries of what the protos declare idempotent. It knows nothing
of identities, so that a client outside the suite stays light.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

MESSAGE_LIMIT = 64 * 1024 * 1024
_IDEMPOTENT = (MethodOptions.NO_SIDE_EFFECTS, MethodOptions.IDEMPOTENT)
_RETRY = {
    "maxAttempts": 4,
    "initialBackoff": "0.05s",
    "maxBackoff": "1s",
    "backoffMultiplier": 3,
    "retryableStatusCodes": ["UNAVAILABLE"],
}


def channel_options(services: Iterable[ServiceDescriptor] = ()) -> list[tuple[str, Any]]:
    """Options of a channel: limits, keepalive, reconnects within 2 s, and retries of idempotent methods."""
    names = [
        {"service": service.full_name, "method": method.name}
        for service in services
        for method in service.methods
        if method.GetOptions().idempotency_level in _IDEMPOTENT
    ]
    config = {"methodConfig": [{"name": names, "retryPolicy": _RETRY}]} if names else {}
    return [
        ("grpc.max_receive_message_length", MESSAGE_LIMIT),
        ("grpc.max_send_message_length", MESSAGE_LIMIT),
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 2_000),  # how long one attempt may take; gRPC calls it so
        ("grpc.max_reconnect_backoff_ms", 2_000),
        ("grpc.enable_retries", 1),
        ("grpc.service_config", json.dumps(config)),
    ]
