"""A primary that becomes read-only while another one takes over: what a pool of writers to it does."""

from __future__ import annotations

import contextlib

from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

import dbkit
from dbkit.exceptions import DBNotPrimary, DBReadOnly, Outcome
from dbkit.spec import Colour
from dbkit.testing import faults, servers
from dbkit.testing.servers.polling import wait_until
from dbkit.tests.behaviours.base import Behaviour, behaviours, on
from dbkit.tests.behaviours.combinations import MARIADB, ONE_PER_PRODUCT, POSTGRESQL, SERVERS
from dbkit.tests.behaviours.estates import OWN_SESSION

ONE_EACH = ONE_PER_PRODUCT & SERVERS
ADD = text("INSERT INTO numbers VALUES (1)")


class FailingOver(Behaviour):
    """The address leads to another server; connections to the old one stay open, and it takes no writes."""

    def setUp(self):
        super().setUp()
        self.kind = "mysql" if self.combination.scheme in ("mysql", "mariadb") else "postgresql"
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        self.pair = stack.enter_context(servers.or_skip(self.kind, lambda: servers.pair(self.kind)))
        self.old, self.new = self.pair.primary, self.pair.replica
        self.name = self.old.create_database()
        self.do(self.old, "CREATE TABLE numbers (x INTEGER)")
        self.pair.catch_up()
        self.proxy = stack.enter_context(faults.proxy(self.old))

    def do(self, server, statement):
        """Execute as someone who goes round the proxy, and return the first column."""
        driver = "psycopg" if self.kind == "postgresql" else "pymysql"
        url = server.url(driver, self.name)
        if statement.startswith("SET GLOBAL"):
            url = url.set(username="root")
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                result = connection.execute(text(statement))
                return list(result.scalars()) if result.returns_rows else []
        finally:
            engine.dispose()

    def refuse_writes(self):
        """Let the old primary take no writes, and keep the connections to it."""
        if self.kind == "postgresql":
            self.do(self.old, "ALTER SYSTEM SET default_transaction_read_only = on")
            self.do(self.old, "SELECT pg_reload_conf()")
            # the server tells the sessions that are open before it opens one that shows it
            wait_until(
                lambda: self.do(self.old, "SHOW default_transaction_read_only") == ["on"], 20.0, "the new settings"
            )
        else:
            self.do(self.old, "SET GLOBAL read_only = 1")

    def promote(self):
        """Let the address lead to the replica, which becomes the primary."""
        self.pair.promote()
        self.proxy.retarget(self.new)

    def fail_over(self):
        self.refuse_writes()
        self.promote()

    @property
    def url(self):
        return self.proxy.url(self.combination.driver, self.name)

    def numbers(self, server):
        return self.do(server, "SELECT x FROM numbers")

    def open(self, **settings):
        database = dbkit.Database(self.url, max_retries=0, max_pool_size=8, **settings)
        self.addCleanup(self.run_plain, lambda: self.dispose(database))
        return self.face_of(database)

    async def fill(self, face, opener, count=4):
        if count:
            async with opener.independent() as session:
                await session.execute(text("SELECT 1"))
                await self.fill(face, opener, count - 1)

    async def add(self, face):
        async with face.writer() as session:
            await session.execute(ADD)


