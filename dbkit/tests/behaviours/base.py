"""The test case of a behaviour: one ``async def`` body, run in both colours on every database.

.. code-block:: python

    @behaviours()                            # on each driver, in each colour
    class TestEnding(Behaviour):
        async def test_a_block_that_ends_is_committed(self):
            async with self.writer() as session:
                session.add(Item(id=1))
            self.assertEqual([1], self.stored())

        @on(SERVERS)                         # this one on fewer
        async def test_...(self): ...

A class becomes one test class for each combination, in its module, under a name such as
``TestEnding_on_postgresql_asyncpg_asyncio``. A test that is no coroutine function is run as it stands.

With ``DBKIT_TEST_IN_TURN=drivers`` in the environment a test runs on one driver only of each product and colour; which
one depends on its name, so that every driver is met. With ``colours`` it runs once on SQLite and once on a server, in
one colour, on another driver.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import fixtures
import testtools
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

import dbkit
from dbkit.ambient import CURRENT
from dbkit.clock import SYSTEM_CLOCK
from dbkit.spec import Colour
from dbkit.testing.servers.polling import PAUSE_S
from dbkit.tests.behaviours import places
from dbkit.tests.behaviours.colours import WaitlessBlock, wrapped
from dbkit.tests.behaviours.combinations import (
    ALL,
    EVERY_DRIVER,
    Combination,
    Face,
    Product,
    turn_named,
)
from dbkit.tests.behaviours.faces import ContextFace, DatabaseFace, Opener, RequestContext
from dbkit.tests.behaviours.rivals import Rival
from dbkit.tests.behaviours.tables import Item
from dbkit.tests.settled import settle

C = TypeVar("C", bound=type)
E = TypeVar("E", bound=BaseException)
F = TypeVar("F", bound=Callable[..., Any])

_TIME_LIMIT_S = 60
_NOTICED_S = 5.0
_CHOOSE = turn_named(os.environ.get("DBKIT_TEST_IN_TURN"))


def on(combinations: Iterable[Combination]) -> Callable[[F], F]:
    """Run a test on some of the combinations of its class."""
    chosen = frozenset(combinations)

    def mark(test: F) -> F:
        test.on = chosen  # type: ignore[attr-defined]
        return test

    return mark


def behaviours(combinations: Iterable[Combination] = EVERY_DRIVER) -> Callable[[C], C]:
    """Make a test class for each combination, in the module of the decorated class."""
    chosen = frozenset(combinations)

    def make(template: C) -> C:
        module = sys.modules[template.__module__]
        tests = _tests(template, chosen)
        for combination in (each for each in ALL if each in chosen):
            runnable = {name: _runnable(test) if combination in on else None for name, (test, on) in tests.items()}
            if any(runnable.values()):
                name = f"{template.__name__}_on_{combination.name}"
                names = {"combination": combination, "__module__": module.__name__, **runnable}
                setattr(module, name, type(name, (template, testtools.TestCase), names))
        return template

    return make


def _tests(template: type, chosen: frozenset[Combination]) -> dict[str, tuple[Any, frozenset[Combination]]]:
    """Return the tests of a class, each with the combinations on which it runs."""
    found = {
        name: test for cls in reversed(template.__mro__) for name, test in vars(cls).items() if name.startswith("test_")
    }
    where = {name: chosen & getattr(test, "on", chosen) for name, test in found.items()}
    if _CHOOSE is not None:
        where = {name: _CHOOSE(f"{template.__qualname__}.{name}", on) for name, on in where.items()}
    return {name: (test, where[name]) for name, test in found.items()}


def _runnable(test: Any) -> Any:
    return _driven(test) if inspect.iscoroutinefunction(test) else test


def _driven(body: Callable[..., Any]) -> Callable[..., None]:
    @functools.wraps(body)
    def test(self: Any, *args: Any) -> None:
        self.run_body(functools.partial(body, self, *args))

    return test


class Behaviour:
    """What bodies have at hand. The generated classes are ``testtools`` test cases."""

    combination: Combination

    def setUp(self) -> None:
        super().setUp()  # type: ignore[misc]
        settle()
        if self.combination.missing:
            self.skipTest(self.combination.missing)  # type: ignore[attr-defined]
        self.useFixture(fixtures.Timeout(_TIME_LIMIT_S, gentle=True))  # type: ignore[attr-defined]
        self.logs = self.useFixture(fixtures.FakeLogger(level=logging.WARNING))  # type: ignore[attr-defined]
        self.place = places.place(self.combination.product)
        self.place.empty()
        self.colour = places.colour_of(self.combination.colour)
        self.db = places.database(self.combination)
        self.face = self.face_of(self.db)

    # -- dbkit --------------------------------------------------------------------------------------------------------

    def face_of(self, database: dbkit.Database, context: Any = None) -> DatabaseFace | ContextFace:
        """Return the face of another database, or of another context object on the same."""
        if self.combination.face is Face.CONTEXT or context is not None:
            return ContextFace(database, self.colour, context)
        return DatabaseFace(database, self.colour)

    @property
    def writer(self) -> Opener:
        """Opens writers: ``async with self.writer() as session``, or ``@self.writer`` over an ``async def``."""
        return self.face.writer

    @property
    def reader(self) -> Opener:
        """Opens readers."""
        return self.face.reader

    @property
    def session(self) -> Any:
        """The open block's session, with the methods of an AsyncSession."""
        return self.face.handle("session")

    @property
    def connection(self) -> Any:
        """The open block's connection, with the methods of an AsyncConnection."""
        return self.face.handle("connection")

    @property
    def is_asyncio(self) -> bool:
        """Whether the body runs in asyncio."""
        return self.combination.colour is Colour.ASYNCIO

    def is_on(self, product: Product) -> bool:
        """Whether the body runs on this product."""
        return self.combination.product is product

    def database(self, **settings: Any) -> dbkit.Database:
        """Return a Database of one's own on the same tables, closed after the test."""
        url = self.place.url(self.combination.driver, self.combination.scheme)
        made = dbkit.Database(url, **{**places.SETTINGS, **settings})
        self.addCleanup(self.run_plain, functools.partial(self.dispose, made))  # type: ignore[attr-defined]
        return made

    async def dispose(self, database: dbkit.Database) -> None:
        """Close the idle connections of a Database in the colour of the test."""
        if self.is_asyncio:
            await database.adispose()
        else:
            database.dispose()

    # -- running ------------------------------------------------------------------------------------------------------

    def run_plain(self, body: Callable[[], Any]) -> Any:
        """Run a coroutine function in the colour of the test."""
        return self.colour.run(body())

    def run_body(self, body: Callable[[], Any]) -> None:
        """Run the body of a test, then look for what it has left behind."""
        self.run_plain(body)
        self.run_plain(self._look_around)

    async def _look_around(self) -> None:
        assert CURRENT.get() is None, "the test has left a block in the chain"
        if self.db.is_started:
            engines = self.db.factory.engines(self.combination.colour)
            for lane in (engines.writer, engines.reader):
                held = lane.engine.pool.checkedout()  # type: ignore[attr-defined]
                assert held == 0, f"the test has left {held} connections in use by {lane.role.value} blocks"
        # A server may not have read yet that a connection was closed.
        end = SYSTEM_CLOCK.now() + _NOTICED_S
        while (left := self.place.left_open()) and SYSTEM_CLOCK.now() < end:
            if self.is_asyncio:
                await SYSTEM_CLOCK.asleep(PAUSE_S)
            else:
                SYSTEM_CLOCK.sleep(PAUSE_S)
        assert not left, f"the test has left transactions open: {left}"

    async def gather(self, *bodies: Callable[[], Awaitable[Any]]) -> list[Any]:
        """Run coroutine functions at the same time in tasks (asyncio only)."""
        return list(await asyncio.gather(*(body() for body in bodies)))

    async def raises(self, error: type[E], body: Callable[..., Awaitable[Any]], *args: Any) -> E:
        """Return the error that a coroutine function raises."""
        try:
            await body(*args)
        except error as raised:
            return raised
        raise AssertionError(f"{error.__name__} was not raised")

    def raising(self, error: type[BaseException] | tuple[type[BaseException], ...]) -> Raising:
        """Return a ``with`` block that must raise; ``as caught`` has it in ``caught.error``."""
        return Raising(error)

    # -- the database from outside --------------------------------------------------------------------------------

    def stored(self, model: Any = Item) -> list[int]:
        """Return the ids that another client sees."""
        return self.place.ask(f"SELECT id FROM {model.__tablename__} ORDER BY id")

    def store(self, *ids: int, model: Any = Item) -> None:
        """Store rows as another client."""
        for number in ids:
            columns, values = ("id, amount", ":id, 0") if model is Item else ("id", ":id")
            self.place.do(f"INSERT INTO {model.__tablename__} ({columns}) VALUES ({values})", id=number)

    def rival(self) -> Rival:
        """Return another client with a transaction of its own."""
        made = Rival(self.place)
        self.addCleanup(made.__exit__)  # type: ignore[attr-defined]
        return made

    # -- bare SQLAlchemy, for negative controls ------------------------------------------------------------

    def bare_engine(self, **arguments: Any) -> Any:
        """Return a plain engine of the same driver and colour, one of its own where it is told more."""
        if not arguments:
            return places.bare_engine(self.combination)
        url = self.place.url(self.combination.driver, self.combination.scheme)
        make = create_async_engine if self.is_asyncio else create_engine
        return make(url, poolclass=NullPool, **arguments)

    def bare_transaction(self) -> Any:
        """Return ``engine.begin()`` of plain SQLAlchemy, for ``async with``."""
        block = self.bare_engine().begin()
        return block if self.is_asyncio else WaitlessBlock(block)

    def bare_session(self) -> Any:
        """Return ``Session.begin()`` of plain SQLAlchemy, for ``async with ... as session``."""
        return _BareSession(self.bare_engine(), self.is_asyncio)


class _BareSession:
    def __init__(self, engine: Any, is_asyncio: bool) -> None:
        self._session: Any = AsyncSession(engine) if is_asyncio else wrapped(Session(engine))
        self._transaction = self._session.begin()

    async def __aenter__(self) -> Any:
        await self._transaction.__aenter__()
        return self._session

    async def __aexit__(self, *error: Any) -> None:
        try:
            await self._transaction.__aexit__(*error)
        finally:
            await self._session.close()


class Raising:
    """A ``with`` block that must end with an error."""

    error: Any = None

    def __init__(self, expected: type[BaseException] | tuple[type[BaseException], ...]) -> None:
        self._expected = expected

    def __enter__(self) -> Raising:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        if error is None:
            raise AssertionError(f"{self._expected} was not raised")
        self.error = error
        return isinstance(error, self._expected)


__all__ = ["Behaviour", "RequestContext", "behaviours", "on"]
