"""A lock that is a file: held by a process and its heirs, gone with the last of them, whatever ended it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class FileLock:
    """A file on which this process holds an exclusive ``flock``.

    A forked child, or a program that is handed the descriptor, holds the same lock; it is free when all of them have
    closed it or have ended.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path) -> FileLock | None:
        """Create the file if need be and return the lock on it, or None if another process holds it.

        :raises FileNotFoundError: the folder does not exist.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = os.stat(path, follow_symlinks=False)
        except OSError:  # held by another, or removed by its holder since it was opened
            os.close(descriptor)
            return None
        if (found.st_dev, found.st_ino) != _identity(descriptor):
            os.close(descriptor)  # the file was removed and made again; the lock on the old one means nothing
            return None
        return cls(path, descriptor)

    def fileno(self) -> int:
        """Return the descriptor, for a child that shall hold the lock too."""
        return self._descriptor

    def leave(self) -> None:
        """Stop holding the lock here; heirs keep it."""
        os.close(self._descriptor)

    def remove(self) -> None:
        """Remove the file and end the lock."""
        self.path.unlink(missing_ok=True)  # while it is held, so that nobody can lock a file that is about to go
        os.close(self._descriptor)


def _identity(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino
