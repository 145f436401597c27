from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from retinue_client import Agent, Retinue
from retinue_client.settings import ROOMS
from retinue_core.testing.suite import Suite

ANSWER = [[{"text": '{"answer": "forty-two", "confidence": 0.9}'}]]


def unique(name: str = "agent") -> str:
    return f"{name}-{uuid.uuid4().hex[:12]}"


class Makers:
    """Makes agents that nobody else has."""

    def __init__(self, client: Retinue) -> None:
        self._client = client

    async def agent(self, **fields: Any) -> Agent:
        fields.setdefault("name", unique())
        fields.setdefault("model", "scripted")
        return await self._client.agents.create(**fields)

    async def published(self, script: list[Any], **fields: Any) -> Agent:
        agent = await self.agent(model_settings={"script": script}, **fields)
        await agent.publish()
        return await self._client.agents.get(agent.id)


@pytest.fixture
def addresses(suite: Suite) -> dict[str, str]:
    return {room: suite.address(room) for room in ROOMS}


@pytest.fixture
async def client(suite: Suite, addresses: dict[str, str]) -> AsyncIterator[Retinue]:
    async with Retinue(addresses, suite.token) as client:
        yield client


@pytest.fixture
def make(client: Retinue) -> Makers:
    return Makers(client)
