"""Readers on PostgreSQL: one statement is one round trip; what needs a transaction gets a READ ONLY one."""

from __future__ import annotations

from sqlalchemy import Integer, column, select, text

from dbkit.exceptions import DBReadOnly
from dbkit.tests.behaviours.base import Behaviour, behaviours, on
from dbkit.tests.behaviours.combinations import EVERY_FACE, POSTGRESQL, Face, Product
from dbkit.tests.behaviours.tables import Item


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
