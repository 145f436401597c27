"""Organisations, users and tokens for tests, made over REST by the operator of the suite.

Owns their making and the clients they act through. Each test makes its own, so that no limit, agent or execution of
another test is in its way.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.clients.rest import Rest


class People:
    """Makes people. All their clients are closed with it."""

    def __init__(self, operator: Rest) -> None:
        self.operator = operator
        self._made: list[Rest] = []

    async def organization(self, plan: str = "local") -> str:
        """Create an organisation and return its id."""
        created = await self.operator.post("/v1/organizations", {"name": f"Organisation {uuid.uuid4()}", "plan": plan})
        return str(created["id"])

    async def join(self, organization_id: str, role: str = "MEMBER", **token: Any) -> Rest:
        """Create a user of an organisation and return a client with a token of theirs."""
        user = {"email": f"{uuid.uuid4()}@example.com", "name": "Somebody", "role": role}
        created = await self.operator.post(f"/v1/organizations/{organization_id}/users", user)
        made = Rest(
            self.operator.url,
            await self.token(created["id"], **token),
            organization_id=organization_id,
            user_id=created["id"],
        )
        self._made.append(made)
        return made

    async def founder(self, plan: str = "local") -> Rest:
        """Create an organisation and return its administrator."""
        return await self.join(await self.organization(plan), "ADMIN")

    async def token(self, user_id: str, **fields: Any) -> str:
        """Create a token for a user and return its secret."""
        created = await self.operator.post("/v1/tokens", {"userId": user_id, "name": "test", **fields})
        return str(created["secret"])

    def bearer(self, token: str) -> Rest:
        """Return a client that carries a token, whatever it is worth."""
        self._made.append(Rest(self.operator.url, token))
        return self._made[-1]

    async def leave(self) -> None:
        """Close all clients."""
        for made in self._made:
            await made.http.aclose()


@asynccontextmanager
async def people_of(url: str, token: str) -> AsyncIterator[People]:
    """Give the people of a suite, by the operator's token."""
    async with Rest(url, token) as operator:
        people = People(operator)
        try:
            yield people
        finally:
            await people.leave()
