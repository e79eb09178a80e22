"""What the server sees of the pools: how many sessions, whose, and for how long."""

from __future__ import annotations

import asyncio
import gc
import random
import threading

import testtools
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import OperationalError

import dbkit
from dbkit.exceptions import DBConnectionError, DBError, PoolTimeout
from dbkit.tests.behaviours.base import Behaviour, behaviours, on
from dbkit.tests.behaviours.combinations import ASYNCIO, BLOCKING, ONE_PER_PRODUCT, SERVERS
from dbkit.tests.behaviours.estates import Estate
from dbkit.tests.steering import SteeredClock, at_once, turns, until

PATIENT_S = 30
"""A machine that is busy for long must not make a living connection look dead."""


class EstateBehaviour(Behaviour):
    """A behaviour on a database of its own."""

    def setUp(self):
        super().setUp()
        self.estate = Estate.lent("mysql" if self.combination.scheme in ("mysql", "mariadb") else "postgresql", self)

    def open(self, **settings):
        """Return the readers and writers of another Database on the estate."""
        url = self.estate.url(self.combination.driver, self.combination.scheme)
        self.made = dbkit.Database(url, **{"max_retries": 0, "pool_timeout": 10, **settings})
        made = self.made
        self.addCleanup(self.run_plain, lambda: self.dispose(made))
        return self.face_of(made)

    async def session_of(self, opener):
        """Return the number of the session that a block is served by."""
        async with opener() as session:
            return await session.scalar(self.estate.own_session)

    async def hold(self, opener, count, inside):
        """Open that many independent blocks within each other and call ``inside`` in the innermost."""
        if not count:
            return await inside()
        async with opener.independent() as session:
            await session.execute(text("SELECT 1"))
            return await self.hold(opener, count - 1, inside)


@behaviours(SERVERS)
class TestLimitAtTheServer(EstateBehaviour):
    async def test_readers_and_writers_together_keep_the_limit(self):
        face = self.open(max_pool_size=2, max_overflow=1, pool_timeout=0)
        found = []

        async def two_of_each():
            return await self.hold(face.writer, 1, one_more)

        async def one_more():
            found.append(len(self.estate.sessions_become(lambda found: len(found) >= 3)))
            for opener in (face.reader, face.writer):
                with self.raising(PoolTimeout) as caught:
                    async with opener.independent() as session:
                        await session.execute(text("SELECT 1"))
                self.assertIn("all 3 connections are in use", str(caught.error))

        await self.hold(face.reader, 2, two_of_each)
        self.assertEqual([3], found)

    async def test_idle_connections_of_one_role_give_way_to_the_other(self):
        face = self.open(max_pool_size=3, max_overflow=0)

        async def look():
            return self.estate.sessions_become(3)

        for opener in (face.reader, face.writer, face.reader):
            await self.hold(opener, 3, look)

    async def test_overflow_ends_when_it_is_given_back(self):
        face = self.open(max_pool_size=1, max_overflow=4)

        async def look():
            self.estate.sessions_become(5)

        await self.hold(face.writer, 5, look)
        self.estate.sessions_become(1)

    async def test_blocks_one_after_the_other_share_a_session(self):
        face = self.open()
        found = {await self.session_of(face.writer) for _ in range(10)}
        self.assertEqual(1, len(found))

    async def test_connections_beyond_their_age_are_replaced(self):
        face = self.open(connection_recycle_time=0)
        found = {await self.session_of(face.writer) for _ in range(3)}
        self.assertEqual(3, len(found))
        self.estate.sessions_become(1)

    @on(ASYNCIO)
    async def test_tasks_that_come_at_once_keep_the_limit(self):
        face = self.open(max_pool_size=2, max_overflow=0)
        most = []

        async def look(opener):
            async with opener() as session:
                await session.execute(text("SELECT 1"))
                if len(most) % 7 == 0:
                    most.append(len(self.estate.sessions()))
                else:
                    most.append(0)

        for _ in range(3):
            for opener in (face.reader, face.writer):
                await asyncio.gather(*(look(opener) for _ in range(10)))
        self.assertLessEqual(max(most), 4)  # 2 of ours, and those that are ending still

    @on(BLOCKING)
    def test_threads_that_come_at_once_keep_the_limit_and_none_fails(self):
        self.open(max_pool_size=2, max_overflow=1, pool_timeout=30)
        database = self.made

        def work(number):
            found = set()
            for turn in range(100):
                with (database.writer if number % 2 else database.reader)() as session:
                    found.add(session.scalar(self.estate.own_session))
                    if turn % 50 == 0:
                        assert len(self.estate.sessions()) <= 6, "3 of ours, and those that are ending still"
            return found

        at_once(8, work)
        self.estate.sessions_become(2)


