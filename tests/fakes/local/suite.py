"""`python -m services` with rooms that do nothing but be healthy: `python tests/fakes/local/suite.py`."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from retinue_core.config import load
from retinue_core.errors import RetinueError
from services.local.config import LocalSettings
from services.local.output import Output
from services.local.supervisor import Supervisor

ROOM = str(Path(__file__).with_name("room.py"))


async def suite() -> None:
    output = Output(sys.stderr, os.environ)
    supervisor = Supervisor(
        load(LocalSettings, os.environ), os.environ, output, command=lambda room: [sys.executable, ROOM, room]
    )
    try:
        await supervisor.run()
    finally:
        output.close()


if __name__ == "__main__":
    try:
        asyncio.run(suite())
    except RetinueError as error:
        sys.exit(f"retinue: {error.message}")
