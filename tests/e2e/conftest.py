"""The suite of all end-to-end tests, and the people who use it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from retinue_core.testing.suite import Suite
from tests.clients.people import People, people_of
from tests.clients.rest import Rest


@pytest.fixture
async def people(suite: Suite) -> AsyncIterator[People]:
    """Give the maker of organisations and users."""
    async with people_of(suite.url, suite.token) as people:
        yield people


@pytest.fixture
async def acme(people: People) -> Rest:
    """Give the administrator of an organisation of the test's own."""
    return await people.founder()
