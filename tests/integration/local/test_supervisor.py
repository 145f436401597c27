"""The supervisor of local mode, on real servers and processes, with rooms that do nothing but be healthy."""

from __future__ import annotations

import json
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from retinue_core.embedded import EmbeddedNats
from retinue_core.testing.suite import Suite

PROGRAM = [sys.executable, str(Path(__file__).parents[2] / "fakes" / "local" / "suite.py")]
ROOMS = {"access", "agent", "version", "quota", "execution", "worker", "gateway"}


@pytest.fixture
def start(tmp_path: Path, database_url: str, nats_url: str) -> Iterator[Callable[..., Suite]]:
    """Start a suite of fake rooms, on the servers of the test run unless told otherwise."""
    started: list[Suite] = []

    def start(home: str = "home", **environment: str) -> Suite:
        told = {"RETINUE_DATABASE_URL": database_url, "RETINUE_NATS_URL": nats_url, "ROOM_BOOK": str(tmp_path / "book")}
        started.append(Suite(tmp_path / home, command=PROGRAM, **(told | environment)))
        started[-1].start()
        return started[-1]

    yield start
    for suite in started:
        suite.stop()


def refused(tmp_path: Path, database_url: str, nats_url: str, home: str = "home", **environment: str) -> str:
    """Start a suite that must not start, and return the one line it says."""
    told = {"RETINUE_DATABASE_URL": database_url, "RETINUE_NATS_URL": nats_url}
    suite = Suite(tmp_path / home, command=PROGRAM, **(told | environment))
    with pytest.raises(RuntimeError, match="did not become ready"):
        suite.start()
    assert suite.stop() == 1
    assert "Traceback" not in suite.output()
    return suite.output().strip()


def book(tmp_path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (tmp_path / "book").read_text().splitlines()]


def gone(processes: list[psutil.Process], seconds: float = 20) -> bool:
    """Say whether the processes end."""
    return not psutil.wait_procs(processes, seconds)[1]


def test_it_becomes_ready_and_says_where_everything_is(start: Callable[..., Suite]) -> None:
    suite = start()
    told = suite.home / "dev.env"
    assert stat.S_IMODE(told.stat().st_mode) == 0o600
    assert suite.token.startswith("rtn_")
    assert len(suite.token) == len("rtn_") + 43
    for room in ("access", "agent", "version", "quota", "execution"):
        host, port = suite.address(room).split(":")
        socket.create_connection((host, int(port)), timeout=5).close()
    with urllib.request.urlopen(f"{suite.url}/readyz", timeout=5) as answer:
        assert answer.status == 200


def test_every_line_has_the_name_of_its_process_and_no_colour(start: Callable[..., Suite]) -> None:
    lines = start().output().splitlines()
    assert "agent     | agent serves" in lines
    assert [line for line in lines if " | " not in line] == [line for line in lines if line.startswith("retinue ready")]


def test_a_room_is_told_what_it_needs_and_no_other_secret(start: Callable[..., Suite], tmp_path: Path) -> None:
    suite = start(RETINUE_WORKERS="2", ANTHROPIC_API_KEY="key-of-a-model")
    told = {str(entry["room"]): entry["told"] for entry in book(tmp_path)}
    assert set(told) == ROOMS
    assert len(suite.processes("worker")) == 2
    for room, names in told.items():
        assert isinstance(names, dict)
        assert Path(names["RETINUE_IDENTITY_KEY"]).name == f"{room}.pem"
        assert ("RETINUE_DATABASE_URL" in names) == (room not in ("worker", "gateway"))
        assert ("RETINUE_NATS_URL" in names) == (room not in ("worker", "gateway"))
        assert ("ANTHROPIC_API_KEY" in names) == (room == "worker")
        assert ("RETINUE_BOOTSTRAP_TOKEN" in names) == (room == "access")


def test_private_keys_are_private(start: Callable[..., Suite]) -> None:
    keys = sorted((start().home / "keys").iterdir())
    assert {key.stem for key in keys} == ROOMS | {"jwks"}
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}
    assert "d" not in json.loads((keys[0].parent / "jwks.json").read_text())["keys"][0]


def test_a_room_that_dies_is_started_again(start: Callable[..., Suite], tmp_path: Path) -> None:
    suite = start()
    (first,) = suite.processes("quota")
    first.kill()
    while [entry["room"] for entry in book(tmp_path)].count("quota") < 2:
        time.sleep(0.02)
    (second,) = suite.processes("quota")
    assert second.pid != first.pid
    assert "quota ended (SIGKILL)" in suite.output()


def test_it_stops_cleanly_and_starts_again_as_it_was(start: Callable[..., Suite]) -> None:
    suite = start()
    children = psutil.Process(suite.pid).children(recursive=True)
    token = suite.token
    assert suite.stop() == 0
    assert gone(children)
    assert not (suite.home / "dev.env").exists()
    assert start().token == token


