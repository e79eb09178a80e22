"""Files that processes build once, share and keep: a lock for the builder, and an end for those not used any more."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def building(path: Path) -> Iterator[None]:
    """Wait until no other thread or process of this machine builds the file, and hold the lock on it."""
    lock = path.with_suffix(".lock")
    while True:
        with open(lock, "ab", opener=private) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not lock.exists() or not os.path.samestat(os.fstat(file.fileno()), lock.stat()):
                continue  # it was pruned while we waited, and others lock another file by now
            yield
            return


def touch(path: Path) -> None:
    """Note that the file is used: those used last are kept."""
    with contextlib.suppress(FileNotFoundError):
        os.utime(path)


def prune(folder: Path, pattern: str, keep: int) -> None:
    """Remove all but the files used last, with their locks, and what builders that died have left."""
    files = sorted(folder.glob(pattern), key=_last_use, reverse=True)
    for path in files[keep:]:
        path.unlink(missing_ok=True)
        path.with_suffix(".lock").unlink(missing_ok=True)
    suffix = Path(pattern).suffix
    for lock in folder.glob(f"{Path(pattern).stem}.lock"):
        if not lock.with_suffix(suffix).exists():
            _remove_draft(lock)


def _remove_draft(lock: Path) -> None:
    try:
        with open(lock, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lock.with_suffix(".draft").unlink(missing_ok=True)
            lock.unlink(missing_ok=True)
    except (FileNotFoundError, BlockingIOError):  # somebody else removes it, or builds
        return


def private(path: str, flags: int) -> int:
    """Open a file that only its owner may read; for the argument ``opener`` of :func:`open`."""
    return os.open(path, flags, 0o600)


def _last_use(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another process prunes too
        return 0.0
