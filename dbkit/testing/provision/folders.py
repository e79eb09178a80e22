"""Where templates are kept between runs, and where a process has the files of its databases."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from dbkit.exceptions import BackendNotAvailable, InvalidSetting
from dbkit.testing.servers.folders import own_folder, shared_base
from dbkit.testing.servers.locks import FileLock

#: Names the folder in which templates are kept between runs.
CACHE_SETTING = "DBKIT_TEST_CACHE"


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder of this user in which templates are kept, created if need be.

    :raises BackendNotAvailable: it belongs to another user, or others may write to it.
    :raises InvalidSetting: the environment names a place where no folder can be made.
    """
    named = environment.get(CACHE_SETTING)
    if named:
        try:
            return _own(Path(named).absolute())
        except OSError as failed:
            raise InvalidSetting(
                f"{CACHE_SETTING} names {named!r}, and that folder cannot be used: {failed.strerror}; name one that "
                "this user can create and write to, or unset it"
            ) from failed
    base = environment.get("XDG_CACHE_HOME") or ""
    home = Path(base) if os.path.isabs(base) else Path(os.path.expanduser("~")) / ".cache"
    try:
        return _own(home / "dbkit")
    except OSError:  # a user without a home, or one that is read-only
        return _own(Path(tempfile.gettempdir()) / f"dbkit-cache-{os.geteuid()}")


def _own(path: Path) -> Path:
    try:
        return own_folder(path)
    except BackendNotAvailable as refused:
        raise BackendNotAvailable(f"test databases are kept in a folder, and {refused} or {CACHE_SETTING}") from refused


def process_folder() -> Path:
    """Return the folder of this process, in memory where there is such a place; it ends with the process.

    If the process is killed, the next one that asks for a folder removes it.
    """
    return _process_folder(os.getpid())


@functools.cache
def _process_folder(process: int) -> Path:
    base = own_folder(shared_base() / f"dbkit-databases-{os.geteuid()}")
    _sweep(base)
    while True:
        folder = base / f"{process}-{secrets.token_hex(4)}"
        lock = FileLock.take(
            folder.with_suffix(".lock")
        )  # before the folder is there, so that nobody takes it for left
        if lock is not None:
            break
    folder.mkdir(mode=0o700)
    atexit.register(_remove, process, folder, lock)
    return folder


def _remove(process: int, folder: Path, lock: FileLock) -> None:
    if os.getpid() == process:  # a forked child has the parent's list of things to do
        shutil.rmtree(folder, ignore_errors=True)
        lock.remove()


def _sweep(base: Path) -> None:
    """Remove what killed processes have left."""
    for path in base.glob("*.lock"):
        with contextlib.suppress(FileNotFoundError):
            lock = FileLock.take(path)
            if lock is not None:
                shutil.rmtree(path.with_suffix(""), ignore_errors=True)
                lock.remove()