@behaviours(SERVERS)
class TestHealth(EstateBehaviour):
    async def fill(self, face, count):
        async def look():
            return None

        for opener in (face.writer, face.reader):
            await self.hold(opener, count, look)

    async def test_one_killed_session_costs_one_block_and_the_others_are_tested(self):
        face = self.open(max_pool_size=6)
        await self.fill(face, 3)
        self.estate.end(self.estate.sessions_become(6))
        with self.raising(DBConnectionError) as caught:
            await self.session_of(face.writer)
        self.assertTrue(caught.error.transient)

        async def look():
            return len(self.estate.sessions())

        for opener in (face.writer, face.reader):
            await self.hold(opener, 3, look)

    async def test_the_sessions_that_live_on_are_kept(self):
        face = self.open(max_pool_size=6, pool_ping_timeout=PATIENT_S)
        await self.fill(face, 3)
        last = await self.session_of(face.writer)
        others = self.estate.sessions_become(6) - {last}
        self.estate.end([last])
        with self.raising(DBConnectionError):
            await self.session_of(face.writer)

        async def look():
            self.estate.sessions_become(lambda found: others <= found)

        await self.hold(face.writer, 3, look)

    async def test_a_session_that_died_while_it_was_idle_for_long_is_not_noticed(self):
        clock = SteeredClock()
        url = self.estate.url(self.combination.driver, self.combination.scheme)
        made = dbkit.Database(url, clock=clock, max_retries=0, pool_pre_ping_idle=30)
        self.addCleanup(self.run_plain, lambda: self.dispose(made))
        face = self.face_of(made)
        for opener in (face.writer, face.reader):
            first = await self.session_of(opener)
            self.estate.end([first])
            clock.time += 31
            self.assertNotEqual(first, await self.session_of(opener))

    async def test_a_server_that_is_idle_for_long_keeps_its_sessions(self):
        clock = SteeredClock()
        url = self.estate.url(self.combination.driver, self.combination.scheme)
        made = dbkit.Database(url, clock=clock, max_retries=0, pool_pre_ping_idle=30, pool_ping_timeout=PATIENT_S)
        self.addCleanup(self.run_plain, lambda: self.dispose(made))
        face = self.face_of(made)
        for opener in (face.writer, face.reader):
            first = await self.session_of(opener)
            clock.time += 31
            self.assertEqual(first, await self.session_of(opener))

    async def test_without_the_test_the_next_block_fails(self):
        """The negative control of the test before use."""
        clock = SteeredClock()
        url = self.estate.url(self.combination.driver, self.combination.scheme)
        made = dbkit.Database(url, clock=clock, max_retries=0, pool_pre_ping_idle=-1)
        self.addCleanup(self.run_plain, lambda: self.dispose(made))
        face = self.face_of(made)
        self.estate.end([await self.session_of(face.writer)])
        clock.time += 31
        with self.raising(DBConnectionError):
            await self.session_of(face.writer)

    async def test_dispose_ends_the_idle_sessions_and_later_blocks_get_new_ones(self):
        face = self.open()
        first = await self.session_of(face.writer)
        async with face.writer() as session:
            busy = await session.scalar(self.estate.own_session)
            await self.dispose(self.made)
            self.assertEqual(busy, await session.scalar(self.estate.own_session))
        self.estate.sessions_become(0)
        self.assertNotEqual(first, await self.session_of(face.writer))


