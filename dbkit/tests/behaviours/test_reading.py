"""A reader reads only: by itself, and whatever it joins."""

from __future__ import annotations

from sqlalchemy import DDL, delete, insert, select, text, update
from sqlalchemy.schema import DropTable

from dbkit.exceptions import DBReadOnly, TransactionDoomed
from dbkit.tests.behaviours.base import Behaviour, behaviours, on
from dbkit.tests.behaviours.combinations import EVERY_DRIVER, POSTGRESQL, SERVERS, SQLITE_FILE
from dbkit.tests.behaviours.tables import Audit, Item


@behaviours()
class TestReadersInsideWriters(Behaviour):
    """A reader reads only, whatever it joins; and the writer goes on writing after it."""

    async def refused(self, write):
        """A write inside the reader is refused; the writer before and after it is not."""
        async with self.writer() as session:
            session.add(Item(id=1))
            await session.flush()
            async with self.reader() as reading:
                await reading.execute(select(Item.id))
                error = await self.raises(DBReadOnly, write, reading)
                reading.expunge_all()
            session.add(Item(id=2))
        self.assertIn("reader", str(error))
        self.assertEqual([1, 2], self.stored())

    async def test_a_flush_is_refused(self):
        async def write(session):
            session.add(Item(id=5))
            await session.flush()

        await self.refused(write)

    async def test_a_core_statement_is_refused(self):
        for statement in (
            insert(Item).values(id=5, amount=0),
            update(Item).values(amount=3),
            delete(Item),
            text("INSERT INTO items (id, amount) VALUES (5, 0)"),
            text("  \n -- why not\n /* because */ DELETE FROM items"),
            text("WITH gone AS (SELECT 1) DELETE FROM items"),
        ):
            await self.refused(lambda session, statement=statement: session.execute(statement))
            self.place.empty()

    async def test_driver_level_sql_is_refused(self):
        async def write(session):
            await (await session.connection()).exec_driver_sql("DELETE FROM items")

        await self.refused(write)

    async def test_a_scalar_is_refused(self):
        async def write(session):
            await session.scalar(text("DELETE FROM items"))

        await self.refused(write)

    async def test_a_bulk_insert_is_refused(self):
        async def write(session):
            await session.execute(insert(Item), [{"id": 5, "amount": 0}, {"id": 6, "amount": 0}])

        await self.refused(write)

    async def test_a_bulk_save_is_refused_and_loses_the_block(self):
        # SQLAlchemy rolls back when a bulk operation fails, for whatever reason: the block must not look committed
        with self.raising(TransactionDoomed) as caught:
            async with self.writer() as session:
                session.add(Item(id=1))
                async with self.reader() as reading:
                    await self.raises(DBReadOnly, reading.run_sync, lambda plain: plain.bulk_save_objects([Item(id=5)]))
        self.assertIsInstance(caught.error.__cause__, DBReadOnly)
        self.assertEqual([], self.stored())

    async def test_a_change_of_the_schema_is_refused(self):
        for statement in (DDL("DROP TABLE audits"), text("DROP TABLE audits"), DropTable(Audit.__table__)):
            await self.refused(lambda session, statement=statement: session.execute(statement))
            self.place.empty()

    @on(POSTGRESQL)
    async def test_a_writing_cte_is_refused(self):
        gone = delete(Item).returning(Item.id).cte("gone")
        await self.refused(lambda session: session.execute(select(gone.c.id)))

    async def test_text_that_reads_is_let_through(self):
        async with self.writer() as session:
            session.add(Item(id=1))
            async with self.reader() as reading:
                for statement in (
                    text("SELECT id FROM items"),
                    text("  -- a remark\n /* and another */ SELECT id FROM items"),
                    text("SELECT id FROM items").columns(Item.id),
                    text("WITH there AS (SELECT id FROM items) SELECT id FROM there"),
                ):
                    self.assertEqual(1, await reading.scalar(statement))
                connection = await reading.connection()
                self.assertEqual(1, (await connection.exec_driver_sql("SELECT id FROM items")).scalar())
        self.assertEqual([1], self.stored())

    async def test_a_write_through_run_sync_is_refused(self):
        async def write(session):
            await session.run_sync(lambda plain: plain.execute(delete(Item)))

        await self.refused(write)

    async def test_a_connection_handle_is_refused(self):
        async with self.writer() as session:
            session.add(Item(id=1))
            async with self.reader.connection() as connection:
                await self.raises(DBReadOnly, connection.execute, delete(Item))
                await self.raises(DBReadOnly, connection.exec_driver_sql, "DELETE FROM items")
                await self.raises(DBReadOnly, connection.scalar, text("DELETE FROM items"))
            await session.execute(insert(Item).values(id=2, amount=0))
        self.assertEqual([1, 2], self.stored())

    async def test_the_outer_handle_cannot_write_meanwhile_either(self):
        async with self.writer.connection() as connection:
            await connection.execute(insert(Item).values(id=1, amount=0))
            async with self.reader():
                await self.raises(DBReadOnly, connection.execute, delete(Item))
            await connection.execute(insert(Item).values(id=2, amount=0))
        self.assertEqual([1, 2], self.stored())

    async def test_a_refused_flush_is_not_made_up_for_later(self):
        with self.raising(DBReadOnly):
            async with self.writer() as session:
                session.add(Item(id=1))
                async with self.reader() as reading:
                    reading.add(Item(id=5))
        self.assertEqual([], self.stored())

    async def test_objects_left_changed_by_a_reader_lose_the_block_though_it_catches_the_error(self):
        self.store(1)
        with self.raising(Exception):
            async with self.writer() as session:
                session.add(Item(id=2))
                try:
                    async with self.reader() as reading:
                        (await reading.get(Item, 1)).amount = 7
                except DBReadOnly:
                    pass
        self.assertEqual([[1], [0]], [self.stored(), self.place.ask("SELECT amount FROM items")])

    async def test_what_the_writer_has_pending_is_written_and_seen(self):
        async with self.writer() as session:
            session.add(Item(id=1))
            async with self.reader() as reading:
                self.assertEqual(1, await reading.scalar(select(Item.id)))
        self.assertEqual([1], self.stored())

    async def test_a_reading_function_is_refused_too(self):
        @self.reader
        async def look():
            await self.session.execute(delete(Item))

        @self.writer
        async def write():
            self.session.add(Item(id=1))
            await self.raises(DBReadOnly, look)
            self.session.add(Item(id=2))

        await write()
        self.assertEqual([1, 2], self.stored())

    async def test_a_reader_that_ends_with_an_error_lets_the_writer_write(self):
        async with self.writer() as session:
            with self.raising(ValueError):
                async with self.reader():
                    raise ValueError
            session.add(Item(id=1))
        self.assertEqual([1], self.stored())

    async def test_a_savepoint_opened_in_a_reader_lets_the_writer_write_after_it(self):
        async with self.writer() as session:
            session.add(Item(id=1))
            async with self.reader.savepoint() as reading:
                self.assertEqual(1, await reading.scalar(select(Item.id)))
                await self.raises(DBReadOnly, reading.execute, delete(Item))
            session.add(Item(id=2))
        self.assertEqual([1, 2], self.stored())

    async def test_a_savepoint_by_the_session_in_a_reader_is_no_write(self):
        async with self.writer() as session:
            session.add(Item(id=1))
            async with self.reader() as reading:
                async with reading.begin_nested():
                    self.assertEqual(1, await reading.scalar(select(Item.id)))
        self.assertEqual([1], self.stored())


