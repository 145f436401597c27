"""Databases for tests, cloned from one that was migrated once.

Owns their names, their making and their end. It refuses to share one between tests that did not ask for it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from retinue_core.db.migrate import migrate_all, rooms
from retinue_core.embedded import EmbeddedPostgres

_TEMPLATE = "migrated"


class Databases:
    """The databases of one test run on one server."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        """Take a running server; the template is migrated when the first clone is asked for."""
        self._server = server
        self._numbers = itertools.count(1)
        self._migrated = False

    @contextmanager
    def clone(self) -> Iterator[str]:
        """Give the URL of a fresh, migrated database, and drop it afterwards whoever is still connected."""
        self._migrate_once()
        name = f"test_{next(self._numbers)}"
        self._run(f"create database {name} template {_TEMPLATE}")
        try:
            yield self._server.database_url(name)
        finally:
            self._run(f"drop database {name} with (force)")

    @contextmanager
    def empty(self) -> Iterator[str]:
        """Give the URL of a database with nothing in it."""
        name = f"test_{next(self._numbers)}"
        self._run(f"create database {name}")
        try:
            yield self._server.database_url(name)
        finally:
            self._run(f"drop database {name} with (force)")

    def _migrate_once(self) -> None:
        if not self._migrated:
            self._run(f"create database {_TEMPLATE}")
            migrate_all(self._server.database_url(_TEMPLATE), rooms())
            self._migrated = True

    def _run(self, statement: str) -> None:
        with psycopg.connect(self._server.database_url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())
