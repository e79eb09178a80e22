"""Whose transaction it is: blocks of other threads and tasks never take part in it unnoticed."""

from __future__ import annotations

import asyncio
import contextvars
import threading

from sqlalchemy import insert, select

from dbkit.exceptions import DBError, NoTransaction, TransactionOwnedElsewhere
from dbkit.tests.behaviours.base import Behaviour, behaviours, on
from dbkit.tests.behaviours.combinations import (
    ASYNCIO,
    BLOCKING,
    BOTH_FACES,
    EVERY_DRIVER,
    EVERY_FACE,
    ONE_PER_PRODUCT,
    SERVERS,
    SQLITE_FILE,
)
from dbkit.tests.behaviours.tables import Audit, Item
from dbkit.tests.steering import turns

_WAIT_S = 20


def in_thread(work):
    """Run work in a thread to its end, and raise what it raised."""
    errors = []

    def run():
        try:
            work()
        except BaseException as error:  # raised again below
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_WAIT_S)
    assert not thread.is_alive()
    if errors:
        raise errors[0]


@behaviours((ONE_PER_PRODUCT | BOTH_FACES) & BLOCKING)
class TestThreads(Behaviour):
    @on(frozenset(each for each in EVERY_FACE if each not in SQLITE_FILE) | BOTH_FACES)
    async def test_another_thread_has_a_transaction_of_its_own(self):
        met = threading.Barrier(2)

        def read():
            with self.reader.block() as session:
                met.wait(_WAIT_S)
                return list(session.scalars(select(Item.id)))

        seen = []
        with self.raising(ValueError):
            async with self.writer() as session:
                session.add(Item(id=1))
                await session.flush()
                thread = threading.Thread(target=lambda: seen.append(read()), daemon=True)
                thread.start()
                met.wait(_WAIT_S)
                thread.join(_WAIT_S)
                raise ValueError
        self.assertEqual([[]], seen)
        self.assertEqual([], self.stored())

    async def test_one_context_in_two_threads_is_two_transactions(self):
        def write(number, fails):
            with self.writer.block() as session:
                session.add(Item(id=number))
                session.flush()
                if fails:
                    raise ValueError

        in_thread(lambda: write(1, False))
        self.assertRaises(ValueError, in_thread, lambda: write(2, True))
        self.assertEqual([1], self.stored())

    async def test_writers_in_many_threads_all_get_their_turn(self):
        barrier = threading.Barrier(8)
        errors = []

        def write(number):
            try:
                barrier.wait(_WAIT_S)
                for each in range(5):
                    with self.writer.block() as session:
                        session.add(Item(id=number * 10 + each))
            except Exception as error:  # looked at below
                errors.append(error)

        threads = [threading.Thread(target=write, args=(number,), daemon=True) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(_WAIT_S)
        self.assertEqual([], errors)
        self.assertEqual(40, len(self.stored()))

    async def test_a_copied_context_in_another_thread_is_refused(self):
        @self.writer
        async def write():
            self.session.add(Item(id=2))

        async with self.writer() as session:
            session.add(Item(id=1))
            copy = contextvars.copy_context()

            def work():
                with self.writer.block() as inner:
                    inner.add(Item(id=2))

            with self.raising(TransactionOwnedElsewhere) as caught:
                in_thread(lambda: copy.run(work))
            self.assertIn(".independent", str(caught.error))
            self.assertIn("thread", str(caught.error))
            with self.raising(TransactionOwnedElsewhere):
                in_thread(lambda: copy.run(lambda: self.colour.run(write())))
        self.assertEqual([1], self.stored())

    async def test_a_handle_in_another_thread_is_refused(self):
        async with self.writer() as session:
            session.add(Item(id=1))
            copy = contextvars.copy_context()
            with self.raising(DBError):
                in_thread(lambda: copy.run(lambda: self.session))

    async def test_a_closed_block_in_a_copied_chain_is_not_joined(self):
        async with self.writer() as session:
            session.add(Item(id=1))
            copy = contextvars.copy_context()

        def work():
            with self.writer.block() as inner:
                inner.add(Item(id=2))

        in_thread(lambda: copy.run(work))
        self.assertEqual([1, 2], self.stored())

    async def test_a_block_left_in_another_context_than_it_was_entered_in_is_ended(self):
        # a dependency whose two halves a framework runs apart
        entered, left = contextvars.copy_context(), contextvars.copy_context()
        for error in (None, ValueError()):
            block = self.writer.block()
            session = entered.run(block.__enter__)
            session.add(Item(id=1 if error is None else 5))
            left.run(block.__exit__, None if error is None else type(error), error, None)
            self.assertEqual([1], self.stored())

        def work():
            with self.writer.block() as inner:
                inner.add(Item(id=2))

        entered.run(work)
        self.assertEqual([1, 2], self.stored())


@behaviours((ONE_PER_PRODUCT | BOTH_FACES | SERVERS) & ASYNCIO)
class TestTasks(Behaviour):
    async def test_a_block_of_a_child_task_is_refused(self):
        @self.writer
        async def write():
            self.session.add(Item(id=2))

        async def block():
            async with self.writer() as inner:
                inner.add(Item(id=2))

        async with self.writer() as session:
            session.add(Item(id=1))
            for work in (write, block):
                with self.raising(TransactionOwnedElsewhere) as caught:
                    await asyncio.create_task(work())
                self.assertIn(".independent", str(caught.error))
                self.assertIn("task", str(caught.error))
        self.assertEqual([1], self.stored())

    async def test_gather_inside_a_block_is_refused(self):
        @self.writer
        async def write(number):
            self.session.add(Item(id=number))

        with self.raising(TransactionOwnedElsewhere):
            async with self.writer() as session:
                session.add(Item(id=1))
                await asyncio.gather(write(2), write(3))
        self.assertEqual([], self.stored())

    async def test_a_handle_in_a_child_task_is_refused(self):
        async def look():
            return self.session

        async with self.writer() as session:
            session.add(Item(id=1))
            with self.raising(DBError):
                await asyncio.create_task(look())
        self.assertEqual([1], self.stored())

    async def test_tasks_outside_a_block_have_transactions_of_their_own(self):
        @self.writer
        async def write(number):
            self.session.add(Item(id=number))
            await self.session.flush()
            await turns()
            if number == 3:
                raise ValueError

        results = await asyncio.gather(*(write(number) for number in range(1, 6)), return_exceptions=True)
        self.assertEqual([None, None, ValueError, None, None], [each and type(each) for each in results])
        self.assertEqual([1, 2, 4, 5], self.stored())

    @on(SERVERS)
    async def test_child_tasks_may_open_independent_ones(self):
        @self.writer.independent
        async def write(number):
            self.session.add(Audit(id=number))

        with self.raising(ValueError):
            async with self.writer() as session:
                session.add(Item(id=1))
                await session.flush()
                await asyncio.gather(*(write(number) for number in range(3)))
                raise ValueError
        self.assertEqual(([], [0, 1, 2]), (self.stored(), self.stored(Audit)))

    async def test_a_copy_in_a_thread_is_refused(self):
        def work():
            with self.writer.block() as inner:
                inner.add(Item(id=2))

        async with self.writer() as session:
            session.add(Item(id=1))
            with self.raising(DBError) as caught:
                await asyncio.to_thread(work)
            self.assertIn(".independent", str(caught.error))
        self.assertEqual([1], self.stored())

    async def test_a_closed_block_in_a_copied_chain_is_not_joined(self):
        @self.writer
        async def write(number, ended):
            await ended.wait()
            self.session.add(Item(id=number))

        ended = asyncio.Event()
        async with self.writer() as session:
            session.add(Item(id=1))
            task = asyncio.create_task(self.after(ended, write))
        ended.set()
        await task
        self.assertEqual([1, 2], self.stored())

    async def after(self, event, write):
        await event.wait()
        await write(2, event)

    async def test_wait_for_inside_a_block_joins_or_says_why_not(self):
        # before 3.12 wait_for runs what it awaits in a task of its own, which does not own the transaction
        @self.writer
        async def write():
            self.session.add(Item(id=2))

        joined = False
        async with self.writer() as session:
            session.add(Item(id=1))
            try:
                await asyncio.wait_for(write(), _WAIT_S)
                joined = True
            except TransactionOwnedElsewhere as error:
                self.assertIn("task", str(error))
        self.assertEqual([1, 2] if joined else [1], self.stored())

    async def test_a_timeout_inside_a_block_joins(self):
        @self.writer
        async def write():
            self.session.add(Item(id=2))

        async with self.writer() as session:
            session.add(Item(id=1))
            async with asyncio.timeout(_WAIT_S):
                await write()
        self.assertEqual([1, 2], self.stored())

    async def test_a_task_group_inside_a_block_is_refused(self):
        @self.writer
        async def write(number):
            self.session.add(Item(id=number))

        with self.raising(BaseException) as caught:
            async with self.writer() as session:
                session.add(Item(id=1))
                async with asyncio.TaskGroup() as group:
                    group.create_task(write(2))
        self.assertIsInstance(caught.error, ExceptionGroup)
        self.assertIsInstance(caught.error.exceptions[0], TransactionOwnedElsewhere)
        self.assertEqual([], self.stored())

    async def test_many_requests_leave_nothing_behind(self):
        # each request has a context object of its own: none of them may be held on to by the task
        import gc
        import weakref

        gone = []
        for number in range(20):
            face = self.face_of(self.db, context=None)
            async with face.writer() as session:
                session.add(Item(id=number))
            gone.append(weakref.ref(face))
            del face, session
        gc.collect()
        self.assertEqual([], [each for each in gone if each() is not None])


@behaviours(EVERY_DRIVER & ASYNCIO)
class TestHandlesHandedOn(Behaviour):
    """A handle that was bound by ``as`` serves whoever has it, one at a time; no two take a connection for it."""

    async def test_two_first_statements_at_once_take_one_connection(self):
        face = self.face_of(self.database())
        async with face.writer.connection() as connection:
            inserts = [connection.execute(insert(Item).values(id=number, amount=0)) for number in (1, 2)]
            _, second = await asyncio.gather(*inserts, return_exceptions=True)
            self.assertIsInstance(second, TransactionOwnedElsewhere)
            self.assertIn("at the same time", str(second))
            await connection.execute(insert(Item).values(id=3, amount=0))
        self.assertEqual([1, 3], self.stored())

    async def test_a_first_statement_that_got_no_connection_may_be_sent_again(self):
        face = self.face_of(self.database())
        async with face.writer.connection() as connection:
            task = asyncio.create_task(connection.execute(insert(Item).values(id=1, amount=0)))
            await turns()
            task.cancel()
            with self.raising(asyncio.CancelledError):
                await task
            await connection.execute(insert(Item).values(id=2, amount=0))
        self.assertEqual([2], self.stored())

    async def test_a_first_statement_that_nobody_waits_for_takes_no_connection_after_the_end(self):
        face = self.face_of(self.database())
        async with face.writer.connection() as connection:
            task = asyncio.create_task(connection.execute(insert(Item).values(id=1, amount=0)))
            await turns()
        with self.raising(NoTransaction):
            await task
        async with face.writer() as session:
            session.add(Item(id=2))
            self.assertEqual(1, (await session.connection()).sync_engine.pool.checkedout())
        self.assertEqual([2], self.stored())

    async def test_a_statement_may_run_in_a_task_of_its_own(self):
        # as in wait_for() before Python 3.12
        async with self.writer() as session:
            session.add(Item(id=1))
            await asyncio.create_task(session.flush())
            self.assertEqual(1, await asyncio.wait_for(session.scalar(select(Item.id)), _WAIT_S))
        self.assertEqual([1], self.stored())


@behaviours(ONE_PER_PRODUCT & ASYNCIO)
class TestEventLoops(Behaviour):
    def test_one_database_serves_one_loop_after_another(self):
        database = self.database()

        @database.writer
        async def write(number):
            database.async_session.add(Item(id=number))

        async def work(number):
            await write(number)
            await database.adispose()

        for number in (1, 2):
            asyncio.run(work(number))
        self.assertEqual([1, 2], self.stored())

    def test_one_database_serves_a_loop_and_blocking_code(self):
        database = self.database()

        @database.writer
        def write(number):
            database.session.add(Item(id=number))

        @database.writer
        async def awrite(number):
            database.async_session.add(Item(id=number))

        async def work():
            await awrite(2)
            await asyncio.to_thread(write, 3)
            await database.adispose()

        write(1)
        asyncio.run(work())
        database.dispose()
        self.assertEqual([1, 2, 3], self.stored())
