"""The whole suite on one machine: `python -m services`.

Owns the process's edge: settings in, exit status out. A failure that an operator can mend is one line, never a
traceback.
"""

from __future__ import annotations

import asyncio
import os
import sys

from retinue_core.config import load
from retinue_core.errors import RetinueError
from services.local.config import LocalSettings
from services.local.output import Output
from services.local.supervisor import Supervisor


async def suite() -> None:
    """Run the suite as the environment describes it."""
    settings = load(LocalSettings, os.environ)
    output = Output(sys.stderr, os.environ)
    try:
        await Supervisor(settings, os.environ, output).run()
    finally:
        output.close()


def main() -> None:
    """Run until told to stop; exit with status 1 when the suite cannot run."""
    try:
        asyncio.run(suite())
    except RetinueError as error:
        sys.exit(f"retinue: {error.message}")


if __name__ == "__main__":
    main()
