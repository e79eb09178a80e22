"""A pool whose server falls silent or cannot be reached: how long callers wait, and how often it is tried."""

from __future__ import annotations

import asyncio

from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from dbkit.exceptions import DBConnectionError, DeadlineExceeded
from dbkit.spec import Colour
from dbkit.testing import faults
from dbkit.testing.servers.polling import wait_until
from dbkit.tests.behaviours.base import behaviours, on
from dbkit.tests.behaviours.combinations import ASYNCIO, BLOCKING
from dbkit.tests.faults.base import DRIVERS, Faulty
from dbkit.tests.steering import Worker, until

_WAIT_S = 20.0
CALLERS = 12


class PoolFaulty(Faulty):
    def made(self, **settings):
        database = self.through(max_pool_size=20, max_overflow=0, max_retries=0, **settings)
        self.face = self.face_of(database)
        return database

    def silence(self):
        """Let whatever comes on the connections that are open now vanish."""
        for connection in self.proxy.connections:
            for what in ("statement", "ping"):
                self.proxy.drop(faults.before(what), connection=connection.number, times=None)

    async def fill(self, opener, count):
        if count:
            async with opener.independent() as session:
                await session.execute(text("SELECT 1"))
                await self.fill(opener, count - 1)


@behaviours(DRIVERS)
class TestSilence(PoolFaulty):
    """The server's machine is gone without a word: nothing answers on the connections that lie idle."""

    async def test_an_idle_connection_is_given_up_and_another_one_serves(self):
        self.made(pool_pre_ping_idle=0, pool_ping_timeout=0.4)
        await self.insert(1)
        self.silence()
        await self.insert(2)
        self.assertEqual([1, 2], self.stored())

    async def test_the_second_that_is_silent_condemns_the_others(self):
        self.made(pool_pre_ping_idle=0, pool_ping_timeout=0.4)
        await self.fill(self.writer, 6)
        await self.fill(self.reader, 6)
        self.assertEqual(12, len(self.proxy.connections))
        fault = [each.number for each in self.proxy.connections]
        self.silence()
        before = self.proxy.counts["connect"]
        await self.insert(1)
        self.assertEqual(1, self.proxy.counts["connect"] - before)
        tested = [each for each in self.proxy.events if each.kind == "fired" and each.connection in fault]
        self.assertEqual(2, len(tested), tested)
        self.assertEqual([1], self.stored())

    async def test_a_deadline_ends_the_test_sooner(self):
        self.made(pool_pre_ping_idle=0, pool_ping_timeout=1000)
        await self.insert(1)
        self.silence()

        async def look():
            async with self.writer.deadline(0.2)() as session:
                await session.execute(text("SELECT 1"))

        await self.raises(DeadlineExceeded, look)
        self.proxy.clear()
        await self.insert(2)
        self.assertEqual([1, 2], self.stored())

    @on(DRIVERS & BLOCKING)
    def test_plain_sqlalchemy_waits_on(self):
        """The negative control: its test before use has no bound."""
        engine = create_engine(self.proxy.through(self.direct), pool_pre_ping=True)
        self.addCleanup(engine.dispose)
        engine.connect().close()
        self.silence()
        worker = Worker(lambda: engine.connect().close())
        self.proxy.wait_for("fired")
        worker.join(1.0)
        self.assertTrue(worker.is_alive())
        self.proxy.cut_all()
        worker.outcome()

    @on(DRIVERS & ASYNCIO)
    async def test_plain_sqlalchemy_in_asyncio_waits_on(self):
        """The negative control: its test before use has no bound."""
        engine = create_async_engine(self.proxy.through(self.direct), pool_pre_ping=True)
        connection = await engine.connect()
        await connection.close()
        self.silence()
        task = asyncio.ensure_future(engine.connect())
        await self.proxy.awaiting("fired")
        done, _ = await asyncio.wait([task], timeout=1.0)
        self.assertEqual(set(), done)
        self.proxy.cut_all()
        await (await task).close()
        await engine.dispose()


@behaviours(DRIVERS)
class TestOutage(PoolFaulty):
    """The server was lost, and connects hang: many callers come at once."""

    def openers(self, database):
        is_asyncio = self.combination.colour is Colour.ASYNCIO
        engine = database.async_engine.sync_engine if is_asyncio else database.engine
        return engine.pool.capacity.openers

    async def lost(self):
        """Return a Database that has lost its only connection, and whose next connects hang, and those until now."""
        database = self.made()
        await self.insert(1)
        self.proxy.cut_all()
        await self.raises(DBConnectionError, self.insert, 2)
        self.proxy.hold(faults.before("connect"), times=None)
        return self.openers(database), self.proxy.counts["connect"]

    def hang(self, count, before):
        return self.proxy.counts["connect"] - before >= count

    def go(self, work):
        """Drive a coroutine function in a thread, as a blocking caller."""
        return Worker(lambda: self.colour.run(work()))

    @on(DRIVERS & BLOCKING)
    async def test_two_threads_try_for_all(self):
        openers, before = await self.lost()
        workers = [self.go(self.look) for _ in range(CALLERS)]
        wait_until(lambda: len(openers.waiting) == CALLERS - 2, _WAIT_S, "all but two in the line")
        wait_until(lambda: self.hang(2, before), _WAIT_S, "two that try")
        self.proxy.cut_all()
        for worker in workers:
            self.assertRaises(DBConnectionError, worker.outcome)
        self.assertEqual(2, self.proxy.counts["connect"] - before)
        self.proxy.clear()
        await self.insert(3)
        self.assertEqual([1, 3], self.stored())

    @on(DRIVERS & ASYNCIO)
    async def test_two_tasks_try_for_all(self):
        openers, before = await self.lost()
        tasks = [asyncio.ensure_future(self.look()) for _ in range(CALLERS)]
        await until(lambda: len(openers.waiting) == CALLERS - 2)
        await until(lambda: self.hang(2, before))
        self.proxy.cut_all()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        self.assertEqual({DBConnectionError}, {type(each) for each in found})
        self.assertEqual(2, self.proxy.counts["connect"] - before)
        self.proxy.clear()
        await self.insert(3)
        self.assertEqual([1, 3], self.stored())

    @on(DRIVERS & BLOCKING)
    def test_with_plain_sqlalchemy_each_tries_for_itself(self):
        """The negative control."""
        engine = create_engine(self.proxy.through(self.direct), pool_size=20)
        self.addCleanup(engine.dispose)
        engine.connect().close()
        before = self.proxy.counts["connect"]
        self.proxy.hold(faults.before("connect"), times=None)
        engine.dispose()
        workers = [Worker(engine.connect) for _ in range(CALLERS)]
        wait_until(lambda: self.hang(CALLERS, before), _WAIT_S, "all of them that try")
        self.proxy.cut_all()
        for worker in workers:
            with self.raising((SQLAlchemyError, OSError)):
                worker.outcome()
