"""A slow HTTP server that keeps a book of what it was asked for, as the outside world of tools.

`python -m bench.slow PORT` answers `GET /book` with how many requests it is holding and how often each path was asked
for. Every other request is held: the first for a path until its client goes away, a later one for half a second.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter

import orjson
import uvloop

AGAIN = 0.5
"""Seconds that a request for a path that was asked for before is held."""
_FIRST = 50.0


class Book:
    """What was asked for."""

    def __init__(self) -> None:
        self._asked: Counter[str] = Counter()
        self._held = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request of one connection."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ", 2)[1].decode()
            body = orjson.dumps(self._told() if path == "/book" else await self._hold(path, reader))
            answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
            writer.write(answer + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _told(self) -> dict[str, object]:
        return {"held": self._held, "asked": self._asked}

    async def _hold(self, path: str, reader: asyncio.StreamReader) -> dict[str, bool]:
        self._asked[path] += 1
        self._held += 1
        try:
            async with asyncio.timeout(_FIRST if self._asked[path] == 1 else AGAIN):
                # Whatever body there is; then the end, when the client is gone.
                while await reader.read(1 << 16):
                    pass
        except TimeoutError:
            pass
        finally:
            self._held -= 1
        return {"done": True}


async def _serve(port: int) -> None:
    async with await asyncio.start_server(Book().serve, "127.0.0.1", port, backlog=1_024) as server:
        print("listening", flush=True)
        await server.serve_forever()


def main() -> None:
    """Serve until killed."""
    uvloop.run(_serve(int(sys.argv[1])))


if __name__ == "__main__":
    main()
