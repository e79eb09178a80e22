"""The databases on which is measured, and how each is reached: straight, or where statements and trips are counted."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.util import await_only

from benchmarks import schema
from benchmarks.schema import ROWS
from benchmarks.wire import MySQLReader, PostgreSQLReader
from dbkit.exceptions import BackendNotAvailable
from dbkit.testing import servers
from dbkit.testing.assertions.relay import Relay, StatementReader


@dataclass(frozen=True, slots=True)
class Backend:
    """A database with a driver.

    :param url: the URL's scheme with the driver.
    :param module: the driver.
    :param server: the kind of server, or None for SQLite.
    :param by_default: whether it is measured when none is named.
    """

    name: str
    url: str
    module: str
    server: str | None = None
    is_asyncio: bool = False
    by_default: bool = True
    in_memory: bool = False

    @property
    def modules(self) -> tuple[str, ...]:
        """What must be installed to measure on it."""
        if not self.is_asyncio:
            return (self.module,)
        needed = [self.module, "greenlet", *([] if self.server is None else [_FILLERS[self.server]])]
        return tuple(dict.fromkeys(needed))


BACKENDS: tuple[Backend, ...] = (
    Backend("sqlite-memory", "sqlite", "sqlite3", in_memory=True),
    Backend("sqlite-file", "sqlite", "sqlite3"),
    Backend("postgresql", "postgresql+psycopg", "psycopg", "postgresql"),
    Backend("postgresql-psycopg2", "postgresql+psycopg2", "psycopg2", "postgresql", by_default=False),
    Backend("mariadb", "mysql+pymysql", "pymysql", "mysql"),
    Backend("mariadb-mysqlclient", "mysql+mysqldb", "MySQLdb", "mysql", by_default=False),
    Backend("sqlite-asyncio", "sqlite+aiosqlite", "aiosqlite", is_asyncio=True),
    Backend("postgresql-asyncio", "postgresql+psycopg", "psycopg", "postgresql", is_asyncio=True),
    Backend("postgresql-asyncpg", "postgresql+asyncpg", "asyncpg", "postgresql", is_asyncio=True, by_default=False),
    Backend("mariadb-asyncio", "mysql+asyncmy", "asyncmy", "mysql", is_asyncio=True),
    Backend("mariadb-aiomysql", "mysql+aiomysql", "aiomysql", "mysql", is_asyncio=True, by_default=False),
)

_READERS: dict[str, Callable[[], StatementReader]] = {"postgresql": PostgreSQLReader, "mysql": MySQLReader}

#: Makes the tables of an engine's database anew and fills them with so many rows.
Populate = Callable[[Engine, int], None]

_FILLERS = {"postgresql": "psycopg", "mysql": "pymysql"}
"""The drivers that make and fill the databases of asyncio backends."""


@dataclass(slots=True)
class Tally:
    """Reads the two counters of a place; None where there is nothing to count."""

    read_statements: Callable[[], int]
    read_trips: Callable[[], int] | None


@dataclass(slots=True)
class Place:
    """A database as one subject sees it.

    :param url: where it is.
    :param tally: what counts there; None where nothing is counted.
    :param rows: how many rows each table has.
    :param populate: makes and fills the tables.
    :ivar connections: what the sqlite3 module opened there; a database in memory is reached in no other way.
    """

    backend: Backend
    url: URL
    tally: Tally | None = None
    rows: int = ROWS
    populate: Populate = schema.populate
    connections: list[sqlite3.Connection] = field(default_factory=list)
    _statements: list[str] = field(default_factory=list)

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a SQLite database."""
        return self.backend.server is None

    @property
    def text(self) -> str:
        """The URL as text, with its password."""
        return self.url.render_as_string(hide_password=False)

    def opened(self, connection: Any) -> None:
        """Prepare a SQLite connection: durability off, and its statements counted if this place counts."""
        if not self.is_sqlite:
            return
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous = OFF")
            self.connections.append(connection)
            if self.tally is not None:
                connection.set_trace_callback(self._statements.append)
            return
        native = connection.driver_connection
        await_only(native.execute("PRAGMA synchronous = OFF"))
        if self.tally is not None:
            await_only(native.set_trace_callback(self._statements.append))

    def watch(self, engine: Engine) -> None:
        """Do so with each connection that an engine opens."""
        if self.is_sqlite:
            event.listen(engine, "connect", lambda connection, record: self.opened(connection))

    def fill(self, engine: Engine) -> None:
        """Make the tables, if this engine's database is nobody else's."""
        if self.backend.in_memory:
            self.populate(engine, self.rows)


