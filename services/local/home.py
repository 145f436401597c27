"""The folder that holds everything one local suite keeps: `.retinue/`.

Owns its lock (one supervisor at a time), the bootstrap token and `dev.env`. It refuses a folder it cannot write to.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from retinue_core.errors import precondition
from retinue_core.files import write_private


class Home:
    """An open home; it is locked until this process ends."""

    def __init__(self, path: Path) -> None:
        """Make the folder if need be and lock it. Raises HOME_NOT_WRITABLE or HOME_IN_USE."""
        self.path = path.absolute()
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise precondition(
                "HOME_NOT_WRITABLE",
                f"{self.path} is not writable ({error.strerror}): change its permissions, "
                "or set RETINUE_HOME to a folder that is.",
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise precondition(
                "HOME_IN_USE",
                f"{self.path} is in use by another `python -m services`: stop that one, "
                "or set RETINUE_HOME to another folder.",
            ) from None

    @property
    def left_over(self) -> bool:
        """Whether the last supervisor was killed, so that its services may still be about to end."""
        return self._dev_env.exists()

    def token(self) -> str:
        """Return the bootstrap token, made on the first start."""
        path = self.path / "token"
        if not path.exists():
            write_private(path, f"rtn_{secrets.token_urlsafe(32)}".encode())
        return path.read_text().strip()

    def announce(self, facts: Mapping[str, str]) -> None:
        """Write `dev.env`, which says where everything is."""
        write_private(self._dev_env, "".join(f"{name}={value}\n" for name, value in facts.items()).encode())

    def retract(self) -> None:
        """Remove `dev.env`: what it says is not, or no longer, true."""
        self._dev_env.unlink(missing_ok=True)

    @property
    def _dev_env(self) -> Path:
        return self.path / "dev.env"
