"""SQLite connections: how they are opened, and how transactions begin on them."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import uuid
from collections.abc import Callable
from typing import Any

from sqlalchemy.engine import URL

from dbkit.backends.base import Role, SessionFacts, SessionSettings, Standing
from dbkit.backends.sqlite.closing import ClosingConnection
from dbkit.backends.sqlite.drivers import URI_ARGUMENTS
from dbkit.exceptions import InvalidURL

LOG = logging.getLogger(__name__)

_KIND = "dbkit.sqlite.kind"
_MEMORY_NAMES = frozenset({None, "", ":memory:"})
_MADE_UP = re.compile(r"file:/dbkit-[0-9a-f]{32}")


def is_memory(url: URL) -> bool:
    """Return whether the URL names a database in memory."""
    name = url.database
    if name in _MEMORY_NAMES or url.query.get("mode") == "memory" or url.query.get("vfs") == "memdb":
        return True
    return name is not None and name.startswith("file:") and (":memory:" in name or "mode=memory" in name)


def vet(url: URL) -> URL:
    """Give a database in memory a name, so that the blocking and the asyncio colour open the same one.

    The name lives in SQLite's ``memdb`` file system, where the connections of one process share it.

    :raises InvalidURL: an argument would be ignored.
    """
    unread = sorted(URI_ARGUMENTS & url.query.keys())
    if unread and url.query.get("uri") not in ("true", "1", "yes", "on"):
        raise InvalidURL(
            f"SQLite reads the URL argument {unread[0]!r} only beside uri=true; write "
            f"sqlite:///file:NAME?{unread[0]}={url.query[unread[0]]}&uri=true"
        )
    if url.database in _MEMORY_NAMES and not url.query:
        return url.set(database=f"file:/dbkit-{uuid.uuid4().hex}", query={"vfs": "memdb", "uri": "true"})
    return url


def is_unnamed(url: URL) -> bool:
    """Return whether the database is in memory under a name that :func:`vet` has made up."""
    return url.database is not None and _MADE_UP.fullmatch(url.database) is not None


def path_of(url: URL) -> str:
    """Return what names the database in this process: the file's real path, or the name in memory."""
    name = url.database or ""
    if is_memory(url):
        return name
    if name.startswith("file:"):
        name = name[len("file:") :].split("?", 1)[0]
    return os.path.realpath(name)


def anchor(url: URL) -> sqlite3.Connection | None:
    """Return a connection that keeps a database in memory in being; it vanishes with the last one."""
    if url.query.get("vfs") != "memdb":
        return None
    return sqlite3.connect(f"{url.database}?vfs=memdb", uri=True, check_same_thread=False)


def gate(url: URL) -> tuple[str, frozenset[Role]]:
    """Writers of a file queue; a database in memory has one connection, for which all blocks queue."""
    roles = frozenset(Role) if is_memory(url) else frozenset({Role.WRITER})
    return path_of(url), roles


def engine_arguments(url: URL, driver: str, role: Role, settings: SessionSettings) -> dict[str, Any]:
    """Return how the sqlite3 module must connect: no BEGIN of its own, and free of its thread."""
    arguments: dict[str, Any] = {
        "isolation_level": None,
        "timeout": settings.sqlite_busy_timeout,
        "check_same_thread": False,
    }
    if driver == "aiosqlite":
        arguments["factory"] = ClosingConnection
    return {"connect_args": arguments}


def _has_file(databases: list[tuple[int, str, str]]) -> bool:
    # a name in the memdb file system is no path of a file
    return any(name == "main" and file and os.path.exists(file) for _, name, file in databases)


def _matches(pattern: object, item: object) -> bool | None:
    if pattern is None or item is None:
        return None
    return re.search(str(pattern), str(item)) is not None


def _use_wal(cursor: Any) -> None:
    try:
        cursor.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as error:
        # another connection is at work; the mode is the file's, so a later connection can still set it
        LOG.debug("the journal mode stays as it is: %s", error)


def open_session(connection: Any, role: Role, settings: SessionSettings) -> SessionFacts:
    """Set the connection's pragmas and functions."""
    reads_file = False
    cursor = connection.cursor()
    try:
        if settings.sqlite_fk:
            cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA database_list")
        if _has_file(cursor.fetchall()):
            if settings.sqlite_wal:
                _use_wal(cursor)
            if not settings.sqlite_synchronous:
                cursor.execute("PRAGMA synchronous = OFF")
            if role is Role.READER:
                cursor.execute("PRAGMA query_only = ON")
                reads_file = True
    finally:
        cursor.close()
    connection.create_function("REGEXP", 2, _matches)
    return SessionFacts(alone=reads_file)


def begin(url: URL, driver: str, role: Role) -> Callable[[Any], None]:
    """Return what opens a transaction.

    A writer takes the write lock at once: a transaction that reads first and writes later would fail, whatever the
    timeout, when another one has written in between. A database in memory has one connection for all blocks, so each
    of them says which kind it is.
    """
    opening = "BEGIN IMMEDIATE" if role is Role.WRITER else "BEGIN"
    kind = f"PRAGMA query_only = {'OFF' if role is Role.WRITER else 'ON'}" if is_memory(url) else ""
    if driver == "aiosqlite":
        return _with_cursor(kind, opening)

    def begin_transaction(connection: Any) -> None:
        native = connection.dbapi_connection
        if kind:
            _change(connection, kind, native.execute)
        native.execute(opening)

    return begin_transaction


def _with_cursor(kind: str, opening: str) -> Callable[[Any], None]:
    def begin_transaction(connection: Any) -> None:
        cursor = connection.cursor()
        try:
            if kind:
                _change(connection, kind, cursor.execute)
            cursor.execute(opening)
        finally:
            cursor.close()

    return begin_transaction


def _change(connection: Any, kind: str, execute: Callable[[str], object]) -> None:
    """Make the connection a reader's or a writer's, if it is not; SQLite compiles all statements anew after that."""
    record = connection._connection_record
    info = connection.info if record is None else record.info  # the proxy's own is a search
    if _KIND not in info or info[_KIND] != kind:
        execute(kind)
        info[_KIND] = kind


def standing(connection: Any, driver: str) -> Standing:
    """Read ``in_transaction``, which SQLite keeps true to the end of the transaction, whoever ended it."""
    native = connection.driver_connection if driver == "aiosqlite" else connection
    try:
        return Standing.OPEN if native.in_transaction else Standing.NONE
    except (sqlite3.ProgrammingError, ValueError):  # it was closed under the block; aiosqlite says so by ValueError
        return Standing.NONE


def stop_worker(connection: Any) -> None:
    """End the thread of an aiosqlite connection, which would wait for its closed event loop for ever."""
    stop = getattr(connection.driver_connection, "stop", None)
    if stop is not None:  # aiosqlite 0.22; before, the thread is a daemon
        stop()


def before_close(connection: Any) -> None:
    """Roll back: while a cursor is alive, if only in a traceback, a closed connection keeps its locks."""
    try:
        connection.rollback()
    except (sqlite3.Error, ValueError) as error:
        LOG.debug("nothing was left to roll back: %s", error)
