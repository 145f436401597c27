"""Free TCP ports of this machine.

Owns the choice of ports for servers that are started here. It refuses ports of the range from which the system takes
the near end of outgoing connections: between the choice and the listening, or while a server restarts, one of those
would be taken sooner or later.
"""

from __future__ import annotations

import random
import socket

LOOPBACK = "127.0.0.1"
# Linux gives outgoing connections ports from 32768 up, macOS from 49152.
_RANGE = range(20_000, 32_000)


def free_ports(count: int) -> list[int]:
    """Choose different ports of the loopback interface on which nothing listens."""
    found: list[int] = []
    for port in random.sample(_RANGE, len(_RANGE)):
        if len(found) == count:
            return found
        if listenable(port):
            found.append(port)
    raise OSError(f"this machine has no {count} free ports between {_RANGE.start} and {_RANGE.stop}")


def listenable(port: int, host: str = LOOPBACK) -> bool:
    """Say whether a server could listen on a port now."""
    try:
        socket.create_server((host, port)).close()
    except OSError:
        return False
    return True
