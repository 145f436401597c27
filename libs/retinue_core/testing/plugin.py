"""The pytest fixtures that every test may ask for.

Owns one PostgreSQL and one NATS for the test run, started when the first test needs them, and everything made on them.
It refuses to reuse a database: what one test writes no other test sees, unless they share `postgres_url`'s module.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from retinue_core.embedded import EmbeddedNats, EmbeddedPostgres
from retinue_core.keyring import ensure_keys, key_path
from retinue_core.testing.databases import Databases
from retinue_core.testing.suite import Suite

ROOMS = ("access", "agent", "version", "quota", "execution", "worker", "gateway")


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """Give a folder for the whole test run."""
    folder = Path(tempfile.mkdtemp(prefix="retinue-test-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(scratch: Path) -> Iterator[EmbeddedPostgres]:
    """Give the PostgreSQL server of the test run. A test that stops it starts its own instead."""
    server = EmbeddedPostgres(scratch / "postgres")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def nats(scratch: Path) -> Iterator[EmbeddedNats]:
    """Give the NATS server of the test run. A test that stops it starts its own instead."""
    server = EmbeddedNats(scratch / "nats")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def databases(postgres: EmbeddedPostgres) -> Databases:
    """Give the maker of databases, for tests that need more than one."""
    return Databases(postgres)


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """Give a migrated database of this test's own."""
    with databases.clone() as url:
        yield url


@pytest.fixture
def empty_database_url(databases: Databases) -> Iterator[str]:
    """Give a database of this test's own with nothing in it."""
    with databases.empty() as url:
        yield url


@pytest.fixture(scope="module")
def postgres_url(databases: Databases) -> Iterator[str]:
    """Give a migrated database that the tests of one module share."""
    with databases.clone() as url:
        yield url


@pytest.fixture(scope="session")
def nats_url(nats: EmbeddedNats) -> str:
    """Give the URL of the NATS server of the test run."""
    return nats.url


@pytest.fixture(scope="session")
def keys(scratch: Path) -> Path:
    """Give a folder with the private key of every room (`<room>.pem`) and all public keys (`jwks.json`)."""
    return ensure_keys(scratch / "keys", ROOMS).parent


@pytest.fixture(scope="session")
def jwks_path(keys: Path) -> Path:
    """Give the file with the public keys of all rooms."""
    return keys / "jwks.json"


@pytest.fixture(scope="session")
def identity_key(keys: Path) -> Callable[[str], Path]:
    """Give the path of a room's private key."""
    return lambda room: key_path(keys, room)


@pytest.fixture(scope="session")
def suite(scratch: Path, databases: Databases, nats: EmbeddedNats) -> Iterator[Suite]:
    """Give the whole suite as processes, on the servers of the test run. It is shared: break your own instead."""
    with databases.empty() as url:
        running = Suite(scratch / "suite", RETINUE_DATABASE_URL=url, RETINUE_NATS_URL=nats.url)
        running.start()
        yield running
        running.stop()


@pytest.fixture
def start_suite(tmp_path: Path) -> Iterator[Callable[..., Suite]]:
    """Give a function that starts a suite of the test's own, on embedded servers unless told otherwise."""
    started: list[Suite] = []

    def start(**environment: str) -> Suite:
        own = Suite(tmp_path / f"suite-{len(started)}", **environment)
        started.append(own)
        own.start()
        return own

    yield start
    for own in started:
        own.stop()
