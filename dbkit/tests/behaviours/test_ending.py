"""How blocks end: committed without an error, rolled back with one."""

from __future__ import annotations

import asyncio

from sqlalchemy import insert, select

from dbkit.exceptions import DBDuplicateEntry, NoTransaction, TransactionDoomed, TransactionManaged, UsageError
from dbkit.tests.behaviours.base import Behaviour, behaviours
from dbkit.tests.behaviours.combinations import ASYNCIO, EVERY_DRIVER, EVERY_FACE, ONE, ONE_PER_PRODUCT, SPELLINGS
from dbkit.tests.behaviours.tables import Item
from dbkit.tests.steering import until


class Stop(BaseException):
    """What is no Exception."""


@behaviours(EVERY_FACE | SPELLINGS)
class TestEnding(Behaviour):
    async def test_a_block_that_ends_is_committed(self):
        async with self.writer() as session:
            session.add(Item(id=1))
        self.assertEqual([1], self.stored())

    async def test_a_function_that_returns_is_committed(self):
        @self.writer
        async def add(number, name=None):
            self.session.add(Item(id=number, name=name))
            return number * 2

        self.assertEqual(14, await add(7, name="seven"))
        self.assertEqual([7], self.stored())

    async def test_a_connection_block_that_ends_is_committed(self):
        async with self.writer.connection() as connection:
            await connection.execute(insert(Item).values(id=1, amount=0))
        self.assertEqual([1], self.stored())

    async def test_an_error_rolls_a_block_back_and_reaches_the_caller(self):
        error = ValueError("mine")
        with self.raising(ValueError) as caught:
            async with self.writer() as session:
                session.add(Item(id=1))
                await session.flush()
                raise error
        self.assertIs(error, caught.error)
        self.assertEqual([], self.stored())

    async def test_an_error_rolls_a_function_back_and_reaches_the_caller(self):
        @self.writer
        async def add(number):
            self.session.add(Item(id=number))
            await self.session.flush()
            raise ValueError(number)

        error = await self.raises(ValueError, add, 3)
        self.assertEqual((3,), error.args)
        self.assertEqual([], self.stored())

    async def test_an_error_of_the_last_flush_rolls_the_block_back(self):
        self.store(1)
        with self.raising(DBDuplicateEntry):
            async with self.writer() as session:
                session.add(Item(id=2))
                session.add(Item(id=1))
        self.assertEqual([1], self.stored())

    async def test_a_block_may_be_used_after_one_that_failed(self):
        with self.raising(ValueError):
            async with self.writer() as session:
                session.add(Item(id=1))
                await session.flush()
                raise ValueError
        async with self.writer() as session:
            session.add(Item(id=2))
        self.assertEqual([2], self.stored())

    async def test_what_is_no_exception_rolls_back_too(self):
        @self.writer
        async def add():
            self.session.add(Item(id=2))
            await self.session.flush()
            raise Stop

        with self.raising(Stop):
            async with self.writer() as session:
                session.add(Item(id=1))
                await session.flush()
                raise Stop
        await self.raises(Stop, add)
        self.assertEqual([], self.stored())