def test_nothing_is_left_of_a_supervisor_that_was_killed(start: Callable[..., Suite]) -> None:
    suite = start(RETINUE_DATABASE_URL="", RETINUE_NATS_URL="")
    children = psutil.Process(suite.pid).children(recursive=True)
    assert {child.name() for child in children} >= {"postgres", "nats-server"}
    suite.kill()
    assert gone(children)


def test_after_a_kill_it_starts_again_on_the_same_data_and_port(start: Callable[..., Suite]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    environment = {"RETINUE_DATABASE_URL": "", "RETINUE_NATS_URL": "", "RETINUE_HTTP_PORT": port}
    first = start(**environment)
    token = first.token
    first.kill()
    assert start(**environment).token == token


def test_its_own_servers_are_started_again(start: Callable[..., Suite]) -> None:
    suite = start(RETINUE_DATABASE_URL="", RETINUE_NATS_URL="")
    for name in ("postgres", "nats-server"):
        (first,) = suite.processes(name)
        first.kill()
        while not (found := suite.processes(name)) or found[0].pid == first.pid:
            time.sleep(0.02)


def test_ctrl_c_while_starting_stops_everything(tmp_path: Path, database_url: str, nats_url: str) -> None:
    told = {"RETINUE_DATABASE_URL": database_url, "RETINUE_NATS_URL": nats_url, "FAILS": "none"}
    suite = Suite(tmp_path / "home", command=PROGRAM, **told)
    suite.spawn()
    while not (children := psutil.Process(suite.pid).children()):
        time.sleep(0.01)
    psutil.Process(suite.pid).send_signal(signal.SIGINT)
    assert suite.stop() == 0
    assert gone(children)


def test_a_second_one_on_the_same_home_is_refused(
    start: Callable[..., Suite], tmp_path: Path, database_url: str, nats_url: str
) -> None:
    first = start()
    said = refused(tmp_path, database_url, nats_url)
    assert "in use by another `python -m services`" in said
    assert said.count("\n") == 0
    assert first.processes("gateway")


def test_a_port_that_is_taken_is_one_clear_line(tmp_path: Path, database_url: str, nats_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        said = refused(tmp_path, database_url, nats_url, RETINUE_HTTP_PORT=port)
    assert said.startswith(f"retinue: port {port} of 127.0.0.1 cannot be listened on: stop what uses it")
    assert said.count("\n") == 0


def test_a_home_that_is_not_writable_is_one_clear_line(tmp_path: Path, database_url: str, nats_url: str) -> None:
    (tmp_path / "file").write_text("not a folder")
    said = refused(tmp_path, database_url, nats_url, RETINUE_HOME=str(tmp_path / "file" / "home"))
    assert "is not writable" in said
    assert "RETINUE_HOME" in said
    assert said.count("\n") == 0


def test_an_unreachable_database_is_one_clear_line(tmp_path: Path, database_url: str, nats_url: str) -> None:
    said = refused(tmp_path, "postgresql://somebody@127.0.0.1:1/nothing", nats_url)
    assert "cannot be reached" in said
    assert "correct RETINUE_DATABASE_URL" in said
    assert "Unset RETINUE_DATABASE_URL" in said
    assert said.count("\n") == 0


def test_an_unreachable_nats_is_one_clear_line(tmp_path: Path, database_url: str, nats: EmbeddedNats) -> None:
    said = refused(tmp_path, database_url, "nats://127.0.0.1:1")
    assert "correct RETINUE_NATS_URL" in said
    assert said.count("\n") == 0


def test_a_setting_that_makes_no_sense_is_one_clear_line(tmp_path: Path, database_url: str, nats_url: str) -> None:
    said = refused(tmp_path, database_url, nats_url, RETINUE_WORKERS="many")
    assert "RETINUE_WORKERS" in said
    assert said.count("\n") == 0


@pytest.mark.parametrize("room", ["quota", "worker"])
def test_a_room_that_cannot_start_ends_the_suite_with_its_reason(
    tmp_path: Path, database_url: str, nats_url: str, room: str
) -> None:
    said = refused(tmp_path, database_url, nats_url, FAILS=room)
    assert said.splitlines()[-1] == f"retinue: {room} does not start: error: {room} has no luck"


def test_a_terminal_that_nobody_reads_does_not_stop_the_suite(tmp_path: Path, database_url: str, nats_url: str) -> None:
    told = {"RETINUE_DATABASE_URL": database_url, "RETINUE_NATS_URL": nats_url}
    suite = Suite(tmp_path / "home", command=PROGRAM, **told)
    with subprocess.Popen(PROGRAM, env=suite.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"retinue ready")
        process.stdout.close()
        process.terminate()
        assert process.wait(60) == 0
