from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.access.room import Access, serve_access
from tests.integration.agent.room import Keys
from tests.integration.quota.room import Quotas, serve_quotas


@pytest.fixture
async def access(postgres_url: str, nats_url: str, keys: Path) -> AsyncIterator[Access]:
    async with serve_access(postgres_url, nats_url, Keys(keys)) as room:
        yield room


@pytest.fixture
async def quotas(postgres_url: str, nats_url: str, keys: Path, access: Access) -> AsyncIterator[Quotas]:
    async with serve_quotas(postgres_url, nats_url, Keys(keys), access.address) as room:
        yield room
