"""A database of a test's own on a shared server, and its sessions as the server sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Self

from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from dbkit.testing import servers
from dbkit.testing.servers.polling import wait_until
from dbkit.tests.behaviours import places
from dbkit.tests.behaviours.combinations import Product

_WAIT_S = 20.0

_SESSIONS = {
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE datname = :name AND backend_type = 'client backend'",
    "mysql": "SELECT ID FROM information_schema.PROCESSLIST WHERE DB = :name",
}
_END = {"postgresql": "SELECT pg_terminate_backend({})", "mysql": "KILL {}"}
_OBSERVERS = {"postgresql": "psycopg", "mysql": "pymysql"}

#: How a session learns its own number.
OWN_SESSION = {"postgresql": "SELECT pg_backend_pid()", "mysql": "SELECT CONNECTION_ID()"}


#: Names of databases of the shared servers that tests have given back, in that order.
_FREE: dict[str, list[str]] = {"postgresql": [], "mysql": []}


class Estate:
    """An empty database that only its test uses.

    :param server: None for the server that the whole run shares.
    :param name: a database that is there already.
    """

    def __init__(self, kind: str, server: Any = None, name: str | None = None) -> None:
        self.kind = kind
        self.server = servers.require_or_skip(kind) if server is None else server
        self.name = self.server.create_database() if name is None else name
        self.own_session = text(OWN_SESSION[kind])
        if server is None:
            product = Product.POSTGRESQL if kind == "postgresql" else Product.MARIADB
            self._observer = places.place(product).observer
        else:
            self._observer = create_engine(
                self.server.url(driver=_OBSERVERS[kind]), isolation_level="AUTOCOMMIT", poolclass=NullPool
            )

    @classmethod
    def lent(cls, kind: str, test: Any) -> Self:
        """Return one that others had before and will have after the test, which makes nothing in it but sessions.

        PostgreSQL takes longer to make a database than most tests take to use it.
        """
        free = _FREE[kind]
        # the last one may still get a session from what its test has left behind
        found = next((each for name in free[:-1] if not (each := cls(kind, name=name)).sessions()), None)
        if found is None:
            found = cls(kind)
        else:
            free.remove(found.name)
        test.addCleanup(free.append, found.name)
        return found

    def url(self, driver: str, scheme: str | None = None, **changes: Any) -> URL:
        """Return the URL of the database."""
        url: URL = self.server.url(driver=driver, database=self.name, scheme=scheme)
        return url.set(**changes)

    def do(self, sql: str) -> list[Any]:
        """Execute as another client, outside of the database, and return the first column."""
        with self._observer.connect() as connection:
            result = connection.execute(text(sql), {"name": self.name} if ":name" in sql else {})
            return list(result.scalars()) if result.returns_rows else []

    def sessions(self) -> set[int]:
        """Return the sessions of the database."""
        return set(self.do(_SESSIONS[self.kind]))

    def sessions_become(self, wanted: Callable[[set[int]], object] | int) -> set[int]:
        """Wait until there are so many sessions, or those that are wanted; a server ends them with a delay."""
        is_wanted = wanted if callable(wanted) else (lambda found: len(found) == wanted)

        def look() -> tuple[set[int]] | None:
            found = self.sessions()
            return (found,) if is_wanted(found) else None

        return wait_until(look, _WAIT_S, f"the sessions of {self.name}")[0]

    def end(self, sessions: Iterable[int]) -> None:
        """End sessions from outside, and return when they are gone."""
        ended = set(sessions)
        for session in ended:
            self.do(_END[self.kind].format(session))
        self.sessions_become(lambda found: not ended & found)
