"""A block with a deadline: what it bounds, whom it bounds, and what it leaves behind."""

from __future__ import annotations

import asyncio
import math
import threading
from contextlib import contextmanager
from functools import partial

from sqlalchemy import insert, text

import dbkit
from dbkit.ambient import CURRENT, Bounds, innermost, leave
from dbkit.deadline import Deadline
from dbkit.engines.binding import bind
from dbkit.engines.watchdog import WATCHDOG
from dbkit.exceptions import DeadlineExceeded, Outcome, TransactionDoomed
from dbkit.tests.behaviours.base import Behaviour, behaviours, on
from dbkit.tests.behaviours.combinations import (
    ASYNCIO,
    BLOCKING,
    BOTH_FACES,
    MARIADB,
    ONE_PER_PRODUCT,
    POSTGRESQL,
    Product,
)
from dbkit.tests.behaviours.tables import Item
from dbkit.tests.steering import with_patience

_LONG_S = 50.0
_SHORT_S = 0.3
_PATIENCE = (_SHORT_S, 4 * _SHORT_S, 16 * _SHORT_S)

_ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n"

_WAITS = {
    Product.POSTGRESQL: "SELECT pg_sleep(60)",
    Product.MARIADB: "SELECT SLEEP(60)",
    Product.SQLITE_FILE: _ENDLESS,
    Product.SQLITE_MEMORY: _ENDLESS,
}

_TOLD = {
    Product.POSTGRESQL: "SELECT current_setting('statement_timeout') || ' ' || current_setting('lock_timeout')",
    Product.MARIADB: "SELECT CONCAT(@@SESSION.max_statement_time, ' ', @@SESSION.innodb_lock_wait_timeout)",
    Product.SQLITE_FILE: "PRAGMA busy_timeout",
    Product.SQLITE_MEMORY: "PRAGMA busy_timeout",
}


@contextmanager
def out_of_time():
    """Let a deadline have passed for the code inside."""
    frame = Bounds(Deadline(0.0, 1.5), innermost())
    token = CURRENT.set(frame)
    try:
        yield
    finally:
        frame.is_open = False
        leave(token)


class _Timed(Behaviour):
    async def told(self, opener):
        """Return what the session of a block is told of timeouts."""
        async with opener() as session:
            return await session.scalar(text(_TOLD[self.combination.product]))

    async def wait(self, session):
        await session.execute(text(_WAITS[self.combination.product]))


