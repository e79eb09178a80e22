"""The databases of this process: one of each product, with its tables, and an observer from outside dbkit."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import unittest
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import URL, Engine
from sqlalchemy.engine.url import make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

import dbkit
from dbkit.spec import Colour
from dbkit.testing import servers
from dbkit.tests.behaviours.colours import AsyncioColour, BlockingColour
from dbkit.tests.behaviours.combinations import Combination, Product
from dbkit.tests.behaviours.tables import Base, DeferringBase

#: A wait that should never happen ends soon, and nothing is written through to the disk.
SETTINGS: dict[str, Any] = {"max_retries": 0, "pool_timeout": 10, "sqlite_synchronous": False}

_OBSERVERS = {"postgresql": "psycopg", "mysql": "pymysql", "sqlite": "pysqlite"}


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner:  # from Python 3.13 on, children of multiprocessing run what their parent has registered
        shutil.rmtree(folder, ignore_errors=True)


def _write_nothing_through(connection: Any, record: Any) -> None:
    connection.execute("PRAGMA synchronous = OFF")


class Place:
    """One database of one product."""

    def __init__(self, product: Product) -> None:
        self.product = product
        for bases in self._bases:
            bases.metadata.create_all(self.observer)
        if not self._is_server:
            # Whoever uses the file first says for all how long writers wait for their turn.
            self._patient = dbkit.Database(self.url("pysqlite"), **SETTINGS)
            self._patient.factory.engines(Colour.BLOCKING)

    @property
    def _bases(self) -> tuple[Any, ...]:
        return (Base,) if self.product is Product.MARIADB else (Base, DeferringBase)

    @property
    def _is_server(self) -> bool:
        return self.product in (Product.POSTGRESQL, Product.MARIADB)

    @cached_property
    def _server(self) -> Any:
        return servers.require_or_skip("mysql" if self.product is Product.MARIADB else "postgresql")

    @cached_property
    def _name(self) -> str:
        if self.product is Product.SQLITE_FILE:
            folder = tempfile.mkdtemp(prefix="dbkit-behaviours-")
            atexit.register(_remove, folder, os.getpid())
            return str(Path(folder) / "behaviours.db")
        name: str = self._server.create_database()
        return name

    def url(self, driver: str, scheme: str | None = None) -> URL:
        """Return the URL of the database."""
        if self.product is Product.SQLITE_FILE:
            return URL.create(f"sqlite+{driver}", database=self._name)
        if self.product is Product.SQLITE_MEMORY:
            return make_url(f"sqlite+{driver}:///file:/dbkit-behaviours?vfs=memdb&uri=true")
        url: URL = self._server.url(driver=driver, database=self._name, scheme=scheme)
        return url

    @cached_property
    def bare_url(self) -> URL:
        """The URL of the observer."""
        if self.product is Product.POSTGRESQL:
            return self.url("psycopg")
        return self.url("pymysql", "mysql") if self.product is Product.MARIADB else self.url("pysqlite")

    @cached_property
    def observer(self) -> Engine:
        """Plain SQLAlchemy in autocommit: what another client sees, and does."""
        engine = create_engine(self.bare_url, isolation_level="AUTOCOMMIT", pool_size=1, connect_args=self._arguments)
        # in autocommit there is nothing to undo
        engine.dialect.do_rollback = lambda dbapi_connection: None  # type: ignore[method-assign]
        if not self._is_server:
            event.listen(engine, "connect", _write_nothing_through)
        if self.product is Product.SQLITE_MEMORY:
            keeper = engine.raw_connection()  # without any connection, a database in memory is gone
            atexit.register(keeper.close)
        atexit.register(engine.dispose)
        return engine

    @property
    def _arguments(self) -> dict[str, Any]:
        """A lock that a test has left is told soon."""
        if self.product is Product.POSTGRESQL:
            return {}
        return {"init_command": "SET innodb_lock_wait_timeout = 5"} if self._is_server else {"timeout": 2}

    def empty(self) -> None:
        """Delete all rows of the tables that all behaviours have."""
        self.delete_from(*(table.name for bases in self._bases for table in reversed(bases.metadata.sorted_tables)))

    def delete_from(self, *tables: str) -> None:
        """Delete all rows of tables, in this order and in one go."""
        # With a condition SQLite writes nothing where there is nothing to delete.
        where = "" if self._is_server else " WHERE true"
        deletes = "; ".join(f"DELETE FROM {name}{where}" for name in tables)
        with self.observer.connect() as connection:
            if self.product is Product.POSTGRESQL:
                connection.exec_driver_sql(f"SET lock_timeout = '5s'; {deletes}")
            elif self.product is Product.MARIADB:
                connection.exec_driver_sql(f"BEGIN NOT ATOMIC {deletes}; END")
            else:
                connection.connection.driver_connection.executescript(deletes)

    def ask(self, sql: str, **parameters: Any) -> list[Any]:
        """Return the first column of what another client reads."""
        with self.observer.connect() as connection:
            return list(connection.execute(text(sql), parameters).scalars())

    def do(self, sql: str, **parameters: Any) -> None:
        """Execute as another client."""
        with self.observer.connect() as connection:
            connection.execute(text(sql), parameters)

    @cached_property
    def bare_engine(self) -> Engine:
        """A plain engine for rivals: each of its connections is its own."""
        return create_engine(self.bare_url, poolclass=NullPool)

    def left_open(self) -> list[str]:
        """Return what sessions are inside a transaction without doing anything."""
        if self.product is not Product.POSTGRESQL:
            return []
        return self.ask(
            "SELECT state || ': ' || query FROM pg_stat_activity "
            "WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
        )


@cache
def place(product: Product) -> Place:
    """Return this process's database of a product.

    :raises unittest.SkipTest: there is no such server, or nothing to look at it from outside; the text says why.
    """
    try:
        return Place(product)
    except ImportError as missing:
        raise unittest.SkipTest(f"the driver that observes {product.value} is not installed: {missing}") from missing


@cache
def bare_engine(combination: Combination) -> Any:
    """Return this process's plain engine of a combination's driver and colour: each of its connections is its own."""
    url = place(combination.product).url(combination.driver, combination.scheme)
    make = create_async_engine if combination.colour is Colour.ASYNCIO else create_engine
    return make(url, poolclass=NullPool)


@cache
def colour_of(colour: Colour) -> BlockingColour | AsyncioColour:
    """Return what runs the bodies of a colour in this process."""
    if colour is Colour.BLOCKING:
        return BlockingColour()
    found = AsyncioColour()
    atexit.register(found.runner.close)
    return found


@cache
def database(combination: Combination) -> dbkit.Database:
    """Return the Database that the behaviours of a combination share in this process."""
    url = place(combination.product).url(combination.driver, combination.scheme)
    made = dbkit.Database(url, **SETTINGS)
    colour = colour_of(combination.colour)

    def close() -> None:
        if isinstance(colour, AsyncioColour):
            colour.run(made.adispose())
        else:
            made.dispose()

    atexit.register(close)
    return made
