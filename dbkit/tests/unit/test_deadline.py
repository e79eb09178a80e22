"""The point in time at which a caller wants to be answered, and connections that arrive before it or not."""

from __future__ import annotations

import asyncio
import sqlite3
import threading

import testtools
from sqlalchemy import create_engine, event
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.util import await_only

from dbkit.ambient import CURRENT, innermost, within
from dbkit.backends.registry import backend_for
from dbkit.deadline import LIMIT, Deadline, seconds_of, sooner
from dbkit.engines import arriving
from dbkit.exceptions import DeadlineExceeded, InvalidDecoration, InvalidSetting, Outcome, UsageError
from dbkit.spec import Colour
from dbkit.testing.servers.polling import wait_until
from dbkit.tests.steering import SteeredClock, Worker, turns, until, with_patience

_LONG_S = 20.0


class TestDeadline(testtools.TestCase):
    def test_what_is_left_grows_less(self):
        clock = SteeredClock()
        deadline = Deadline.after(2, clock)
        clock.time += 1.5
        self.assertEqual(0.5, deadline.check("a statement"))
        clock.time += 0.5
        error = self.assertRaises(DeadlineExceeded, deadline.check, "a statement")
        self.assertEqual(
            "the deadline of 2 s had passed before the block came to a statement; give it more time, or less to do",
            str(error),
        )
        self.assertEqual(
            "the deadline of 2 s has passed while the block waited for a lock; give it more time, or less to do",
            str(deadline.exceeded("a lock")),
        )
        self.assertEqual((Outcome.ROLLED_BACK, False), (error.outcome, error.transient))

    def test_the_sooner_of_two(self):
        one, other = Deadline(1.0, 1.0), Deadline(2.0, 1.0)
        self.assertIs(one, sooner(one, other))
        self.assertIs(one, sooner(other, one))
        self.assertIs(one, sooner(one, None))
        self.assertIs(one, sooner(None, one))
        self.assertIsNone(sooner(None, None))

    def test_what_is_no_time_is_refused(self):
        for wrong in (0, -1, float("inf"), float("nan"), True, "1", None):
            self.assertRaises(InvalidSetting, seconds_of, wrong)
            self.assertRaises(InvalidSetting, within, wrong)
        self.assertIsNone(CURRENT.get())


class TestWithin(testtools.TestCase):
    def test_it_ends_with_its_with_block_whatever_happens(self):
        def fail():
            with within(_LONG_S):
                raise KeyError

        self.assertRaises(KeyError, fail)
        self.assertIsNone(innermost())

    def test_it_is_refused_where_it_would_bound_nothing(self):
        async def work():
            raise AssertionError("it was run")

        async def enter():
            async with within(_LONG_S):
                raise AssertionError("it was entered")

        error = self.assertRaises(InvalidDecoration, within(7), work)
        self.assertIn("work; write `with dbkit.within(7):` inside it, or .deadline(7)", str(error))
        self.assertIn("without async", str(self.assertRaises(UsageError, asyncio.run, enter())))
        kept = within(_LONG_S)
        with kept:
            self.assertIn("entered once", str(self.assertRaises(UsageError, kept.__enter__)))
        self.assertIsNone(innermost())

    def test_each_thread_has_its_own(self):
        with within(_LONG_S):
            self.assertIsNone(Worker(innermost).outcome())


class _Connects(testtools.TestCase):
    """An engine whose connects wait until they are let through."""

    def setUp(self):
        super().setUp()
        self.begun, self.goes_on = threading.Event(), threading.Event()
        self.addCleanup(self.goes_on.set)
        self.made = []