@behaviours()
class TestDeadlines(_Timed):
    async def test_a_block_that_ends_in_time_is_committed(self):
        async with self.writer.deadline(_LONG_S)() as session:
            session.add(Item(id=1))
        self.assertEqual([1], self.stored())

    async def test_a_decorated_function_too(self):
        @self.writer.deadline(_LONG_S)
        async def add():
            self.session.add(Item(id=1))

        await add()
        self.assertEqual([1], self.stored())

    async def test_a_statement_that_takes_too_long_ends_with_the_deadline_and_nothing_is_stored(self):
        async def attempt(seconds):
            with self.raising(DeadlineExceeded) as caught:
                async with self.writer.deadline(seconds)() as session:
                    session.add(Item(id=1))
                    await session.flush()
                    await self.wait(session)
            return None if caught.error.orig is None else (caught.error, seconds)

        error, seconds = await with_patience(attempt, _PATIENCE)
        self.assertEqual((Outcome.ROLLED_BACK, False), (error.outcome, error.transient))
        self.assertIn(f"deadline of {seconds:g} s has passed", str(error))
        self.assertEqual([], self.stored())
        async with self.writer() as session:
            session.add(Item(id=2))
        self.assertEqual([2], self.stored())

    async def test_a_reader_too(self):
        with self.raising(DeadlineExceeded):
            async with self.reader.deadline(_SHORT_S)() as session:
                await self.wait(session)
        async with self.reader() as session:
            self.assertEqual(1, await session.scalar(text("SELECT 1")))

    async def test_an_error_that_is_caught_leaves_a_transaction_that_is_lost(self):
        async def attempt(seconds):
            was_flushed = False
            with self.raising((TransactionDoomed, DeadlineExceeded)) as caught:
                async with self.writer.deadline(seconds)() as session:
                    session.add(Item(id=1))
                    await session.flush()
                    was_flushed = True
                    try:
                        await self.wait(session)
                    except DeadlineExceeded:
                        pass
            return caught.error if was_flushed else None

        error = await with_patience(attempt, _PATIENCE)
        self.assertIsInstance(error, TransactionDoomed)
        self.assertIsInstance(error.__cause__, DeadlineExceeded)
        self.assertIn("let that error end the block; a savepoint does not survive it", str(error))
        self.assertEqual([], self.stored())

    async def test_nothing_of_it_is_left_for_the_next_user_of_the_connection(self):
        for opener in (self.writer, self.reader):
            before = await self.told(opener)
            async with opener.deadline(7)() as session:
                await session.execute(text("SELECT 1"))
            self.assertEqual(before, await self.told(opener))
            with self.raising(ZeroDivisionError):
                async with opener.deadline(7)() as session:
                    await session.execute(text("SELECT 1"))
                    raise ZeroDivisionError
            self.assertEqual(before, await self.told(opener))

    async def test_many_rows_at_once_have_a_deadline_too_and_leave_nothing(self):
        before = await self.told(self.writer)
        async with self.writer.deadline(_LONG_S)() as session:
            await session.execute(insert(Item), [{"id": number, "amount": 0} for number in range(5)])
            await (await session.connection()).execute(
                Item.__table__.update().where(Item.id == 1), [{"amount": 1}, {"amount": 2}]
            )
        self.assertEqual([0, 1, 2, 3, 4], self.stored())
        self.assertEqual(before, await self.told(self.writer))

    async def test_no_block_begins_when_the_time_is_up(self):
        with out_of_time():
            for opener in (self.writer, self.reader, self.writer.independent, self.writer.deadline(_LONG_S)):
                with self.raising(DeadlineExceeded) as caught:
                    async with opener():
                        raise AssertionError("it has begun")
                self.assertIs(Outcome.NOT_STARTED, caught.error.outcome)

    async def test_no_statement_is_sent_when_the_time_is_up(self):
        with dbkit.within(_LONG_S):
            frame = innermost()
            with self.raising(DeadlineExceeded):
                async with self.writer() as session:
                    session.add(Item(id=1))
                    frame.deadline.at = 0.0
        self.assertEqual([], self.stored())

    async def test_code_that_takes_too_long_is_not_blamed_on_the_database(self):
        async def attempt(seconds, flushes):
            has_begun = False
            with self.raising(DeadlineExceeded) as caught:
                async with self.writer.deadline(seconds)() as session:
                    await session.execute(text("SELECT 1"))
                    has_begun = True
                    passed = threading.Event()
                    WATCHDOG.arm(seconds + 0.2, passed.set)
                    passed.wait()
                    if flushes:
                        session.add(Item(id=1))
                    else:
                        await session.execute(text("SELECT 1"))
            return caught.error if has_begun else None

        for flushes in (True, False):
            error = await with_patience(partial(attempt, flushes=flushes), _PATIENCE)
            self.assertNotIn("the database", str(error))
            self.assertIs(Outcome.ROLLED_BACK, error.outcome)
        self.assertEqual([], self.stored())

    async def test_commit_is_not_sent_when_the_time_is_up(self):
        with self.raising(DeadlineExceeded) as caught:
            async with self.writer.deadline(_LONG_S)() as session:
                session.add(Item(id=1))
                await session.flush()
                innermost().deadline.at = 0.0
        self.assertIs(Outcome.ROLLED_BACK, caught.error.outcome)
        self.assertEqual([], self.stored())


