"""What the suite's test cases have at hand."""

from __future__ import annotations

import functools
import unittest
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from sqlalchemy import Executable, select
from sqlalchemy.engine import URL, Connection

from dbkit.ambient import CURRENT
from dbkit.backends.base import Backend, SessionFacts, Standing
from dbkit.database import Database
from dbkit.engines.connection import FACTS
from dbkit.engines.create import Lane
from dbkit.exceptions import DBError
from dbkit.spec import Colour
from dbkit.testing.suite.capabilities import Capability
from dbkit.testing.suite.colours import AsyncioColour, BlockingColour
from dbkit.testing.suite.ground import Ground, ground_of
from dbkit.testing.suite.subject import BackendUnderTest, Way
from dbkit.testing.suite.tables import ITEMS

C = TypeVar("C", bound=type)
E = TypeVar("E", bound=BaseException)
F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

if TYPE_CHECKING:
    _TestCase = unittest.TestCase
else:
    _TestCase = object  # the generated classes are test cases, the templates are not


def needs(*capabilities: Capability) -> Callable[[F], F]:
    """Run a test, or all of a class, only where these capabilities are declared."""

    def mark(test: F) -> F:
        test.needs = capabilities  # type: ignore[attr-defined]
        return test

    return mark


class Case(_TestCase):
    """A template of test classes: one for each subject that is tested."""

    subject: ClassVar[BackendUnderTest]
    required: ClassVar[tuple[Capability, ...]] = ()
    #: None: each way to reach the database has a class.
    colour_only: ClassVar[Colour | None] = None
    once: ClassVar[bool] = False

    @property
    def backend(self) -> Backend:
        """The backend under test."""
        return self.subject.backend

    def declares(self, capability: Capability) -> bool:
        """Return whether the subject declares a capability."""
        return capability in self.subject.can