@behaviours(EVERY_DRIVER)
class TestTheSessionOfABlock(Behaviour):
    async def test_objects_stay_loaded_after_the_block(self):
        self.store(1)
        async with self.reader() as session:
            item = await session.get(Item, 1)
        self.assertEqual((1, 0), (item.id, item.amount))

    async def test_objects_stay_loaded_after_a_commit(self):
        async with self.writer() as session:
            item = Item(id=1, amount=4)
            session.add(item)
        self.assertEqual((1, 4), (item.id, item.amount))

    async def test_a_writer_that_did_nothing_takes_no_connection(self):
        @self.writer
        async def nothing():
            return self.pools()

        @self.writer
        async def asks_only():
            self.assertIsNotNone(self.session)
            return self.pools()

        self.assertEqual([0, 0], await nothing())
        self.assertEqual([0, 0], await asks_only())
        async with self.writer():
            self.assertEqual([0, 0], self.pools())

    def pools(self):
        engines = self.db.factory.engines(self.combination.colour)
        return [lane.engine.pool.checkedout() for lane in (engines.writer, engines.reader)]

    async def test_a_session_is_of_no_use_after_its_block(self):
        async with self.writer() as session:
            session.add(Item(id=1))
        error = await self.raises(NoTransaction, session.execute, select(Item.id))
        self.assertIn("block has ended", str(error))
        with self.raising(NoTransaction):
            session.add(Item(id=2))
        self.assertEqual([1], self.stored())

    async def test_a_session_that_was_not_used_is_of_no_use_after_its_block(self):
        async with self.writer() as session:
            pass
        error = await self.raises(NoTransaction, session.execute, select(Item.id))
        self.assertIn("block has ended", str(error))

    async def test_a_session_is_of_no_use_after_a_block_that_failed(self):
        with self.raising(ValueError):
            async with self.writer() as session:
                session.add(Item(id=1))
                await session.flush()
                raise ValueError
        error = await self.raises(NoTransaction, session.execute, select(Item.id))
        self.assertIn("block has ended", str(error))
        self.assertEqual([], self.stored())

    async def test_a_connection_is_of_no_use_after_its_block(self):
        async with self.writer.connection() as connection:
            await connection.execute(select(Item.id))
        error = await self.raises(NoTransaction, connection.execute, select(Item.id))
        self.assertIn("block has ended", str(error))
        async with self.reader.connection() as connection:
            await connection.execute(select(Item.id))
        error = await self.raises(NoTransaction, connection.exec_driver_sql, "SELECT 1")
        self.assertIn("block has ended", str(error))

    async def test_the_code_inside_cannot_end_the_sessions_transaction(self):
        for name in ("commit", "rollback", "close", "reset"):
            async with self.writer() as session:
                session.add(Item(id=1))
                error = await self.raises(TransactionManaged, getattr(session, name))
                self.assertIn(f"session.{name}()", str(error))
                await session.execute(select(Item.id))
            self.assertEqual([1], self.stored(), name)
            self.place.empty()

    async def test_the_code_inside_cannot_begin_a_session_again(self):
        async with self.writer() as session:
            with self.raising(TransactionManaged) as caught:
                async with session.begin():
                    pass
            self.assertIn("session.begin()", str(caught.error))
            session.add(Item(id=1))
        self.assertEqual([1], self.stored())

    async def test_the_code_inside_cannot_end_the_connections_transaction(self):
        for name in ("commit", "rollback", "close"):
            async with self.writer.connection() as connection:
                await connection.execute(insert(Item).values(id=1, amount=0))
                error = await self.raises(TransactionManaged, getattr(connection, name))
                self.assertIn(f"connection.{name}()", str(error))
            self.assertEqual([1], self.stored(), name)
            self.place.empty()

    async def test_a_handle_on_the_transaction_cannot_commit_it_by_itself(self):
        # SQLAlchemy hands out its own transaction object: ending it must not look like a block that was committed
        with self.raising((TransactionManaged, TransactionDoomed)):
            async with self.writer.connection() as connection:
                await connection.execute(insert(Item).values(id=1, amount=0))
                transaction = connection.get_transaction()
                await transaction.rollback()
        self.assertEqual([], self.stored())

    async def test_the_with_statement_of_a_session_inside_a_block_ends_nothing(self):
        with self.raising(TransactionManaged):
            async with self.writer() as session:
                session.add(Item(id=1))
                async with session:
                    session.add(Item(id=2))
        self.assertEqual([], self.stored())


