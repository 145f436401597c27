"""Settings are read once, and everything that is wrong with them is said in one line."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import pytest

from retinue_core.config import address, load, log_level, positive, seconds, setting, words
from retinue_core.errors import Kind, RetinueError


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    where: str = setting("T_WHERE", "Where it answers.", parse=address)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Shared):
    count: int = setting("T_COUNT", "How many.", default=3, parse=positive)
    names: tuple[str, ...] = setting("T_NAMES", "Which.", default=(), parse=words)


def refusal(**environment: str) -> RetinueError:
    with pytest.raises(RetinueError) as refused:
        load(Settings, environment)
    assert (refused.value.kind, refused.value.code) == (Kind.INVALID_ARGUMENT, "INVALID_CONFIGURATION")
    assert "\n" not in refused.value.message
    return refused.value


def test_what_is_set_is_parsed_and_the_rest_has_its_default() -> None:
    settings = load(Settings, {"T_WHERE": "localhost:1", "T_NAMES": " a, b,,c ", "OTHER": "x"})
    assert settings == Settings(where="localhost:1", count=3, names=("a", "b", "c"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.count = 4  # type: ignore[misc]


def test_an_empty_variable_is_one_that_is_not_set() -> None:
    assert load(Settings, {"T_WHERE": "localhost:1", "T_COUNT": ""}).count == 3
    assert [problem.field for problem in refusal(T_WHERE="").problems] == ["T_WHERE"]


def test_everything_that_is_wrong_is_said_at_once_with_what_it_is_for() -> None:
    error = refusal(T_COUNT="many")
    assert [problem.field for problem in error.problems] == ["T_WHERE", "T_COUNT"]
    assert "T_WHERE is not set. Where it answers." in error.message
    assert "T_COUNT 'many' is not usable: it must be a whole number above zero. How many." in error.message


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "x", "", " 1", "²", "٣", "1e3"])
def test_a_number_that_is_not_above_zero_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="whole number above zero"):
        positive(text)


@pytest.mark.parametrize("text", ["0", "-0.5", "nan", "inf", "x", ""])
def test_a_time_that_is_not_above_zero_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="seconds above zero"):
        seconds(text)


@pytest.mark.parametrize("text", ["host", ":1", "host:", "host:x", "host:65536", "host:-1", "host:²", "host:٣", ""])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        address(text)


@pytest.mark.parametrize("text", ["loud", "", "10", "NOTSET"])
def test_what_is_no_log_level_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="INFO"):
        log_level(text)


def test_what_is_right_is_read() -> None:
    assert (positive("12"), seconds("0.5"), address("[::1]:0"), log_level("debug")) == (12, 0.5, "[::1]:0", "DEBUG")
