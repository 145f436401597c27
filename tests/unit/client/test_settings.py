"""Where the suite is: what outranks what, and which files are believed."""

from __future__ import annotations

from pathlib import Path

import pytest

from retinue_client.errors import InvalidArgumentError, UnauthenticatedError
from retinue_client.settings import Connection, find_connection, profile_path, write_profile


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path)}


def dev_env(folder: Path, *lines: str, mode: int = 0o600) -> Path:
    path = folder / ".retinue" / "dev.env"
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(lines))
    path.chmod(mode)
    return path


def profile(environment: dict[str, str], name: str = "default", **addresses: str) -> Path:
    path = profile_path(name, environment)
    write_profile(path, Connection({"": "profile:1", **addresses}, f"rtn_{name}", "/ca.pem"))
    return path


def test_a_suite_that_runs_here_is_found_from_any_folder_below(home: dict[str, str], tmp_path: Path) -> None:
    path = dev_env(tmp_path, "# local", "RETINUE_URL=http://x", "RETINUE_TOKEN=rtn_dev", "RETINUE_AGENT_ADDR=a:1")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    found = find_connection(home, start=below)
    assert (found.address("agent"), found.token, found.source) == ("a:1", "rtn_dev", str(path))


def test_the_environment_outranks_a_profile_and_that_a_suite_here(home: dict[str, str], tmp_path: Path) -> None:
    dev_env(tmp_path, "RETINUE_TOKEN=rtn_dev", "RETINUE_ADDR=dev:1")
    profile(home, agent="agent:1")
    stored = find_connection(home, start=tmp_path)
    assert (stored.address("agent"), stored.address("quota"), stored.token) == ("agent:1", "profile:1", "rtn_default")
    assert stored.ca == "/ca.pem"
    told = find_connection({**home, "RETINUE_TOKEN": "rtn_env"}, start=tmp_path)
    assert (told.address("quota"), told.token) == ("profile:1", "rtn_env")
    everywhere = find_connection({**home, "RETINUE_ADDR": "env:1"}, start=tmp_path)
    assert everywhere.address("agent") == "env:1"
    one = find_connection({**home, "RETINUE_QUOTA_ADDR": "env:2"}, start=tmp_path)
    assert (one.address("agent"), one.address("quota")) == ("agent:1", "env:2")


def test_a_token_of_the_environment_goes_to_no_suite_that_only_lies_about(home: dict[str, str], tmp_path: Path) -> None:
    dev_env(tmp_path, "RETINUE_TOKEN=rtn_dev", "RETINUE_ADDR=elsewhere:1")
    found = find_connection({**home, "RETINUE_TOKEN": "rtn_mine"}, start=tmp_path)
    with pytest.raises(UnauthenticatedError, match="Nothing says where the agent service is") as raised:
        found.address("agent")
    assert raised.value.code == "NOT_CONFIGURED"


def test_a_named_home_is_believed(home: dict[str, str], tmp_path: Path) -> None:
    path = dev_env(tmp_path / "suite", "RETINUE_TOKEN=rtn_dev", "RETINUE_ADDR=dev:1")
    told = {**home, "RETINUE_HOME": str(path.parent), "RETINUE_TOKEN": "rtn_member"}
    found = find_connection(told, start=tmp_path)
    assert (found.address("agent"), found.token) == ("dev:1", "rtn_member")


def test_a_profile_is_chosen_by_its_name(home: dict[str, str], tmp_path: Path) -> None:
    profile(home)
    profile(home, "staging")
    assert find_connection(home, profile="staging", start=tmp_path).token == "rtn_staging"
    assert find_connection({**home, "RETINUE_PROFILE": "staging"}, start=tmp_path).token == "rtn_staging"
    with pytest.raises(UnauthenticatedError, match="cannot be read"):
        find_connection(home, profile="other", start=tmp_path)
    with pytest.raises(InvalidArgumentError, match="not a name for a profile"):
        find_connection(home, profile="../x", start=tmp_path)


def test_only_the_owner_can_read_a_profile(home: dict[str, str], tmp_path: Path) -> None:
    path = profile(home)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0
    path.chmod(0o640)
    with pytest.raises(UnauthenticatedError, match="open to others"):
        find_connection(home, start=tmp_path)


def test_a_dev_env_that_others_can_read_is_not_believed(home: dict[str, str], tmp_path: Path) -> None:
    dev_env(tmp_path, "RETINUE_TOKEN=rtn_dev", mode=0o644)
    with pytest.raises(UnauthenticatedError, match="open to others"):
        find_connection(home, start=tmp_path)


@pytest.mark.parametrize("address", ["host", "host:x", ":1", "https://host", "http://host:1:2:x"])
def test_an_address_that_is_none_is_refused(address: str, home: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="is not an address"):
        find_connection({**home, "RETINUE_ADDR": address}, start=tmp_path)


def test_a_token_is_not_in_the_representation() -> None:
    assert "secret" not in repr(Connection({"": "a:1"}, "rtn_secret"))


def test_a_profile_of_a_local_suite_follows_it_to_its_next_addresses(home: dict[str, str], tmp_path: Path) -> None:
    path = dev_env(tmp_path, "RETINUE_TOKEN=rtn_dev", "RETINUE_ADDR=dev:1")
    found = find_connection(home, start=tmp_path)
    write_profile(profile_path("default", home), found)
    path.write_text("RETINUE_TOKEN=rtn_dev\nRETINUE_ADDR=dev:2\n")
    elsewhere = find_connection(home, start=Path("/"))
    assert (elsewhere.address("agent"), elsewhere.token) == ("dev:2", "rtn_dev")
    path.unlink()
    with pytest.raises(UnauthenticatedError, match="Nothing says where the agent service is"):
        find_connection(home, start=Path("/")).address("agent")