@behaviours(SERVERS)
class TestLeaks(EstateBehaviour):
    async def test_hundreds_of_failing_blocks_leave_nothing(self):
        face = self.open(max_pool_size=2, max_overflow=0, pool_timeout=0)

        async def fail(number):
            opener = face.writer if number % 2 else face.reader
            async with opener() as session:
                if number % 3:
                    await session.execute(text("SELECT nothing FROM nowhere"))
                await session.execute(text("SELECT 1"))
                raise KeyError(number)

        for number in range(1000 if self.combination in ONE_PER_PRODUCT else 200):
            with self.raising((DBError, KeyError)):
                await fail(number)

        async def look():
            return self.estate.sessions_become(2)

        await self.hold(face.writer, 2, look)

    @on(ASYNCIO)
    async def test_tasks_cancelled_at_any_time_leave_nothing(self):
        face = self.open(max_pool_size=3, max_overflow=0, pool_timeout=20)
        chance = random.Random(20260727)

        async def work():
            async with chance.choice((face.writer, face.reader))() as session:
                for _ in range(3):
                    await session.execute(text("SELECT 1"))

        for _ in range(40):
            tasks = [asyncio.create_task(work()) for _ in range(6)]
            await turns(chance.randrange(60))
            for task in chance.sample(tasks, 3):
                task.cancel()
            await asyncio.wait(tasks)
            wrong = [task.exception() for task in tasks if not task.cancelled() and task.exception()]
            self.assertEqual([], wrong)
        # psycopg leaves a connection that was cancelled in the middle of its making to the collector
        gc.collect()

        async def look():
            return self.estate.sessions_become(3)

        await self.hold(face.writer, 3, look)

    @on(ASYNCIO)
    async def test_a_wait_that_times_out_gives_its_connection_back(self):
        face = self.open(max_pool_size=1, max_overflow=0)
        # MariaDB sees only at its end that nobody waits for it any more
        sleep = text("SELECT pg_sleep(60)" if self.estate.kind == "postgresql" else "SELECT SLEEP(1)")

        async def work(connected):
            async with face.writer() as session:
                await session.execute(text("SELECT 1"))
                connected.set()
                await session.execute(sleep)

        for _ in range(3):
            connected = asyncio.Event()
            task = asyncio.create_task(work(connected))
            # drivers may lose a cancellation that strikes while they connect
            await until(lambda connected=connected, task=task: connected.is_set() or task.done())
            with self.raising(TimeoutError):
                await asyncio.wait_for(task, 0.05)
            await self.session_of(face.writer)
        self.estate.sessions_become(1)

    async def test_a_connection_hook_that_fails_leaves_no_session(self):
        failing = threading.Event()
        failing.set()

        def prepare(engine):
            @event.listens_for(engine, "connect")
            def refuse(connection, record):
                if failing.is_set():
                    raise LookupError("the hook of the application")

        face = self.open(max_pool_size=2, max_overflow=0, pool_timeout=0, on_engine_create=[prepare])
        for _ in range(10):
            with self.raising(LookupError):
                await self.session_of(face.writer)
        self.estate.sessions_become(0)
        failing.clear()

        async def look():
            return len(self.estate.sessions())

        self.assertEqual(2, await self.hold(face.writer, 2, look))


class TestBarePools(testtools.TestCase):
    """Negative controls: what the same events do to plain SQLAlchemy."""

    def test_one_killed_session_condemns_all_others(self):
        estate = Estate.lent("postgresql", self)
        engine = create_engine(estate.url("psycopg"), pool_size=3)
        self.addCleanup(engine.dispose)
        connections = [engine.connect() for _ in range(3)]
        numbers = [connection.scalar(estate.own_session) for connection in connections]
        for connection in connections:
            connection.close()
        with engine.connect() as connection:
            dying = connection.scalar(estate.own_session)
            estate.end([dying])
            self.assertRaises(OperationalError, connection.execute, text("SELECT 1"))
        with engine.connect() as first, engine.connect() as second:
            found = {first.scalar(estate.own_session), second.scalar(estate.own_session)}
        self.assertFalse(found & set(numbers), "the pool of SQLAlchemy has thrown the living ones away")
