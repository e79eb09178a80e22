"""The database of a run, with a proxy before it and an observer beside it."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

import dbkit
from dbkit.spec import Colour
from dbkit.testing import faults, servers
from dbkit.testing.servers.polling import wait_until
from dbkit.tests.behaviours.colours import AsyncioColour, BlockingColour
from dbkit.tests.behaviours.combinations import Combination, Product
from dbkit.tests.behaviours.faces import DatabaseFace, Opener
from dbkit.tokens import create_token_table

_PATIENCE_S = 30.0
_OBSERVERS = {"postgresql": "psycopg", "mysql": "pymysql"}

#: What a run's tables are; none has a key that would hide a write that was done twice.
_TABLES = (
    "CREATE TABLE counters (id INTEGER PRIMARY KEY, value INTEGER NOT NULL)",
    "CREATE TABLE elements (element INTEGER NOT NULL)",
    "CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL)",
    "CREATE TABLE transfers (number INTEGER NOT NULL, source INTEGER NOT NULL, target INTEGER NOT NULL)",
    "CREATE TABLE lists (id INTEGER PRIMARY KEY, elements VARCHAR(4000) NOT NULL)",
)


def kind_of(combination: Combination) -> str:
    """Return the kind of server that a combination needs."""
    return "mysql" if combination.product is Product.MARIADB else "postgresql"


class Ground:
    """A database that only one run uses, for use in a ``with`` statement.

    :param server: None for the server that the whole run shares.
    :param reached_at: another server through which the program goes to it; for clusters.
    """

    def __init__(self, combination: Combination, server: Any = None, name: str | None = None) -> None:
        self.combination = combination
        self.kind = kind_of(combination)
        self.server = servers.require_or_skip(self.kind) if server is None else server
        self.name = name or self.server.create_database()
        self.colour = AsyncioColour() if combination.colour is Colour.ASYNCIO else BlockingColour()
        self._is_ours = name is None
        self._stack = contextlib.ExitStack()
        self._observer = self.plain_engine(self.server.url(_OBSERVERS[self.kind], self.name))

    @staticmethod
    def plain_engine(url: Any) -> sa.Engine:
        """Return an engine of plain SQLAlchemy in autocommit, for who looks from outside."""
        return sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            if isinstance(self.colour, AsyncioColour):
                stack.callback(self.colour.runner.close)
            self.proxy = stack.enter_context(faults.proxy(self.server))
            if self._is_ours:
                for table in _TABLES:
                    self.do(table + (" ENGINE=InnoDB" if self.kind == "mysql" else ""))
                with self._observer.connect() as connection:
                    create_token_table(connection)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @property
    def where(self) -> str:
        """The database and driver, for figures."""
        return self.combination.name

    # -- what the program under test gets -----------------------------------------------------------------------------

    @property
    def through(self) -> sa.URL:
        """The URL that leads through the proxy."""
        return self.proxy.through(self.server.url(self.combination.driver, self.name, self.combination.scheme))

    @contextlib.contextmanager
    def database(self, **settings: Any) -> Iterator[dbkit.Database]:
        """Give a Database that reaches the server through the proxy."""
        # PyMySQL reads all certificates of the machine anew for each connect, 40 ms
        quickly = {"ssl_disabled": True} if self.combination.driver == "pymysql" else {}
        given = {
            "max_retries": 2,
            "retry_interval": 1,
            "connect_args": quickly,
            "max_pool_size": 20,
            # more is lost here than any budget allows for; that budgets hold is shown elsewhere
            "db_retry_budget": 1000,
            "db_conflict_retry_budget": 1000,
            **settings,
        }
        database = dbkit.Database(self.through, **given)
        try:
            yield database
        finally:
            self.colour.run(self._dispose(database))

    async def _dispose(self, database: dbkit.Database) -> None:
        if isinstance(self.colour, AsyncioColour):
            await database.adispose()
        else:
            database.dispose()

    def face(self, database: dbkit.Database) -> DatabaseFace:
        """Return the database's face for bodies in the colour of the run."""
        return DatabaseFace(database, self.colour)

    def opener(self, manager: Any) -> Opener:
        """Return what decorates bodies in the colour of the run."""
        return Opener(manager, self.colour)

    def follow(self, server: Any) -> None:
        """Lead the program, and the observer, to another server, which has taken over."""
        self.proxy.retarget(server)
        self._observer = self.plain_engine(server.url(_OBSERVERS[self.kind], self.name))

    # -- from outside ---------------------------------------------------------------------------------------------

    def ask(self, sql: str, *, first: str | None = None) -> list[Any]:
        """Return the rows that another client sees; of a single column, its values.

        :param first: what its session executes before it.
        """
        with self._observer.connect() as connection:
            if first is not None:
                connection.execute(sa.text(first))
            rows = connection.execute(sa.text(sql)).all()
            return [row[0] if len(row) == 1 else tuple(row) for row in rows]

    def do(self, sql: str) -> None:
        """Execute as another client."""
        with self._observer.connect() as connection:
            connection.execute(sa.text(sql))

    def settle(self, *, leaves_connections: bool = False) -> None:
        """Return when nothing is under way any more: what was held has arrived, and every session has ended.

        :param leaves_connections: the program under test does not close all that it has opened.
        :raises TimeoutError: it has not, and should have.
        """
        gc.collect()  # a connect of psycopg's that was cancelled lies in a circle of references
        self.proxy.clear()
        if leaves_connections:
            self.proxy.cut_all()
        wait_until(lambda: not self.proxy.connections, _PATIENCE_S, "the end of the connections through the proxy")
        wait_until(lambda: not self._sessions(), _PATIENCE_S, "the end of the sessions of the run")

    def _sessions(self) -> int:
        """Return how many sessions of others the database has."""
        if self.kind == "mysql":
            # not INNODB_TRX: it has those of other databases, and is not renewed while many read it
            found = self.ask(
                "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND ID <> CONNECTION_ID()"
            )
        else:
            found = self.ask(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        count: int = found[0]
        return count
