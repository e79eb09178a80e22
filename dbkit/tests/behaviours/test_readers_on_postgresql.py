"""Readers on PostgreSQL: one statement is one round trip; what needs a transaction gets a READ ONLY one."""

from __future__ import annotations

from sqlalchemy import Integer, column, select, text
from sqlalchemy.exc import DBAPIError

from dbkit.exceptions import DBReadOnly
from dbkit.tests.behaviours.base import Behaviour, behaviours, on
from dbkit.tests.behaviours.colours import WaitlessBlock
from dbkit.tests.behaviours.combinations import EVERY_FACE, POSTGRESQL, Face, Product
from dbkit.tests.behaviours.tables import Item

_MANY = select(Item.id).order_by(Item.id)


@behaviours(
    POSTGRESQL
    | frozenset(each for each in EVERY_FACE if each.product is Product.POSTGRESQL and each.face is Face.CONTEXT)
)
class TestOneStatement(Behaviour):
    async def statements(self, session):
        """Return how the server and the driver see the transaction after a statement."""
        connection = await session.run_sync(lambda plain: plain.connection().connection)
        driver = self.combination.driver
        if driver == "asyncpg":
            return connection.driver_connection.is_in_transaction()
        native = connection.driver_connection
        status = native.pgconn.transaction_status if driver == "psycopg" else native.info.transaction_status
        return int(status) != 0

    async def test_a_reader_sends_no_begin(self):
        self.store(1)
        async with self.reader() as session:
            for _ in range(3):
                self.assertEqual(1, await session.scalar(select(Item.id)))
                self.assertFalse(await self.statements(session))
        self.assertEqual([1], self.stored())

    async def test_a_writer_does(self):
        async with self.writer() as session:
            await session.execute(select(Item.id))
            self.assertTrue(await self.statements(session))

    async def test_it_is_read_only_all_the_same(self):
        async with self.reader() as session:
            self.assertEqual("on", await session.scalar(text("SHOW transaction_read_only")))
            self.assertFalse(await self.statements(session))

    async def test_each_statement_sees_what_is_committed(self):
        async with self.reader() as session:
            self.assertEqual([], list((await session.scalars(select(Item.id))).all()))
            self.store(1)
            self.assertEqual([1], list((await session.scalars(select(Item.id))).all()))

    async def test_a_failed_statement_fails_alone(self):
        self.store(1)
        async with self.reader() as session:
            await self.raises(Exception, session.execute, text("SELECT nothing FROM nowhere"))
            self.assertEqual(1, await session.scalar(select(Item.id)))

    async def opened(self, use):
        """After its use a READ ONLY transaction is open, and with the block the connection is back in autocommit."""
        self.store(1)
        async with self.reader() as session:
            first = await session.scalar(text("SELECT pg_backend_pid()"))
            await use(session)
            self.assertTrue(await self.statements(session))
            self.assertEqual("on", await session.scalar(text("SHOW transaction_read_only")))
            snapshot = list((await session.scalars(select(Item.id))).all())
        for _ in range(2):
            async with self.reader() as session:
                self.assertEqual(first, await session.scalar(text("SELECT pg_backend_pid()")))
                self.assertEqual("on", await session.scalar(text("SHOW transaction_read_only")))
                self.assertFalse(await self.statements(session))
                self.assertEqual("0", await session.scalar(text("SHOW statement_timeout")))
        return snapshot

    async def test_set_local_opens_a_transaction(self):
        async def use(session):
            await session.execute(text("SET LOCAL statement_timeout = '4s'"))
            self.assertEqual("4s", await session.scalar(text("SHOW statement_timeout")))

        await self.opened(use)

    async def test_a_function_that_sets_locally_opens_one(self):
        async def use(session):
            await session.execute(text("SELECT set_config('statement_timeout', '4s', true)"))
            self.assertEqual("4s", await session.scalar(text("SHOW statement_timeout")))

        await self.opened(use)

    async def test_set_local_at_driver_level_opens_one(self):
        async def use(session):
            connection = await session.connection()
            await connection.exec_driver_sql("SET LOCAL statement_timeout = '4s'")
            self.assertEqual("4s", await session.scalar(text("SHOW statement_timeout")))

        await self.opened(use)

    async def test_a_savepoint_opens_one(self):
        async def use(session):
            async with session.begin_nested():
                await session.execute(select(Item.id))

        await self.opened(use)

    async def test_a_savepoint_block_opens_one(self):
        async def use(session):
            async with self.reader.savepoint() as inner:
                await inner.execute(select(Item.id))

        await self.opened(use)

    async def test_a_cursor_at_the_server_opens_one(self):
        async def use(session):
            rows = [row async for row in await session.stream(select(Item.id))]
            self.assertEqual([(1,)], [tuple(row) for row in rows])

        await self.opened(use)

    async def test_a_cursor_asked_for_by_the_statement_opens_one(self):
        async def use(session):
            statement = select(Item.id).execution_options(yield_per=10)
            rows = [row async for row in await session.stream(statement)]
            self.assertEqual(1, len(rows))

        await self.opened(use)

    async def test_locking_opens_one(self):
        async def use(session):
            await session.execute(text("LOCK TABLE items IN ACCESS SHARE MODE"))

        await self.opened(use)

    async def test_a_level_opens_one(self):
        async with self.reader.isolation("REPEATABLE READ")() as session:
            await session.execute(select(Item.id))
            self.assertTrue(await self.statements(session))
        with self.raising(DBReadOnly):
            async with self.reader.isolation("REPEATABLE READ")() as session:
                await session.execute(text("DELETE FROM items"))
        async with self.reader() as session:
            self.assertEqual("on", await session.scalar(text("SHOW transaction_read_only")))
            self.assertFalse(await self.statements(session))

    async def test_a_block_that_fails_goes_back_to_autocommit_too(self):
        with self.raising(ValueError):
            async with self.reader() as session:
                await session.execute(text("SET LOCAL statement_timeout = '4s'"))
                raise ValueError
        async with self.reader() as session:
            self.assertEqual("0", await session.scalar(text("SHOW statement_timeout")))
            self.assertFalse(await self.statements(session))

    async def test_text_with_named_columns_is_read(self):
        async with self.reader() as session:
            statement = text("SELECT 1 AS one").columns(column("one", Integer))
            self.assertEqual(1, await session.scalar(statement))

    @on(POSTGRESQL)
    async def test_a_session_setting_does_not_make_a_writer_of_it(self):
        # a function that writes can't be seen from outside: the server refuses it
        self.place.do(
            "CREATE OR REPLACE FUNCTION write_item() RETURNS integer LANGUAGE sql AS "
            "'INSERT INTO items (id, amount) VALUES (77, 0) RETURNING id'"
        )
        with self.raising(DBReadOnly):
            async with self.reader() as session:
                await session.scalar(text("SELECT write_item()"))
        self.assertEqual([], self.stored())


