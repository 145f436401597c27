"""Embedded servers are real servers: durable, restartable, and reachable from any folder."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

import psutil
import psycopg
import pytest
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from retinue_core.embedded import EmbeddedNats, EmbeddedPostgres
from retinue_core.errors import RetinueError

Start = Callable[[Path], EmbeddedPostgres]


@pytest.fixture
def start() -> Iterator[Start]:
    servers: list[EmbeddedPostgres] = []

    def start(path: Path) -> EmbeddedPostgres:
        servers.append(EmbeddedPostgres(path))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def ask(server: EmbeddedPostgres, query: str) -> object:
    with psycopg.connect(server.url, autocommit=True) as connection:
        cursor = connection.execute(query.encode())
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


@pytest.mark.parametrize("folder", ["plain", "with space, comma and 'quote'", "long" * 30])
def test_postgres_starts_in_any_folder(start: Start, tmp_path: Path, folder: str) -> None:
    assert ask(start(tmp_path / folder / "postgres"), "select 1") == 1


def test_a_socket_folder_outside_of_the_data_does_not_outlive_the_server(start: Start, tmp_path: Path) -> None:
    server = start(tmp_path / ("long" * 30) / "postgres")
    sockets = Path(unquote(server.url.partition("host=")[2]))
    assert sockets.is_dir()
    assert not sockets.is_relative_to(tmp_path)
    server.restart()
    assert ask(server, "select 1") == 1
    server.stop()
    assert not sockets.exists()


def test_postgres_keeps_its_data_over_stop_and_crash(start: Start, tmp_path: Path) -> None:
    server = start(tmp_path / "postgres")
    ask(server, "create table kept (n int)")
    for end in (server.stop, server.kill):
        ask(server, "insert into kept values (1)")
        end()
        assert not server.running
        server.start()
    assert ask(server, "select count(*) from kept") == 2


def test_postgres_starts_beside_sessions_of_a_server_that_was_killed(start: Start, tmp_path: Path) -> None:
    server = start(tmp_path / "postgres")
    for _ in range(3):
        sessions = [psycopg.connect(server.url) for _ in range(20)]
        server.kill()
        server.start()
        for session in sessions:
            session.close()
    assert ask(server, "select 1") == 1


def test_postgres_is_durable_and_listens_on_no_port(postgres: EmbeddedPostgres) -> None:
    settings = {name: ask(postgres, f"show {name}") for name in ("fsync", "synchronous_commit", "listen_addresses")}
    assert settings == {"fsync": "on", "synchronous_commit": "on", "listen_addresses": ""}


def test_postgres_never_runs_as_root_and_its_folder_is_closed(postgres: EmbeddedPostgres) -> None:
    assert psutil.Process(postgres.pid).uids().real != 0
    assert postgres.path.stat().st_mode & 0o077 == 0


def test_no_folder_outside_is_opened_for_postgres(start: Start, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    start(closed / "home" / "postgres")
    assert closed.stat().st_mode & 0o777 == 0o700


def test_an_interrupted_first_start_leaves_no_half_cluster(start: Start, tmp_path: Path) -> None:
    half = tmp_path / "postgres.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18")
    assert ask(start(tmp_path / "postgres"), "select 1") == 1
    assert not half.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_postgres_ends_with_its_killed_parent_and_starts_again(start: Start, tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from retinue_core.embedded import EmbeddedPostgres;"
        "server = EmbeddedPostgres(Path(sys.argv[1])); server.start(); print(server.pid, flush=True); time.sleep(600)"
    )
    path = tmp_path / "postgres"
    with subprocess.Popen([sys.executable, "-c", program, path], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        orphan = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    assert ask(start(path), "select 1") == 1
    assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE


def test_a_server_that_cannot_start_says_why(start: Start, tmp_path: Path) -> None:
    server = start(tmp_path / "postgres")
    server.stop()
    with (tmp_path / "postgres" / "postgresql.conf").open("a") as config:
        config.write("\nno_such_setting = 1\n")
    with pytest.raises(RetinueError, match="configuration file"):
        server.start()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedNats]:
    server = EmbeddedNats(tmp_path / "with space" / "nats")
    server.start()
    yield server
    server.stop()


async def connect(server: EmbeddedNats) -> Client:
    client = Client()
    await client.connect(server.url, allow_reconnect=False)
    return client


async def test_nats_keeps_streams_over_a_crash_unless_its_store_is_wiped(broker: EmbeddedNats) -> None:
    client = await connect(broker)
    await client.jetstream().add_stream(name="kept", subjects=["kept.>"])
    await client.jetstream().publish("kept.one", b"1")
    await client.close()

    broker.kill()
    broker.start()
    client = await connect(broker)
    assert (await client.jetstream().stream_info("kept")).state.messages == 1
    await client.close()

    broker.stop()
    broker.wipe()
    broker.start()
    client = await connect(broker)
    with pytest.raises(NotFoundError):
        await client.jetstream().stream_info("kept")
    await client.close()


async def test_nats_answers_only_who_knows_its_token(broker: EmbeddedNats) -> None:
    port = int(broker.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port)) as stranger:
        stranger.settimeout(10)
        stranger.sendall(b'CONNECT {"verbose":false}\r\nPING\r\n')
        said = b""
        while part := stranger.recv(4096):
            said += part
    assert b"Authorization Violation" in said


def test_a_leftover_nats_is_ended_before_its_store_is_used_again(broker: EmbeddedNats) -> None:
    other = EmbeddedNats(broker.path)
    first = psutil.Process(broker.pid)
    other.start()
    try:
        assert not first.is_running() or first.status() == psutil.STATUS_ZOMBIE
        assert other.running
    finally:
        other.stop()