class Grounds:
    """A backend's database, made and filled; in memory each subject makes its own."""

    def __init__(
        self,
        backend: Backend,
        url: URL,
        version: str,
        relay: Relay | None,
        rows: int = ROWS,
        populate: Populate = schema.populate,
    ) -> None:
        self.backend = backend
        self.version = version
        self._url = url
        self._relay = relay
        self._rows = rows
        self._populate = populate

    def straight(self) -> Place:
        """Return the database itself."""
        return Place(self.backend, self._url, rows=self._rows, populate=self._populate)

    def counting(self) -> Place:
        """Return the database behind what counts statements and round trips."""
        if self._relay is None:
            place = self.straight()
            place.tally = Tally(lambda: len(place._statements), None)
            return place
        counts = self._relay.counts
        url = self._url.set(host=self._relay.host, port=self._relay.port)
        tally = Tally(lambda: counts.statements, lambda: counts.trips)
        return Place(self.backend, url, tally, self._rows, self._populate)


@contextlib.contextmanager
def prepared(backend: Backend, rows: int = ROWS, populate: Populate = schema.populate) -> Iterator[Grounds]:
    """Give a backend's database, filled, and remove it in the end.

    :param rows: how many rows each table gets.
    :param populate: makes and fills the tables.
    :raises BackendNotAvailable: there is no server for it; the text says what to install.
    """
    if backend.server is None:
        with tempfile.TemporaryDirectory(prefix="dbkit-benchmarks-") as folder:
            path = "" if backend.in_memory else str(Path(folder) / "cloud.db")
            url = URL.create(backend.url, database=path or None)
            if path:
                _fill_file(path, rows, populate)
            yield Grounds(backend, url, f"SQLite {sqlite3.sqlite_version}", None, rows, populate)
        return
    server = servers.obtain(backend.server)
    name = server.create_database()
    url = server.url(database=name).set(drivername=backend.url)
    try:
        _fill_server(url, backend, rows, populate)
        with _relayed(backend, server) as relay:
            yield Grounds(backend, url, _version_text(backend, server.version), relay, rows, populate)
    finally:
        server.drop_database(name)


@contextlib.contextmanager
def administered(backend: Backend) -> Iterator[Grounds]:
    """Give a backend's server, by an administrator's URL: databases are made there by whoever needs one.

    :raises BackendNotAvailable: there is no server for it; the text says what to install.
    """
    if backend.server is None:
        yield Grounds(backend, URL.create(backend.url), f"SQLite {sqlite3.sqlite_version}", None)
        return
    server = servers.obtain(backend.server)
    with _relayed(backend, server) as relay:
        url = server.url().set(drivername=backend.url)
        yield Grounds(backend, url, _version_text(backend, server.version), relay)


def _relayed(backend: Backend, server: servers.Server) -> Relay:
    if server.port is None:
        raise BackendNotAvailable(f"the {backend.server} server's port is not known; write it into its URL")
    return Relay(server.host, server.port, _READERS[str(backend.server)])


def _fill_file(path: str, rows: int, populate: Populate) -> None:
    engine = create_engine(URL.create("sqlite", database=path))
    with engine.connect() as connection:
        # for everyone: the mode stays with the file, and how SQLite keeps its journal is not the question here
        connection.exec_driver_sql("PRAGMA journal_mode = WAL")
    populate(engine, rows)
    engine.dispose()


def _fill_server(url: URL, backend: Backend, rows: int, populate: Populate) -> None:
    blocking = f"{backend.server}+{_FILLERS[str(backend.server)]}"
    engine = create_engine(url.set(drivername=blocking if backend.is_asyncio else backend.url))
    try:
        populate(engine, rows)
        if backend.server == "postgresql":
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("VACUUM ANALYZE")
    finally:
        engine.dispose()


def _version_text(backend: Backend, version: str) -> str:
    if backend.server == "postgresql":
        return f"PostgreSQL {version}"
    return f"MariaDB {version}" if "mariadb" in version.lower() else f"MySQL {version}"