@behaviours(BOTH_FACES)
class TestWhomItBounds(_Timed):
    async def test_blocks_inside_inherit_it_and_may_have_a_sooner_one(self):
        async with self.writer.deadline(20)():
            outer = innermost().deadline
            async with self.writer():
                self.assertIs(outer, innermost().deadline)
            async with self.writer.savepoint():
                self.assertIs(outer, innermost().deadline)
            async with self.writer.deadline(30)():
                self.assertIs(outer, innermost().deadline)
            async with self.writer.deadline(10)():
                self.assertEqual(10.0, innermost().deadline.seconds)
            async with self.reader.independent():
                self.assertIs(outer, innermost().deadline)

    async def test_code_around_blocks_has_one_for_them_all(self):
        with dbkit.within(20):
            deadline = innermost().deadline
            for number in range(2):
                async with self.writer() as session:
                    self.assertIs(deadline, innermost().deadline)
                    session.add(Item(id=number))
            with dbkit.within(5):
                self.assertEqual(5.0, innermost().deadline.seconds)
            with dbkit.within(50):
                self.assertIs(deadline, innermost().deadline)
        self.assertIsNone(innermost())
        self.assertEqual([0, 1], self.stored())

    async def test_a_block_without_one_has_none(self):
        async with self.writer():
            self.assertIsNone(innermost().deadline)

    async def test_no_block_joins_a_mere_deadline(self):
        async with self.writer() as session:
            session.add(Item(id=1))
            with dbkit.within(20):
                async with self.writer() as inner:
                    inner.add(Item(id=2))
                async with self.writer.connection() as connection:
                    await connection.execute(Item.__table__.insert(), {"id": 3, "amount": 0})
        self.assertEqual([1, 2, 3], self.stored())

    @on(BOTH_FACES & ASYNCIO)
    async def test_a_child_task_has_it_too(self):
        async def child():
            async with self.reader.independent():
                return innermost().deadline

        with dbkit.within(20):
            deadline = innermost().deadline
            self.assertIs(deadline, await asyncio.create_task(child()))

    @on(BOTH_FACES & ASYNCIO)
    async def test_the_turn_of_a_writer_is_waited_for_no_longer(self):
        async def child(seconds):
            async with self.writer.independent.deadline(seconds)() as session:
                await session.execute(text("SELECT 1"))

        async def attempt(seconds):
            error = await self.raises(DeadlineExceeded, lambda: asyncio.create_task(child(seconds)))
            return None if "had passed before" in str(error) else error

        async with self.writer() as session:
            await session.execute(text("SELECT 1"))
            error = await with_patience(attempt, (0.05, 0.5, 5))
        self.assertIn("the turn for the SQLite database", str(error))


@behaviours(ONE_PER_PRODUCT)
class TestInsideATransaction(_Timed):
    """A deadline of a block that joins a transaction that has none."""

    async def test_it_bounds_the_transaction_while_the_block_lasts(self):
        if self.is_on(Product.SQLITE_FILE):
            return
        told = text(_TOLD[self.combination.product])
        async with self.writer() as session:
            before = await session.scalar(told)
            async with self.writer.deadline(7)():
                inside = await session.scalar(told)
            self.assertEqual(before, await session.scalar(told))
            session.add(Item(id=1))
        self.assertNotEqual(before, inside)
        self.assertEqual([1], self.stored())

    async def test_it_is_real_and_the_whole_transaction_is_lost_when_it_passes(self):
        for opener in (self.writer, self.writer.savepoint):
            with self.raising(DeadlineExceeded):
                async with self.writer() as session:
                    session.add(Item(id=1))
                    async with opener.deadline(_SHORT_S)():
                        await self.wait(session)
            self.assertEqual([], self.stored())

    async def test_one_around_the_call_of_a_function_that_joins_does_the_same(self):
        @self.writer
        async def wait():
            await self.wait(self.session)

        with self.raising(DeadlineExceeded):
            async with self.writer() as session:
                session.add(Item(id=1))
                with dbkit.within(_SHORT_S):
                    await wait()
        self.assertEqual([], self.stored())

    async def test_one_that_has_passed_already_leaves_the_transaction_alone(self):
        async with self.writer() as session:
            session.add(Item(id=1))
            await session.flush()
            self.assertRaises(DeadlineExceeded, bind, innermost().physical().connection, Deadline(0.0, 1.5))
        self.assertEqual([1], self.stored())

    async def test_the_lost_transaction_cannot_be_stored_either(self):
        with self.raising(TransactionDoomed):
            async with self.writer() as session:
                session.add(Item(id=1))
                await session.flush()
                try:
                    async with self.writer.deadline(_SHORT_S)():
                        await self.wait(session)
                except DeadlineExceeded:
                    pass
        self.assertEqual([], self.stored())

    async def test_a_block_that_was_first_to_use_the_transaction_leaves_it_usable(self):
        async with self.writer():
            async with self.writer.deadline(_LONG_S)() as session:
                session.add(Item(id=1))
                await session.flush()
            async with self.writer() as session:
                session.add(Item(id=2))
        self.assertEqual([1, 2], self.stored())


