from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from retinue_core.db import Database
from tests.integration.access.room import Access, serve_access
from tests.integration.agent.room import Keys


@pytest.fixture
async def access(postgres_url: str, nats_url: str, keys: Path) -> AsyncIterator[Access]:
    async with serve_access(postgres_url, nats_url, Keys(keys)) as room:
        yield room


@pytest.fixture
async def empty_access(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, "access")
    await database.open()
    yield database
    await database.close()
