"""Where the suite is and who calls it: from the environment, a profile, or the `dev.env` of a local suite.

Owns the order in which these are asked, and the profiles that `retinue login` keeps. It refuses to read a profile that
others could have written or can read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from retinue_client.errors import InvalidArgumentError, Kind, Problem, UnauthenticatedError
from retinue_core.config import address
from retinue_core.files import write_private

ROOMS = ("access", "agent", "version", "quota", "execution")
"""The services that a client calls, each at an address of its own."""

_VARIABLES = {f"RETINUE_{room.upper()}_ADDR": room for room in ROOMS}
_TLS = "https://"
_LOGIN = "Run `retinue login`, or set RETINUE_TOKEN."
_START = "Start a suite with `make run`, run `retinue login`, or set RETINUE_ADDR."


@dataclass(frozen=True, slots=True)
class Connection:
    """How the suite is reached.

    `addresses` holds `host:port`, or `https://host:port` for TLS, by service; the one under the empty name serves
    those that are not named. `ca` is a PEM file with the authorities to trust instead of the system's. `home` is the
    folder of a local suite whose addresses these are, for as long as it runs. `source` says in words where all this
    was found.
    """

    addresses: Mapping[str, str]
    token: str = field(default="", repr=False)
    ca: str = ""
    home: str = ""
    source: str = "the arguments"

    def address(self, room: str) -> str:
        """The address of a service. Raises NOT_CONFIGURED."""
        found = self.addresses.get(room) or self.addresses.get("")
        if not found:
            raise not_configured(f"Nothing says where the {room} service is.", _START)
        return found


def not_configured(message: str, *actions: str) -> UnauthenticatedError:
    """The error of a client that does not know where to go or who it is."""
    return UnauthenticatedError(Kind.UNAUTHENTICATED, "NOT_CONFIGURED", message, actions=actions)


def check_address(text: str) -> str:
    """Return `host:port` or `https://host:port` as it is. Raises INVALID_CONFIGURATION."""
    try:
        return _TLS + address(text.removeprefix(_TLS)) if text.startswith(_TLS) else address(text)
    except ValueError as reason:
        raise InvalidArgumentError(
            Kind.INVALID_ARGUMENT,
            "INVALID_CONFIGURATION",
            f"{text!r} is not an address: {reason}, or like https://host:port.",
            problems=(Problem("address", str(reason)),),
        ) from None


def find_connection(environment: Mapping[str, str], *, start: Path | None = None, profile: str = "") -> Connection:
    """Find the suite.

    The environment comes first (RETINUE_ADDR for all services, RETINUE_<SERVICE>_ADDR for one, RETINUE_TOKEN,
    RETINUE_CA); what it leaves open is taken from the profile (RETINUE_PROFILE, or the one named `default`), and
    without a profile from `$RETINUE_HOME/dev.env`. When nothing of all this is set, from `.retinue/dev.env` in the
    folder `start` or above it: a folder that was only entered gets no token that was meant for somebody else.
    """
    told = _told(environment)
    stored, source, home = _stored(environment, profile or environment.get("RETINUE_PROFILE", ""))
    if not told and not stored and (found := find_dev_env(start or Path.cwd())):
        stored, source, home = _told(read_private(found)), str(found), str(found.parent)
    known = {**stored, **told}
    addresses = {room: known[room] for room in ("", *ROOMS) if known.get(room)}
    if "" in told:
        # One address for all of them in the environment outranks several that were stored.
        addresses = {room: place for room, place in addresses.items() if room in told}
    only_told = {"token", *addresses} <= set(told) or not stored
    return Connection(
        {room: check_address(place) for room, place in addresses.items()},
        known.get("token", ""),
        known.get("ca", ""),
        "" if set(addresses) & set(told) else home,
        "the environment" if only_told else source,
    )


def _told(variables: Mapping[str, str]) -> dict[str, str]:
    names = {"RETINUE_ADDR": "", "RETINUE_TOKEN": "token", "RETINUE_CA": "ca", **_VARIABLES}
    return {key: variables[name] for name, key in names.items() if variables.get(name)}


def _stored(environment: Mapping[str, str], profile: str) -> tuple[dict[str, str], str, str]:
    """What a profile or a named home says, that in words, and the home of the local suite that it is about."""
    path = profile_path(profile or "default", environment)
    if profile or path.exists():
        kept = read_private(path)
        home = kept.get("RETINUE_HOME", "")
        return {**_of_home(home), **_told(kept)}, f"the profile {path}", home
    home = environment.get("RETINUE_HOME", "")
    return _of_home(home), str(Path(home) / "dev.env"), home


def _of_home(home: str) -> dict[str, str]:
    """What the suite of a home says, if it runs."""
    path = Path(home) / "dev.env"
    return _told(read_private(path)) if home and path.exists() else {}


def find_dev_env(start: Path) -> Path | None:
    """The `dev.env` of a suite that runs in a folder or above it, if there is one."""
    candidates = (folder / ".retinue" / "dev.env" for folder in (start, *start.parents))
    return next((path for path in candidates if path.is_file()), None)


def profile_path(name: str, environment: Mapping[str, str]) -> Path:
    """Where a profile is kept: `$XDG_CONFIG_HOME/retinue/<name>.env`, `~/.config` where that is unset."""
    if not name.replace("-", "").replace("_", "").isalnum():
        raise InvalidArgumentError(
            Kind.INVALID_ARGUMENT,
            "INVALID_CONFIGURATION",
            f"{name!r} is not a name for a profile: use letters and digits.",
        )
    base = environment.get("XDG_CONFIG_HOME") or Path(environment.get("HOME") or Path.home()) / ".config"
    return Path(base) / "retinue" / f"{name}.env"


def read_private(path: Path) -> dict[str, str]:
    """Read the lines `name=value` of a file that holds a token. Raises NOT_CONFIGURED when others may read it."""
    try:
        mode, text = path.stat(), path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise not_configured(
            f"{path} cannot be read: {getattr(error, 'strerror', 'it is not text')}.", _LOGIN
        ) from None
    if mode.st_mode & (stat.S_IRWXG | stat.S_IRWXO) or mode.st_uid != os.getuid():
        raise not_configured(
            f"{path} holds a token and is open to others.", f"Run `chmod 600 {path}`, and make it your own."
        )
    return _pairs(text)


def write_profile(path: Path, connection: Connection) -> None:
    """Keep a connection as a profile that only its owner can read.

    Of a local suite its home is kept: it has other addresses whenever it is started again.
    """
    variables = {room: name for name, room in _VARIABLES.items()} | {"": "RETINUE_ADDR"}
    if connection.home:
        lines = {"RETINUE_HOME": str(Path(connection.home).absolute())}
    else:
        lines = {variables[room]: place for room, place in connection.addresses.items()}
    lines |= {"RETINUE_TOKEN": connection.token} | ({"RETINUE_CA": connection.ca} if connection.ca else {})
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(path, "".join(f"{name}={value}\n" for name, value in lines.items()).encode())


def _pairs(text: str) -> dict[str, str]:
    lines = (line.strip() for line in text.splitlines())
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