@behaviours(ONE_PER_PRODUCT & ASYNCIO)
class TestCancellation(Behaviour):
    async def cancelled_in(self, enter):
        """Run a body in a task and cancel it when it says so."""
        inside = asyncio.Event()

        async def body():
            await enter(inside)

        task = asyncio.create_task(body())
        await inside.wait()
        task.cancel()
        with self.raising(asyncio.CancelledError):
            await task

    async def test_a_cancelled_block_is_rolled_back(self):
        async def enter(inside):
            async with self.writer() as session:
                session.add(Item(id=1))
                await session.flush()
                inside.set()
                await asyncio.get_running_loop().create_future()

        await self.cancelled_in(enter)
        self.assertEqual([], self.stored())
        async with self.writer() as session:
            session.add(Item(id=2))
        self.assertEqual([2], self.stored())

    async def test_a_cancelled_function_is_rolled_back(self):
        @self.writer
        async def enter(inside):
            self.session.add(Item(id=1))
            await self.session.flush()
            inside.set()
            await asyncio.get_running_loop().create_future()

        await self.cancelled_in(enter)
        self.assertEqual([], self.stored())

    async def test_cancellation_during_the_end_waits_for_the_end(self):
        done = []

        async def writes():
            async with self.writer() as session:
                session.add(Item(id=1))
                await session.flush()
                self.db.after_commit(lambda: done.append("committed"))
                self.db.after_rollback(lambda: done.append("rolled back"))
                asyncio.get_running_loop().call_soon(asyncio.current_task().cancel)

        with self.raising(asyncio.CancelledError):
            await asyncio.create_task(writes())
        self.assertEqual(([1], ["committed"]), (self.stored(), done))

    async def test_a_block_that_timed_out_is_rolled_back(self):
        loop = asyncio.get_running_loop()
        with self.raising(TimeoutError):
            async with asyncio.timeout(None) as bound, self.writer() as session:
                session.add(Item(id=1))
                await session.flush()
                bound.reschedule(loop.time())  # drivers may lose a cancellation that strikes while they connect
                await loop.create_future()
        self.assertEqual([], self.stored())

    async def test_wait_for_may_enclose_a_function(self):
        @self.writer
        async def add(number):
            self.session.add(Item(id=number))

        await asyncio.wait_for(add(1), 10)
        self.assertEqual([1], self.stored())

    async def test_a_wait_for_that_times_out_rolls_back(self):
        flushed = asyncio.Event()

        @self.writer
        async def add(number):
            self.session.add(Item(id=number))
            await self.session.flush()
            flushed.set()
            await asyncio.get_running_loop().create_future()

        task = asyncio.create_task(add(1))
        await until(lambda: flushed.is_set() or task.done())
        await self.raises(TimeoutError, asyncio.wait_for, task, 0.05)
        self.assertEqual([], self.stored())

    async def test_a_statement_that_is_cancelled_loses_the_block(self):
        @self.writer
        async def work():
            self.session.add(Item(id=1))
            await self.session.flush()
            statement = asyncio.ensure_future(self.session.execute(select(Item.id)))
            statement.cancel()
            try:
                await statement
            except asyncio.CancelledError:
                pass

        # the statement may have been over before it could be cancelled; then all is well
        try:
            await work()
        except Exception:
            self.assertEqual([], self.stored())
        else:
            self.assertEqual([1], self.stored())


@behaviours(ONE)
class TestBlockObjects(Behaviour):
    async def test_a_block_is_entered_once(self):
        block = self.colour.block(self.writer.block())
        async with block as session:
            session.add(Item(id=1))
        with self.raising(UsageError) as caught:
            async with block:
                pass
        self.assertIn("entered once", str(caught.error))

    async def test_a_block_that_is_open_is_not_entered_again(self):
        block = self.colour.block(self.writer.block())
        async with block as session:
            session.add(Item(id=1))
            with self.raising(UsageError) as caught:
                async with block:
                    pass
            self.assertIn("entered once", str(caught.error))
        self.assertEqual([1], self.stored())
