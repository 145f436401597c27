"""Private files, keys and ports."""

from __future__ import annotations

import json
import socket
import stat
from pathlib import Path

import pytest

from retinue_core.files import write_private
from retinue_core.identity import Identity, Signer, Verifier
from retinue_core.keyring import ensure_keys, key_path
from retinue_core.ports import free_ports, listenable


def test_a_private_file_is_private_and_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    for text in (b"long and old", b"new"):
        write_private(path, text)
        assert path.read_bytes() == text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_private(path, b"old")
    with pytest.raises(TypeError):
        write_private(path, "text is not bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_keys_sign_what_the_set_verifies(tmp_path: Path) -> None:
    jwks = ensure_keys(tmp_path / "keys", ("access", "worker"))
    token = Signer.read("access", key_path(jwks.parent, "access")).sign(Identity("org", "somebody"), 60)
    assert Verifier.read(jwks).verify(token).subject == "somebody"


def test_keys_that_are_there_are_kept_and_missing_ones_added(tmp_path: Path) -> None:
    jwks = ensure_keys(tmp_path, ("access",))
    before = key_path(tmp_path, "access").read_bytes()
    ensure_keys(tmp_path, ("access", "quota"))
    assert key_path(tmp_path, "access").read_bytes() == before
    assert [key["kid"] for key in json.loads(jwks.read_text())["keys"]] == ["access", "quota"]


def test_a_lost_key_set_is_made_again_from_the_keys(tmp_path: Path) -> None:
    jwks = ensure_keys(tmp_path, ("access",))
    before = jwks.read_text()
    jwks.unlink()
    ensure_keys(tmp_path, ("access",))
    assert jwks.read_text() == before


def test_free_ports_are_different_and_a_taken_one_is_not_listenable() -> None:
    assert len(set(free_ports(20))) == 20
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert not listenable(other.getsockname()[1])
