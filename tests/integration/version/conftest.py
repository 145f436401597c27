from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.agent.room import Keys, serve_agents
from tests.integration.version.room import Rooms, serve_versions


@pytest.fixture
async def rooms(postgres_url: str, nats_url: str, keys: Path) -> AsyncIterator[Rooms]:
    signing = Keys(keys)
    async with (
        serve_agents(postgres_url, nats_url, signing) as agents,
        serve_versions(agents, postgres_url, nats_url, signing) as both,
    ):
        yield both
