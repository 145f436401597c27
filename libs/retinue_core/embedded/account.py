"""The system account of a child whose program refuses root.

Owns the choice of the account and the change to it. It refuses to loosen the permissions of any folder: where root's
home is closed to the account, the child keeps root's right to pass closed folders instead.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION = 0x20080522


@dataclass(frozen=True, slots=True)
class Account:
    """Who a child runs as when this process is root."""

    uid: int
    gid: int
    pass_closed: bool
    """Whether some folder on the way is closed to the account."""

    @classmethod
    def choose(cls, data: Path, programs: Path) -> Account | None:
        """Choose the account for a data folder: none unless we are root, else the folder's owner, else nobody."""
        if os.geteuid() != 0:
            return None
        owner = next(folder for folder in (data, *data.parents) if folder.exists()).stat().st_uid
        try:
            entry = pwd.getpwuid(owner) if owner else pwd.getpwnam("nobody")
        except KeyError:  # a mounted folder whose owner this system does not know
            entry = pwd.getpwnam("nobody")
        closed = any(not _passes(folder, entry) for end in (data, programs / "any") for folder in end.parents)
        return cls(entry.pw_uid, entry.pw_gid, closed)

    def take(self, folder: Path) -> None:
        """Make the account the owner of a folder and, when it was not yet, of all that is in it."""
        if folder.stat().st_uid == self.uid:
            return
        os.chown(folder, self.uid, self.gid)
        for found in folder.rglob("*"):
            os.chown(found, self.uid, self.gid, follow_symlinks=False)

    def become(self, libc: ctypes.CDLL) -> None:
        """Turn this process into the account for good; for a child, before its program."""
        if self.pass_closed:
            libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
        os.setgroups([])
        os.setgid(self.gid)
        os.setuid(self.uid)
        if self.pass_closed:
            kept = 1 << _CAP_DAC_OVERRIDE
            header, sets = struct.pack("=Ii", _CAPABILITY_VERSION, 0), struct.pack("=6I", kept, kept, kept, 0, 0, 0)
            libc.capset(header, sets)
            # Where the system forbids it the program fails to pass the folder and says so itself.
            libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)


def _passes(folder: Path, entry: pwd.struct_passwd) -> bool:
    if not folder.exists():
        return True
    found = folder.stat()
    if found.st_uid == entry.pw_uid:
        return bool(found.st_mode & stat.S_IXUSR)
    return bool(found.st_mode & (stat.S_IXGRP if found.st_gid == entry.pw_gid else stat.S_IXOTH))
