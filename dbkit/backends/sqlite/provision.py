"""SQLite's test databases: a template file, copied as a file or, into memory, page by page."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL, Connection

from dbkit.backends import kept_files
from dbkit.backends.provisioning import Site, TemplateGone
from dbkit.backends.sqlite.session import is_memory
from dbkit.exceptions import DBLockTimeout, UsageError

# include/uapi/linux/fs.h; elsewhere the request fails, and the bytes are copied.
_FICLONE = 0x40049409
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_LOCK_TIMEOUT_S = 5
_BESIDE = ("-wal", "-shm", "-journal")


class SQLiteProvisioning:
    """Databases are files of this process, or names in its memory, which live by a connection of ours."""

    def connect_arguments(self, driver: str) -> Mapping[str, Any]:
        return {"timeout": _LOCK_TIMEOUT_S, "check_same_thread": False}

    def edition(self, site: Site) -> str:
        return sqlite3.sqlite_version

    def store(self, site: Site, key: str) -> TemplateFile:
        return TemplateFile(self, site, site.cache / f"{key}.db")

    def prune(self, site: Site, prefix: str, keep: int) -> None:
        kept_files.prune(site.cache, f"{prefix}*.db", keep)

    def name_of(self, site: Site, token: str) -> str:
        return f"file:/dbkit-{token}" if is_memory(site.url) else str(site.folder / f"{token}.db")

    def url_of(self, site: Site, name: str) -> URL:
        query = {"vfs": "memdb", "uri": "true"} if name.startswith("file:") else {}
        return URL.create(site.url.drivername, database=name, query=query)

    def drop(self, site: Site, name: str) -> None:
        if name.startswith("file:"):
            return  # it has gone with its last connection
        for suffix in ("", *_BESIDE):
            Path(name + suffix).unlink(missing_ok=True)

    def drop_all_objects(self, connection: Connection) -> None:
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        # Virtual tables first: the tables in which they keep their data go with them.
        while found := connection.exec_driver_sql(_FIRST_OBJECT).first():
            kind, name = found
            quoted = '"' + str(name).replace('"', '""') + '"'
            connection.exec_driver_sql(f"DROP {kind} {quoted}")


@dataclass(frozen=True, slots=True)
class TemplateFile:
    """A file in the cache; it gets its name when it is whole."""

    provisioning: SQLiteProvisioning
    site: Site
    path: Path

    def locked(self) -> AbstractContextManager[None]:
        return kept_files.building(self.path)

    def is_ready(self) -> bool:
        return self.path.exists()

    def build(self, fill: Callable[[URL], None]) -> None:
        draft = self.site.folder / f"{self.path.stem}-{threading.get_ident()}.draft"
        try:
            draft.touch(mode=0o600)
            fill(URL.create(self.site.url.drivername, database=str(draft)))
            with contextlib.closing(sqlite3.connect(draft, isolation_level=None)) as connection:
                # One file and nothing beside it: what the write-ahead log holds goes in, and the log goes.
                mode = connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
            if mode != "delete":
                raise DBLockTimeout(
                    message="the schema's build or seed left a connection to the template open; close it in the end"
                )
            finished = self.path.with_suffix(".draft")
            shutil.copyfile(draft, finished)
            finished.replace(self.path)
        finally:
            self.provisioning.drop(self.site, str(draft))
            self.path.with_suffix(".draft").unlink(missing_ok=True)

    def clone(self, name: str) -> OriginalFile:
        kept_files.touch(self.path)
        try:
            if name.startswith("file:"):
                return OriginalFile(self, self._copied_to_memory(name))
            _copy(self.path, Path(name))
        except (FileNotFoundError, sqlite3.OperationalError) as failed:
            self.provisioning.drop(self.site, name)
            if self.path.exists():
                raise
            raise TemplateGone(str(self.path)) from failed
        return OriginalFile(self, None)

    def _copied_to_memory(self, name: str) -> sqlite3.Connection:
        keeper = sqlite3.connect(f"{name}?vfs=memdb", uri=True, check_same_thread=False, isolation_level=None)
        try:
            with self.opened() as template:
                template.backup(keeper)
        except BaseException:
            keeper.close()
            raise
        return keeper

    @contextlib.contextmanager
    def opened(self) -> Iterator[sqlite3.Connection]:
        """Open the template for reading.

        :raises TemplateGone: it is not there.
        """
        if not self.path.exists():
            raise TemplateGone(str(self.path))
        # Nobody writes to it any more, which spares the locks.
        with contextlib.closing(sqlite3.connect(f"{self.path.as_uri()}?mode=ro&immutable=1", uri=True)) as template:
            yield template


@dataclass(frozen=True, slots=True)
class OriginalFile:
    """The template of a clone.

    :param keeper: the connection by which a database in memory lives.
    """

    template: TemplateFile
    keeper: sqlite3.Connection | None

    def let_go(self) -> None:
        if self.keeper is not None:
            self.keeper.close()

    def restore(self, connection: Connection, *, restart_sequences: bool) -> None:
        live = connection.connection.driver_connection
        if live is None:
            raise UsageError("the connection is closed")

        def look(status: int, remaining: int, total: int) -> None:
            if status in _BUSY:  # the busy handler has waited by now; the module itself would try for ever
                raise DBLockTimeout(
                    message=f"another connection holds the SQLite database {connection.engine.url.database} for more "
                    f"than {_LOCK_TIMEOUT_S} s, so it cannot be emptied; end the transaction that is open on it"
                )

        with self.template.opened() as template:
            template.backup(live, progress=look)

    def is_as_built(self, connection: Connection) -> bool:
        with self.template.opened() as template:
            built = template.execute(_STRUCTURE).fetchall()
        return built == [tuple(row) for row in connection.exec_driver_sql(_STRUCTURE)]


_STRUCTURE = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"

_FIRST_OBJECT = """
SELECT type, name FROM sqlite_master
WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND type IN ('view', 'trigger', 'table')
ORDER BY type = 'table', sql NOT LIKE 'CREATE VIRTUAL%', name LIMIT 1"""


def _copy(source: Path, target: Path) -> None:
    """Copy a file, sharing its blocks where the file system can."""
    with source.open("rb") as reading, open(target, "xb", opener=kept_files.private) as writing:
        with contextlib.suppress(OSError):
            fcntl.ioctl(writing, _FICLONE, reading.fileno())
            return
        if not _copy_in_kernel(reading.fileno(), writing.fileno()):
            shutil.copyfileobj(reading, writing, 1 << 20)


def _copy_in_kernel(reading: int, writing: int) -> bool:
    """Copy without a trip through this process; return False where the two file systems cannot."""
    left = os.fstat(reading).st_size
    try:
        while left > 0:
            done = os.copy_file_range(reading, writing, left)
            if not done:
                break
            left -= done
    except OSError:
        os.lseek(reading, 0, os.SEEK_SET)
        os.ftruncate(writing, 0)
        os.lseek(writing, 0, os.SEEK_SET)
        return False
    return left <= 0


PROVISIONING = SQLiteProvisioning()
