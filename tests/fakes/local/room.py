"""A room that does nothing but be healthy: real gRPC, or real HTTP for the gateway.

`python tests/fakes/local/room.py ROOM`. It appends its environment to `$ROOM_BOOK` for a test to see what it was told,
and with `FAILS=<room>` that room ends at once with a message.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc


class Door(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"agents": [{"id": "a", "currentVersion": "1.0.0"}]}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def serve_grpc(address: str) -> grpc.Server:
    server = grpc.server(ThreadPoolExecutor(2))
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    server.add_insecure_port(address)
    server.start()
    return server


def main() -> None:
    room = sys.argv[1]
    if os.environ.get("FAILS") == room:
        sys.exit(f"error: {room} has no luck")
    if book := os.environ.get("ROOM_BOOK"):
        with Path(book).open("a") as written:
            told = {name: value for name, value in os.environ.items() if name.startswith(("RETINUE_", "ANTHROPIC_"))}
            written.write(json.dumps({"room": room, "pid": os.getpid(), "told": told}) + "\n")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    if room == "gateway":
        place = (os.environ["RETINUE_HTTP_HOST"], int(os.environ["RETINUE_HTTP_PORT"]))
        threading.Thread(target=ThreadingHTTPServer(place, Door).serve_forever, daemon=True).start()
    elif room != "worker":
        server = serve_grpc(os.environ[f"RETINUE_{room.upper()}_ADDR"])
    print(f"{room} serves", flush=True)
    stop.wait()
    if room not in ("gateway", "worker"):
        server.stop(0)


if __name__ == "__main__":
    main()
