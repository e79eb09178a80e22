"""Behaviours inside a sandbox: the same bodies, on a test's one connection."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

from sqlalchemy import text

from dbkit.testing.isolation import Isolation, Sandbox, isolated
from dbkit.tests.behaviours import places
from dbkit.tests.behaviours.base import Behaviour
from dbkit.tests.behaviours.colours import WaitlessBlock, wrapped
from dbkit.tests.behaviours.combinations import BLOCKING, EVERY_DRIVER
from dbkit.tests.behaviours.tables import Base

#: Where a blocking call can look at a sandbox; in asyncio, the drivers that have a blocking connection inside.
WATCHABLE = (EVERY_DRIVER & BLOCKING) | frozenset(
    each for each in EVERY_DRIVER - BLOCKING if each.driver in ("psycopg", "aiosqlite")
)


class SandboxBehaviour(Behaviour):
    """Bodies that enter sandboxes themselves."""

    def isolation(self, strategy: str = "rollback", database: Any = None, **more: Any) -> Isolation:
        """Return dbkit's own context manager, on the database of the tests."""
        if database is None:
            database = self.place.url(self.combination.driver, self.combination.scheme)
        return isolated(database, strategy, **{**places.SETTINGS, **more})

    def isolated(self, strategy: str = "rollback", database: Any = None, **more: Any) -> Any:
        """Return a sandbox for ``async with``."""
        made = self.isolation(strategy, database, **more)
        return made if self.is_asyncio else _WaitlessIsolation(made)

    def opener(self, sandbox: Sandbox) -> Any:
        """Return the face of the sandbox's Database."""
        return self.face_of(sandbox.database)

    def plain_begin(self, sandbox: Sandbox) -> Any:
        """Return ``engine.begin()`` of the sandbox's engine, for ``async with``."""
        return sandbox.async_engine.begin() if self.is_asyncio else WaitlessBlock(sandbox.engine.begin())

    def plain_connect(self, sandbox: Sandbox) -> Any:
        """Return ``engine.connect()`` of the sandbox's engine, for ``async with``."""
        return sandbox.async_engine.connect() if self.is_asyncio else _Connecting(sandbox.engine)


class _WaitlessIsolation:
    def __init__(self, isolation: Isolation) -> None:
        self._isolation = isolation

    async def __aenter__(self) -> Sandbox:
        return self._isolation.__enter__()

    async def __aexit__(self, *error: Any) -> None:
        self._isolation.__exit__(*error)


class _Connecting:
    def __init__(self, engine: Any) -> None:
        self._engine = engine

    async def __aenter__(self) -> Any:
        self._connection = self._engine.connect()
        return wrapped(self._connection)

    async def __aexit__(self, *error: Any) -> None:
        self._connection.close()


class PlaceInside:
    """A place as seen from inside a sandbox: the other client that bodies meet is on the test's connection too."""

    def __init__(self, place: Any, ask: Callable[..., list[Any]]) -> None:
        self._place = place
        self._ask = ask

    def __getattr__(self, name: str) -> Any:
        return getattr(self._place, name)

    def ask(self, sql: str, **parameters: Any) -> list[Any]:
        return [row[0] for row in self._ask(sql, parameters)]

    def do(self, sql: str, **parameters: Any) -> None:
        self._ask(sql, parameters)

    def empty(self) -> None:
        for table in reversed(Base.metadata.sorted_tables):
            self._ask(f"DELETE FROM {table.name}", {})

    def left_open(self) -> list[str]:
        return []


class Sandboxed(SandboxBehaviour):
    """Bodies that know nothing of the sandbox around them."""

    def run_body(self, body: Callable[[], Any]) -> None:
        async def inside() -> None:
            async with self.isolated(managers=[self.db]) as self.sandbox:
                async with self.plain_begin(self.sandbox) as connection:
                    await connection.execute(text("SELECT 1"))
                outside, self.place = self.place, PlaceInside(self.place, self._ask)
                try:
                    await body()
                finally:
                    self.place = outside

        self.run_plain(inside)
        assert self.stored() == [], "the sandbox has let a row out"
        self.run_plain(self._look_around)

    def database(self, **settings: Any) -> Any:
        self.skipTest("a sandbox has the settings of its first manager")  # type: ignore[attr-defined]

    def _ask(self, sql: str, parameters: Any) -> list[Any]:
        for name, value in parameters.items():
            sql = sql.replace(f":{name}", repr(value))
        with self._other_client() as run:
            return run(sql)

    @contextmanager
    def _other_client(self) -> Any:
        """Give what runs SQL on the test's connection without waiting for anything, between two blocks."""
        proxy = self.sandbox.database.factory.lane(True, self.combination.colour).engine.pool.connect()
        try:
            yield _runner(proxy, self.combination.driver, self.is_asyncio)
        finally:
            proxy.close()


def _runner(proxy: Any, driver: str, is_asyncio: bool) -> Callable[[str], list[Any]]:
    native = proxy.driver_connection
    if is_asyncio and driver == "psycopg":
        return lambda sql: _through_libpq(native.pgconn, sql)
    connection = native._conn if driver == "aiosqlite" else native

    def run(sql: str) -> list[Any]:
        cursor = connection.cursor()
        try:
            cursor.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []
        finally:
            cursor.close()

    return run


def _through_libpq(connection: Any, sql: str) -> list[Any]:
    result = connection.exec_(sql.encode())
    assert not result.error_message, result.error_message
    found = [result.get_value(row, 0).decode() for row in range(result.ntuples)]
    return [(int(each) if each.isdigit() else each,) for each in found]


__all__ = ["WATCHABLE", "SandboxBehaviour", "Sandboxed"]
