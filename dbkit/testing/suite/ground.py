"""The database of the backend under test in this process: its tables, its turn, and other clients of it."""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import os
import tempfile
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.engine.url import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from dbkit.clock import SYSTEM_CLOCK
from dbkit.database import Database
from dbkit.engines.create import Engines, create_engines
from dbkit.exceptions import UsageError
from dbkit.spec import Colour
from dbkit.testing.servers.locks import FileLock
from dbkit.testing.servers.polling import PAUSE_S, wait_until
from dbkit.testing.suite.subject import BackendUnderTest, Way
from dbkit.testing.suite.tables import Base, tables_for
from dbkit.transaction.factory import Factory

# A wait that should never happen ends soon, and nothing need be written through to the disk.
_SETTINGS: dict[str, Any] = {"max_retries": 0, "pool_timeout": 10, "sqlite_synchronous": False}

_LONGEST_WAIT_S = 600.0
_LONGEST_END_S = 5.0


class Ground:
    """One database, for all tests of a subject in one process."""

    def __init__(self, subject: BackendUnderTest) -> None:
        self.subject = subject
        given = subject.database() if callable(subject.database) else subject.database
        url = make_url(given)
        if url.get_backend_name() not in subject.backend.schemes:
            raise UsageError(
                f"the database of {subject.name} has a URL of {url.get_backend_name()!r}; the backend serves "
                f"{', '.join(subject.backend.schemes)}"
            )
        self._url = subject.backend.vet(url.set(drivername=url.get_backend_name()))
        self._anchor = subject.backend.anchor(self._url)
        self._are_made = False
        place = self._url.set(password=None).render_as_string()
        name = hashlib.sha256(f"{place} {os.getuid()}".encode()).hexdigest()[:16]
        self._turn = Path(tempfile.gettempdir()) / f"dbkit-suite-{name}.lock"

    def url(self, way: Way) -> URL:
        """Return the URL of the database, with the driver of a way."""
        return self._url.set(drivername=f"{way.scheme}+{way.driver}")

    @functools.cached_property
    def plain_url(self) -> URL:
        """The URL of the database with a blocking driver, for other clients.

        :raises unittest.SkipTest: none is installed.
        """
        backend = self.subject.backend
        default = backend.defaults.get(Colour.BLOCKING)
        blocking = [name for name, driver in backend.drivers.items() if Colour.BLOCKING in driver.colours]
        for name in sorted(blocking, key=lambda each: each != default):
            if not self.subject.missing(name):
                return self._url.set(drivername=f"{self._url.drivername}+{name}")
        raise unittest.SkipTest(f"no blocking driver is installed to look at {self.subject.name} from outside")

    @functools.cached_property
    def observer(self) -> Engine:
        """Plain SQLAlchemy in autocommit: what another client sees, and does."""
        engine = create_engine(self.plain_url, isolation_level="AUTOCOMMIT", pool_size=1)
        atexit.register(engine.dispose)
        return engine

    @contextlib.contextmanager
    def rival(self) -> Iterator[Connection]:
        """Open a transaction of another client, in plain SQLAlchemy; it is rolled back at the end."""
        engine = create_engine(self.plain_url, poolclass=NullPool)
        with engine.connect() as connection:
            yield connection

    def open(self, url: URL | str, **settings: Any) -> Database:
        """Return a Database whose engines are made by the backend under test, whatever else serves its dialect."""
        values = {**_SETTINGS, **self.subject.settings, **settings}
        database = Database(url)
        database.patch_factory(Factory(url, overrides=values, make_engines=self._make_engines))
        return database

    def _make_engines(self, settings: Any, backend: Any, url: URL, colour: Colour, clock: Any) -> Engines:
        return create_engines(settings, self.subject.backend, url, colour, clock)

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until no other process tests on this database; then it is empty."""
        lock = None if callable(self.subject.database) else self._taken()
        try:
            self.empty()
            yield
        finally:
            if lock is not None:
                lock.remove()

    def _taken(self) -> FileLock:
        return wait_until(lambda: FileLock.take(self._turn), _LONGEST_WAIT_S, f"the turn to test {self.subject.name}")

    def empty(self) -> None:
        """Delete all rows; the tables are made at the first call.

        A session that was ended a moment ago may hold rows still: that is waited for.
        """
        end = SYSTEM_CLOCK.now() + _LONGEST_END_S
        while True:
            try:
                return self._empty()
            except OperationalError:
                if SYSTEM_CLOCK.now() > end:
                    raise
                SYSTEM_CLOCK.sleep(PAUSE_S)

    def _empty(self) -> None:
        tables = tables_for(frozenset(self.subject.can))
        with self.observer.connect() as connection:
            timeout = self.subject.phrases.short_lock_timeout
            if isinstance(timeout, str) and timeout:
                connection.exec_driver_sql(timeout)
            if not self._are_made:
                Base.metadata.drop_all(connection)
                Base.metadata.create_all(connection, tables=tables)
                self._are_made = True
            for table in reversed(tables):
                connection.execute(table.delete())

    def ask(self, statement: str, **parameters: Any) -> list[Any]:
        """Return the first column of what another client reads."""
        with self.observer.connect() as connection:
            return list(connection.execute(text(statement), parameters).scalars())

    def do(self, statement: str, **parameters: Any) -> None:
        """Execute as another client."""
        with self.observer.connect() as connection:
            connection.execute(text(statement), parameters)


@functools.cache
def ground_of(subject: BackendUnderTest) -> Ground:
    """Return this process's ground for a subject.

    :raises unittest.SkipTest: whoever gives the database has none; the text says why.
    """
    return Ground(subject)