@behaviours()
class TestReaders(Behaviour):
    """A reader writes nothing, by whatever way it tries."""

    async def refused(self, write):
        self.store(1)
        with self.raising(DBReadOnly) as caught:
            async with self.reader() as session:
                await write(session)
        self.assertEqual([1], self.stored())
        self.assertEqual([0], self.place.ask("SELECT amount FROM items"))
        async with self.writer() as session:
            session.add(Item(id=2))
        self.assertEqual([1, 2], self.stored())
        return caught.error

    async def test_a_flush_is_refused(self):
        async def write(session):
            session.add(Item(id=5))
            await session.flush()

        await self.refused(write)

    async def test_objects_left_changed_are_refused_at_the_end(self):
        async def write(session):
            session.add(Item(id=5))

        await self.refused(write)

    async def test_core_statements_are_refused(self):
        for statement in (insert(Item).values(id=5, amount=0), update(Item).values(amount=3), delete(Item)):
            await self.refused(lambda session, statement=statement: session.execute(statement))
            self.place.empty()

    async def test_the_refusal_says_to_make_it_a_writer_and_suspects_no_server(self):
        error = await self.refused(lambda session: session.execute(delete(Item)))
        self.assertIn("make it a writer", str(error))
        self.assertNotIn("URL", str(error))

    async def test_text_is_refused(self):
        for statement in ("INSERT INTO items (id, amount) VALUES (5, 0)", "UPDATE items SET amount = 3"):
            await self.refused(lambda session, statement=statement: session.execute(text(statement)))
            self.place.empty()

    async def test_driver_level_sql_is_refused(self):
        async def write(session):
            await (await session.connection()).exec_driver_sql("DELETE FROM items")

        await self.refused(write)

    async def test_a_write_that_is_swallowed_stores_nothing(self):
        self.store(1)
        async with self.reader() as session:
            await self.raises(DBReadOnly, session.execute, update(Item).values(amount=3))
        self.assertEqual([0], self.place.ask("SELECT amount FROM items"))

    async def test_a_connection_handle_is_refused(self):
        self.store(1)
        with self.raising(DBReadOnly):
            async with self.reader.connection() as connection:
                await connection.execute(delete(Item))
        self.assertEqual([1], self.stored())

    async def test_a_refusal_is_no_reason_to_retry(self):
        error = await self.refused(lambda session: session.execute(delete(Item)))
        self.assertFalse(error.transient)

    async def test_reading_after_a_refusal_goes_on_in_another_block(self):
        await self.refused(lambda session: session.execute(delete(Item)))
        async with self.reader() as session:
            self.assertEqual([1, 2], list((await session.scalars(select(Item.id).order_by(Item.id))).all()))

    @on(SERVERS | SQLITE_FILE)
    async def test_a_reader_sees_nothing_uncommitted(self):
        async with self.writer() as session:
            session.add(Item(id=1))
            await session.flush()
            async with self.reader.independent() as reading:
                self.assertEqual([], list((await reading.scalars(select(Item.id))).all()))
        async with self.reader() as reading:
            self.assertEqual([1], list((await reading.scalars(select(Item.id))).all()))

    @on(EVERY_DRIVER)
    async def test_a_reader_sees_what_the_last_writer_stored(self):
        for number in range(3):
            async with self.writer() as session:
                session.add(Audit(id=number))
            async with self.reader() as session:
                self.assertEqual(number + 1, len((await session.scalars(select(Audit.id))).all()))
