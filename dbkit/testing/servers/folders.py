"""Where a run keeps its lock and socket, where servers keep their data, and the record by which both are removed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dbkit.exceptions import BackendNotAvailable
from dbkit.testing.servers.account import Account

#: Names the folder in which runs keep their locks and sockets; for those who need two runs of one project apart.
BASE_SETTING = "DBKIT_TEST_SERVERS_DIR"

_MEMORY = Path("/dev/shm")
_ROOM = 1 << 30  # a template and a handful of servers, at about 40 MB each, with what tests write
_SOCKET_PATH_LIMIT = 107  # sun_path in unix(7), less its closing zero
_PROJECT_MARKS = (".git", "pyproject.toml", "setup.cfg", "setup.py", "tox.ini")
_RUN_FILES = ("socket", "log")


def own_folder(path: Path, *, parents: bool = True) -> Path:
    """Create a folder that only the caller can enter, if need be, and return it.

    :param parents: create those that hold it, too; who else may enter these is not looked at.
    :raises FileNotFoundError: the one that holds it is not there, and is not to be created.
    :raises BackendNotAvailable: it exists and is not such a folder.
    """
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700, parents=parents)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise BackendNotAvailable(
            f"{path} must be a folder of user id {os.geteuid()} that nobody else can enter; remove it, "
            f"or name another place by {BASE_SETTING}"
        )
    return path


def shared_base() -> Path:
    """Return the folder of the machine that is the same for all runs of a user."""
    return _MEMORY if os.access(_MEMORY, os.W_OK | os.X_OK) else Path("/tmp")


def project_folder(start: Path) -> Path:
    """Return the nearest folder at or above ``start`` that looks like a project's, or ``start`` itself."""
    for folder in (start, *start.parents):
        if any((folder / mark).exists() for mark in _PROJECT_MARKS):
            return folder
    return start


@dataclass(frozen=True, slots=True)
class Run:
    """The files of one run of a project's tests."""

    folder: Path

    @classmethod
    def of(cls, environment: Mapping[str, str], start: Path) -> Run:
        """Return the run that a process with this environment and working folder belongs to."""
        named = environment.get(BASE_SETTING)
        base = Path(named).absolute() if named else Path(tempfile.gettempdir()) / f"dbkit-servers-{os.geteuid()}"
        key = hashlib.sha256(os.fsencode(project_folder(start.resolve()))).hexdigest()[:12]
        run = cls(base / key)
        if not named and len(os.fsencode(run.socket)) > _SOCKET_PATH_LIMIT:
            run = cls(Path("/tmp") / f"dbkit-servers-{os.geteuid()}" / key)
        return run

    @property
    def lock(self) -> Path:
        """Held while a supervisor runs or the rest of one is being removed."""
        return self.folder / "lock"

    @property
    def socket(self) -> Path:
        """Where the supervisor listens."""
        return self.folder / "socket"

    @property
    def log(self) -> Path:
        """Where the supervisor writes."""
        return self.folder / "log"

    def create(self) -> None:
        """Create the run's folder if need be.

        :raises FileNotFoundError: somebody has removed the folder that holds it meanwhile.
        :raises BackendNotAvailable: it is not the caller's own, or its path is too long for a socket.
        """
        own_folder(self.folder.parent)
        own_folder(self.folder, parents=False)
        if len(os.fsencode(self.socket)) > _SOCKET_PATH_LIMIT:
            raise BackendNotAvailable(f"{self.socket} is too long a path for a socket; name a shorter {BASE_SETTING}")

    def remove_files(self) -> None:
        """Remove everything but the lock."""
        for name in _RUN_FILES:
            (self.folder / name).unlink(missing_ok=True)

    def remove_folder(self) -> None:
        """Remove the folder, and the one that holds the runs of this user, where nothing is left in them."""
        with contextlib.suppress(OSError):
            self.folder.rmdir()
            self.folder.parent.rmdir()

    def server_folders(self) -> Iterator[tuple[str, Path]]:
        """Return the kind and the folder of each server that was created and not removed, by whatever process."""
        for entry in sorted(self.folder.iterdir()):
            if entry.is_symlink():
                yield entry.name.split("-")[0], Path(os.readlink(entry))

    def new_server_folder(self, kind: str, account: Account) -> Path:
        """Create a folder for a server's data, in memory where there is room.

        It is recorded before it exists, so that no crash can hide it.
        """
        name = f"{kind}-{secrets.token_hex(6)}"
        folder = _data_base(account) / f"dbkit-{name}"
        (self.folder / name).symlink_to(folder)
        folder.mkdir(mode=0o700)
        account.give(folder)
        return folder

    def remove_server_folder(self, folder: Path) -> None:
        """Remove a server's folder and its record."""
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            (self.folder / folder.name.removeprefix("dbkit-")).unlink(missing_ok=True)


def _data_base(account: Account) -> Path:
    candidates = [_MEMORY, Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]
    usable = [place for place in candidates if place.is_dir() and account.reaches(place)]
    for place in usable:
        if shutil.disk_usage(place).free >= _ROOM:
            return place
    if not usable:
        raise BackendNotAvailable(f"user {account.name} can write to none of {', '.join(map(str, candidates))}")
    return max(usable, key=lambda place: shutil.disk_usage(place).free)
