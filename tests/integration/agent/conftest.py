from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.agent.room import Keys, Room, serve_agents


@pytest.fixture
async def agents(postgres_url: str, nats_url: str, keys: Path) -> AsyncIterator[Room]:
    async with serve_agents(postgres_url, nats_url, Keys(keys)) as room:
        yield room
