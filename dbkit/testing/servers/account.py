"""The account under which servers run: oneself, or an unprivileged one where the caller is root."""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbkit.exceptions import BackendNotAvailable


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this machine."""

    name: str
    uid: int
    gid: int

    @property
    def is_caller(self) -> bool:
        """Whether the calling process runs as this user."""
        return self.uid == os.geteuid()

    def process_arguments(self) -> dict[str, Any]:
        """Return the arguments with which :class:`subprocess.Popen` runs a program as this user."""
        return {} if self.is_caller else {"user": self.uid, "group": self.gid, "extra_groups": []}

    def give(self, path: Path) -> None:
        """Make this user the owner of a file or folder."""
        if not self.is_caller:
            os.chown(path, self.uid, self.gid)

    def reaches(self, folder: Path) -> bool:
        """Return whether this user can enter the folder; a guess by its mode when it is not the caller."""
        if self.is_caller:
            return os.access(folder, os.W_OK | os.X_OK)
        return all(step.stat().st_mode & 0o001 for step in (folder, *folder.parents))


def server_account(preferred: Sequence[str]) -> Account:
    """Return the user that servers run as: the caller, or the first of ``preferred`` that exists if that is root.

    :raises BackendNotAvailable: none of them exists, or the caller's own user has no name.
    """
    if os.geteuid() != 0:
        try:
            own = pwd.getpwuid(os.geteuid())
        except KeyError as missing:
            raise BackendNotAvailable(
                f"servers need a user with a name, and user id {os.geteuid()} has none; add it to the passwd database"
            ) from missing
        return Account(own.pw_name, own.pw_uid, own.pw_gid)
    for name in preferred:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise BackendNotAvailable(f"servers refuse to run as root, and none of these users exists: {', '.join(preferred)}")


@contextlib.contextmanager
def acting_as_owner(path: Path) -> Iterator[None]:
    """Let root look at things with the rights of the path's owner; nothing changes for any other caller.

    Root in a container often has no right to look into other users' processes, which their owner has. To be used in
    a process without threads only.
    """
    if os.geteuid() != 0:
        yield
        return
    found = path.stat()
    uid, gid = os.geteuid(), os.getegid()
    os.setegid(found.st_gid)
    os.seteuid(found.st_uid)
    try:
        yield
    finally:
        os.seteuid(uid)
        os.setegid(gid)