@behaviours(ONE_EACH)
class TestFailOver(FailingOver):
    async def test_one_block_fails_and_the_next_writes_to_the_new_primary(self):
        face = self.open()
        await self.fill(face, face.writer)
        await self.fill(face, face.reader)
        before = len(self.proxy.connections)
        self.fail_over()
        error = await self.raises(DBNotPrimary, self.add, face)
        self.assertIsInstance(error, DBReadOnly)
        self.assertEqual((True, Outcome.ROLLED_BACK), (error.transient, error.outcome))
        self.assertIn(error.code, ("25006", 1290))
        for _ in range(3):
            await self.add(face)
        self.assertEqual([1, 1, 1], self.numbers(self.new))
        self.assertEqual([], self.numbers(self.old))
        # readers must not go on reading what the old one has kept
        async with face.reader() as session:
            self.assertEqual(3, await session.scalar(text("SELECT count(*) FROM numbers")))
        self.assertGreaterEqual(before, 8)

    async def test_plain_sqlalchemy_keeps_writing_to_the_old_one(self):
        """The negative control."""
        is_asyncio = self.combination.colour is Colour.ASYNCIO
        engine = (create_async_engine if is_asyncio else create_engine)(self.url)

        async def call(method, *arguments):
            found = method(*arguments)
            return await found if is_asyncio and hasattr(found, "__await__") else found

        connection = await call(engine.connect)
        await call(connection.execute, text(OWN_SESSION[self.kind]))
        await call(connection.close)
        self.fail_over()
        for _ in range(3):
            connection = await call(engine.connect)
            with self.raising(DBAPIError):
                await call(connection.execute, ADD)
            await call(connection.close)
        await call(engine.dispose)
        self.assertEqual([], self.numbers(self.new))

    async def test_while_no_server_takes_writes_each_block_says_so(self):
        face = self.open()
        await self.fill(face, face.writer)
        self.refuse_writes()
        for _ in range(3):
            error = await self.raises(DBNotPrimary, self.add, face)
            self.assertTrue(error.transient)
        self.assertIs(Outcome.NOT_STARTED, error.outcome)
        async with face.reader() as session:
            self.assertEqual(0, await session.scalar(text("SELECT count(*) FROM numbers")))
        self.promote()
        await self.add(face)
        self.assertEqual([1], self.numbers(self.new))

    @on(MARIADB & ONE_EACH)
    async def test_a_commit_that_comes_too_late_has_stored_nothing(self):
        face = self.open()

        async def write():
            async with face.writer() as session:
                await session.execute(ADD)
                self.refuse_writes()

        error = await self.raises(DBNotPrimary, write)
        self.assertEqual((True, Outcome.ROLLED_BACK, 1290), (error.transient, error.outcome, error.code))
        self.assertEqual([], self.numbers(self.old))


@behaviours(SERVERS)
class TestReadOnlyOfTheBlocksOwn(Behaviour):
    """A transaction that was made read-only says nothing of the server."""

    async def test_a_reader_that_writes_is_told_so(self):
        async def write():
            async with self.reader() as session:
                await session.execute(text("INSERT INTO items (id, amount) VALUES (1, 0)"))

        error = await self.raises(DBReadOnly, write)
        self.assertNotIsInstance(error, DBNotPrimary)
        self.assertFalse(error.transient)

    @on(POSTGRESQL)
    async def test_a_writer_that_made_itself_read_only_is_told_so(self):
        async def write():
            async with self.writer() as session:
                await session.execute(text("SELECT set_config('transaction_read_only', 'on', true)"))
                await session.execute(text("INSERT INTO items (id, amount) VALUES (1, 0)"))

        error = await self.raises(DBReadOnly, write)
        self.assertNotIsInstance(error, DBNotPrimary)

    async def refused(self, before):
        """Return the error of a writer on whose connections this was sent when they were opened."""

        def prepare(engine):
            @event.listens_for(engine, "connect")
            def make_read_only(connection, record):
                cursor = connection.cursor()
                cursor.execute(before)
                cursor.close()
                connection.commit()

        face = self.face_of(self.database(on_engine_create=[prepare]))

        async def write():
            async with face.writer() as session:
                await session.execute(text("INSERT INTO items (id, amount) VALUES (1, 0)"))

        error = await self.raises(DBReadOnly, write)
        return error

    @on(POSTGRESQL)
    async def test_a_server_that_makes_all_transactions_read_only_is_known_by_that(self):
        self.assertIsInstance(await self.refused("SET default_transaction_read_only = on"), DBNotPrimary)

    @on(MARIADB)
    async def test_a_writer_whose_session_is_read_only_is_told_so(self):
        error = await self.refused("SET SESSION tx_read_only = 1")
        self.assertEqual(1792, error.errno)
        self.assertNotIsInstance(error, DBNotPrimary)