class TestBlockingConnects(_Connects):
    def engine(self):
        engine = create_engine("sqlite://", poolclass=NullPool)

        def connect(*arguments):
            self.begun.set()
            self.goes_on.wait(_LONG_S)
            self.made.append(sqlite3.connect(":memory:", check_same_thread=False))
            return self.made[-1]

        arriving.install(engine, backend_for("sqlite"), Colour.BLOCKING)
        event.listen(engine, "do_connect", connect)  # who listens later is heard all the same
        return engine

    def test_one_that_comes_in_time_is_used(self):
        self.goes_on.set()
        engine = self.engine()
        with arriving.arriving(Deadline.after(_LONG_S)):
            connection = engine.raw_connection()
        self.assertIs(self.made[0], connection.dbapi_connection)
        connection.close()

    def test_one_that_comes_too_late_is_not_waited_for_and_closed_when_it_comes(self):
        engine = self.engine()

        def connect():
            with arriving.arriving(Deadline.after(0.05, SteeredClock())):  # which has not passed before it begins
                engine.raw_connection()

        error = self.assertRaises(DeadlineExceeded, Worker(connect).outcome)
        self.assertIn("a connection to be opened", str(error))
        self.assertEqual([], self.made)
        self.goes_on.set()
        wait_until(lambda: self.made and self.is_closed(self.made[0]), _LONG_S, "the late connection closed")

    def is_closed(self, connection):
        try:
            connection.execute("SELECT 1")
        except sqlite3.ProgrammingError:
            return True
        return False

    def test_an_error_of_the_connect_is_raised_to_who_waits(self):
        engine = create_engine("sqlite:////no/such/folder/app.db", poolclass=NullPool)
        arriving.install(engine, backend_for("sqlite"), Colour.BLOCKING)
        with arriving.arriving(Deadline.after(_LONG_S)):
            self.assertRaises(sqlite3.OperationalError, engine.raw_connection)

    def test_nothing_is_begun_when_the_time_is_up(self):
        def connect():
            with arriving.arriving(Deadline(0.0, 1.0)):
                raise AssertionError("it has begun")

        self.assertRaises(DeadlineExceeded, connect)

    def test_without_a_deadline_it_stands_aside(self):
        self.goes_on.set()
        self.engine().raw_connection().close()
        self.assertIsNone(LIMIT.get())


class TestConnectsInAsyncio(testtools.TestCase):
    def test_one_that_does_not_come_is_cancelled(self):
        async def body(seconds):
            seen = []
            never = asyncio.Event()

            async def wait():
                seen.append("begun")
                try:
                    await never.wait()
                except asyncio.CancelledError:
                    seen.append("cancelled")
                    raise

            engine = create_async_engine("sqlite+aiosqlite://", poolclass=NullPool)
            arriving.install(engine.sync_engine, backend_for("sqlite"), Colour.ASYNCIO)
            event.listen(engine.sync_engine, "do_connect", lambda *arguments: await_only(wait()))
            with arriving.arriving(Deadline.after(seconds)):
                try:
                    await engine.connect()
                except DeadlineExceeded:
                    seen.append("exceeded")
            if "begun" not in seen:
                return None
            await until(lambda: len(seen) == 3)
            return seen

        seen = asyncio.run(with_patience(body, (0.05, 1, 10)))
        self.assertEqual({"begun", "exceeded", "cancelled"}, set(seen))

    def test_one_that_comes_while_its_task_is_cancelled_is_closed(self):
        async def body(steps):
            made, closed, came = [], [], asyncio.Event()

            def connect(*arguments):
                await_only(came.wait())
                made.append(object())
                return made[-1]

            engine = create_async_engine("sqlite+aiosqlite://", poolclass=NullPool)
            engine.sync_engine.dialect.do_terminate = closed.append
            arriving.install(engine.sync_engine, backend_for("sqlite"), Colour.ASYNCIO)
            event.listen(engine.sync_engine, "do_connect", connect)
            with arriving.arriving(Deadline.after(_LONG_S)):
                task = asyncio.create_task(engine.connect().start())
                await turns(10)
                came.set()
                await turns(steps)
                task.cancel()
                await asyncio.wait([task])
            await turns(5)
            self.assertEqual((True, made), (task.cancelled(), closed))

        for steps in range(3):
            asyncio.run(body(steps))
