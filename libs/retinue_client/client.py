"""The client: everything a program does with a suite.

Owns the composition of its parts and the life of its connection.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import Self

from retinue_client import account
from retinue_client.account import Tokens
from retinue_client.agents import Agents
from retinue_client.executions import Executions
from retinue_client.models import Caller, GroupBy, Quota, UsageReport
from retinue_client.settings import Connection, check_address, find_connection
from retinue_client.versions import Versions
from retinue_client.wire import Wire


class Retinue:
    """A suite, as its caller sees it. Close it, or use it as a context manager."""

    agents: Agents
    versions: Versions
    executions: Executions
    tokens: Tokens

    def __init__(self, address: str | Mapping[str, str] | Connection, token: str = "", *, ca: str = "") -> None:
        """Take the address (`host:port`, or `https://host:port` for TLS) of all services, or of each by its name.

        `token` is an API token, `ca` a PEM file with the authorities to trust. Nothing is connected yet.
        """
        if not isinstance(address, Connection):
            places = {"": address} if isinstance(address, str) else address
            address = Connection({room: check_address(place) for room, place in places.items()}, token, ca)
        self._wire = Wire(address)
        self.agents = Agents(self._wire, self)
        self.versions = Versions(self._wire, self.agents)
        self.executions = Executions(self._wire, self.agents)
        self.tokens = Tokens(self._wire)

    @classmethod
    def from_env(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Find the suite: RETINUE_… in the environment, a profile of `retinue login`, or `.retinue/dev.env` here."""
        return cls(find_connection(os.environ if environment is None else environment))

    async def whoami(self) -> Caller:
        """Ask who the token stands for."""
        return await account.caller(self._wire)

    async def usage(
        self, *, start: datetime | None = None, end: datetime | None = None, by: GroupBy | None = None
    ) -> UsageReport:
        """Ask what the organisation used between two moments: the last 24 hours unless they are given."""
        return await account.usage(self._wire, start, end, by)

    async def quotas(self) -> tuple[Quota, ...]:
        """Ask for the quotas that hold."""
        return await account.quotas(self._wire)

    async def close(self) -> None:
        """Close the connection; calls under way are cancelled."""
        await self._wire.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