@behaviours(POSTGRESQL)
class TestOnPostgreSQL(_Timed):
    async def test_a_shorter_timeout_of_the_session_stays(self):
        async with self.writer.deadline(_LONG_S)() as session:
            await session.execute(text("SET LOCAL statement_timeout = '1s'"))
            self.assertEqual("1s", await session.scalar(text("SHOW statement_timeout")))

    async def test_the_server_is_told_anew_as_the_time_shortens(self):
        async with self.writer.deadline(_LONG_S)() as session:
            await session.execute(text("SELECT 1"))
            deadline = innermost().deadline
            deadline.at -= _LONG_S - 9
            before_s = deadline.left_s
            told = await session.scalar(text("SELECT setting FROM pg_settings WHERE name = 'statement_timeout'"))
            after_s = deadline.left_s
        self.assertLessEqual(int(1000 * after_s), int(told))
        self.assertLessEqual(int(told), math.ceil(1000 * before_s))


@behaviours(MARIADB)
class TestOnMariaDB(_Timed):
    async def test_a_statement_is_what_it_was(self):
        async with self.writer.deadline(_LONG_S)() as session:
            result = await session.execute(text("INSERT INTO items (id, amount) VALUES (1, 0), (2, 0)"))
            self.assertEqual(2, result.rowcount)
            self.assertEqual("50%", await session.scalar(text("SELECT '50%'")))
        self.assertEqual([1, 2], self.stored())

    async def test_a_shorter_limit_of_the_session_stays(self):
        told = text("SELECT @@max_statement_time")
        async with self.writer() as session:
            before = float(await session.scalar(told))
            await session.execute(text("SET SESSION max_statement_time = 2"))
            try:
                async with self.writer.deadline(_LONG_S)():
                    self.assertEqual(2.0, float(await session.scalar(told)))
                async with self.writer.deadline(1.5)():
                    self.assertLessEqual(float(await session.scalar(told)), 1.5)
            finally:
                await session.execute(text(f"SET SESSION max_statement_time = {before}"))

    async def test_what_the_session_was_told_for_many_rows_does_not_bind_who_goes_on(self):
        async with self.writer() as session:
            before = await self.told(self.writer)
            async with self.writer.deadline(7)():
                await (await session.connection()).execute(
                    Item.__table__.update().where(Item.id == 1), [{"amount": 1}, {"amount": 2}]
                )
            self.assertEqual(before, await self.told(self.writer))

    @on(MARIADB & BLOCKING)
    async def test_what_bounded_the_connect_does_not_bind_the_connection(self):
        if self.combination.driver != "pymysql":
            return
        with self.database().writer.connection.deadline(_LONG_S)() as connection:
            connection.execute(text("SELECT 1"))
            native = connection.connection.driver_connection
            self.assertEqual((None, None), (native._read_timeout, native._write_timeout))
            self.assertIsNone(native._sock.gettimeout())