class WayCase(Case):
    """A test case on one way to reach the database: bodies are coroutine functions, whatever the colour."""

    way: ClassVar[Way]
    ground: ClassVar[Ground]
    colour: ClassVar[BlockingColour | AsyncioColour]
    shared: ClassVar[Database]
    databases: ClassVar[list[Database]]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        missing = cls.subject.missing(cls.way.driver)
        if missing:
            raise unittest.SkipTest(missing)
        cls.ground = ground_of(cls.subject)
        cls.colour = BlockingColour() if cls.way.colour is Colour.BLOCKING else AsyncioColour()
        cls.addClassCleanup(cls.colour.close)
        cls.databases = []
        cls.addClassCleanup(cls._dispose_all)
        cls.shared = cls._opened()

    @classmethod
    def _opened(cls, **settings: Any) -> Database:
        database = cls.ground.open(cls.ground.url(cls.way), **settings)
        cls.databases.append(database)
        return database

    @classmethod
    def _dispose_all(cls) -> None:
        while cls.databases:
            cls.colour.run(cls.disposed(cls.databases.pop()))

    @classmethod
    async def disposed(cls, database: Database) -> None:
        """Close the idle connections of a Database."""
        if database.is_started:
            if cls.way.colour is Colour.ASYNCIO:
                await database.adispose()
            else:
                database.dispose()

    def setUp(self) -> None:
        super().setUp()
        stack = ExitStack()
        stack.enter_context(self.ground.turn())
        self.addCleanup(stack.close)
        self.db = self.shared

    def run_body(self, body: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run the body of a test; what it has left open is a failure, and burdens no other test."""
        try:
            self.colour.run(body())
            self.assertIsNone(CURRENT.get(), "the test has left a block open")
            held = self.colour.run(self._held())
            self.assertEqual(0, held, "connections were left in use")
        except BaseException:
            cls = type(self)
            cls._dispose_all()
            cls.shared = cls._opened()
            raise

    async def _held(self) -> int:
        pools: dict[int, Any] = {}
        for database in self.databases:
            if database.is_started:
                engines = database.factory.engines(self.way.colour)
                pools |= {id(lane.engine.pool): lane.engine.pool for lane in (engines.writer, engines.reader)}
        return sum(pool.checkedout() for pool in pools.values())

    # -- dbkit --------------------------------------------------------------------------------------------------------

    @property
    def is_asyncio(self) -> bool:
        """Whether the body runs in asyncio."""
        return self.way.colour is Colour.ASYNCIO

    @property
    def url(self) -> URL:
        """The URL of the database."""
        return self.ground.url(self.way)

    def database(self, **settings: Any) -> Database:
        """Return a Database of the test's own; it is closed with its class."""
        return self._opened(**settings)

    def opened_at(self, url: URL) -> Database:
        """Return a Database on another place; it is closed with its class."""
        database = self.ground.open(url)
        self.databases.append(database)
        return database

    def in_other_colour(self) -> list[int]:
        """Return the ids of the items that the same Database reads in the other colour."""
        other = BlockingColour() if self.is_asyncio else AsyncioColour()
        url = self.url.set(drivername=self.way.scheme)
        made = self.ground.open(url)

        async def look() -> list[int]:
            try:
                async with other.block(made.reader.connection()) as connection:
                    return list((await connection.execute(select(ITEMS.c.id))).scalars())
            finally:
                await (other.called(made.dispose) if self.is_asyncio else made.adispose())

        with ThreadPoolExecutor(1) as pool:  # a thread in which no event loop runs
            try:
                return pool.submit(other.run, look()).result()
            finally:
                other.close()

    def open(self, opener: Any) -> Any:
        """Return what ``async with`` enters: a block of ``db.writer``, ``db.reader.savepoint`` and so on."""
        return self.colour.block(opener())

    def decorated(self, opener: Any, body: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
        """Return a body as a function of its own colour, decorated by ``db.writer`` and so on, to be awaited."""
        return functools.partial(self.colour.called, opener(self.colour.function(body)))

    async def add(self, *ids: int) -> None:
        """Write items in a block."""
        async with self.open(self.db.writer) as session:
            for number in ids:
                await session.execute(insert_item(number))

    async def raises(self, error: type[E], body: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> E:
        """Return the error that a coroutine function raises."""
        try:
            await body(*args)
        except error as raised:
            return raised
        raise AssertionError(f"{error.__name__} was not raised")

    # -- the database from outside ------------------------------------------------------------------------------------

    def stored(self) -> list[int]:
        """Return the ids of the items that another client sees."""
        return self.ground.ask("SELECT id FROM dbkit_items ORDER BY id")

    def store(self, *ids: int) -> None:
        """Store items as another client."""
        for number in ids:
            self.ground.do("INSERT INTO dbkit_items (id, amount) VALUES (:id, 0)", id=number)

    # -- the driver ---------------------------------------------------------------------------------------------------

    async def lane(self, *, writes: bool) -> Lane:
        """Return the engine of writers or of readers."""
        found: Lane = self.db.factory.lane(writes, self.way.colour)
        return found

    async def at_driver(self, work: Callable[[Connection], T], *, writes: bool = True) -> T:
        """Call blocking code with a connection of SQLAlchemy's own that the backend has opened for a role."""
        lane = await self.lane(writes=writes)

        def connected() -> T:
            with lane.engine.connect() as connection:
                return work(connection)

        return await self.colour.at_driver(connected)

    def standing(self, connection: Connection) -> Standing:
        """Return what the backend says of a connection without asking the server."""
        return self.backend.standing(connection.connection.dbapi_connection, connection.dialect.driver)

    def ask_standing(self, connection: Connection) -> Standing:
        """Return what the backend says of a connection when it may ask."""
        return self.backend.ask_standing(connection.connection.dbapi_connection, connection.dialect.driver)

    @staticmethod
    def facts(connection: Connection) -> SessionFacts:
        """Return what the backend has learned when it opened the connection."""
        found: SessionFacts = connection.connection.info[FACTS]
        return found


def insert_item(number: int, name: str | None = None) -> Executable:
    """Return the statement that writes an item."""
    return ITEMS.insert().values(id=number, name=name, amount=0)


@contextmanager
def swallowed(error: type[DBError] = DBError) -> Iterator[None]:
    """Catch an error of the database, as code does that thinks it can go on; without one, fail."""
    try:
        yield
    except error:
        return
    raise AssertionError(f"{error.__name__} was not raised")