_READ_IN_PARTS = {
    "by the statement": lambda session: session.execute(_MANY.execution_options(yield_per=10)),
    "by the call": lambda session: session.execute(_MANY, execution_options={"yield_per": 10}),
    "by a stream": lambda session: session.execute(_MANY, execution_options={"stream_results": True}),
    "by the connection": lambda session: session.connection().execution_options(yield_per=10).execute(_MANY),
    "of objects": lambda session: session.execute(select(Item).order_by(Item.id).execution_options(yield_per=10)),
}


@behaviours(POSTGRESQL)
class TestCursorsAtTheServer(Behaviour):
    """A large result is read in parts, through a cursor at the server, which lives in a transaction only."""

    def setUp(self):
        super().setUp()
        self.place.do("INSERT INTO items (id, amount) SELECT number, 0 FROM generate_series(1, 35) AS number")

    async def in_parts(self, session, execute):
        """Return the sizes of the parts, and whether the rows are still at the server while the first is read."""

        def read(plain):
            result = execute(plain)
            parts = [len(result.fetchmany(10))]
            cursors = plain.scalar(text("SELECT count(*) FROM pg_cursors WHERE statement NOT LIKE '%pg_cursors%'"))
            return [*parts, *(len(part) for part in result.partitions(10))], cursors

        return await session.run_sync(read)

    async def test_a_reader_reads_in_parts_however_it_asks_for_it(self):
        for asked, execute in _READ_IN_PARTS.items():
            async with self.reader() as session:
                sizes, cursors = await self.in_parts(session, execute)
            self.assertEqual(([10, 10, 10, 5], 1), (sizes, cursors), asked)

    async def test_a_reader_that_has_read_before_does_too(self):
        async with self.reader() as session:
            self.assertEqual(1, await session.scalar(select(Item.id).limit(1).order_by(Item.id)))
            sizes, cursors = await self.in_parts(session, _READ_IN_PARTS["by the call"])
        self.assertEqual(([10, 10, 10, 5], 1), (sizes, cursors))

    async def test_a_writer_does_too(self):
        async with self.writer() as session:
            sizes, cursors = await self.in_parts(session, _READ_IN_PARTS["by the statement"])
        self.assertEqual(([10, 10, 10, 5], 1), (sizes, cursors))

    async def test_a_block_for_a_connection_does_too(self):
        async with self.reader.connection() as connection:
            rows = await connection.run_sync(
                lambda plain: plain.execution_options(yield_per=10).execute(_MANY).scalars().all()
            )
        self.assertEqual(list(range(1, 36)), list(rows))

    async def test_autocommit_alone_has_no_such_cursor(self):
        """The negative control: the same statement on a connection in autocommit that nobody watches."""
        engine = self.bare_engine(isolation_level="AUTOCOMMIT")
        block = engine.connect() if self.is_asyncio else WaitlessBlock(engine.connect())
        with self.raising(DBAPIError):
            async with block as connection:
                await connection.run_sync(lambda plain: _READ_IN_PARTS["by the call"](plain).all())
