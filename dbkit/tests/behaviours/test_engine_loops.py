"""Asyncio engines belong to their event loop: loops one after the other, and beside each other."""

from __future__ import annotations

import asyncio
import gc
import tempfile
import textwrap
from pathlib import Path

import testtools
from sqlalchemy import text
from sqlalchemy.exc import InterfaceError
from sqlalchemy.ext.asyncio import create_async_engine

import dbkit
from dbkit.tests import warm
from dbkit.tests.behaviours.base import Behaviour, behaviours, on
from dbkit.tests.behaviours.combinations import ASYNCIO, EVERY_DRIVER, SERVERS
from dbkit.tests.behaviours.estates import Estate
from dbkit.tests.behaviours.forgotten import quiet_collection
from dbkit.tests.behaviours.tables import Item
from dbkit.tests.steering import Worker, at_once

_TASKS = EVERY_DRIVER & ASYNCIO
_ASYNCPG = frozenset(each for each in _TASKS if each.driver == "asyncpg")


@behaviours(_TASKS)
class TestLoops(Behaviour):
    def setUp(self):
        super().setUp()
        url = self.place.url(self.combination.driver, self.combination.scheme)
        self.made = dbkit.Database(url, max_retries=0, pool_timeout=20)

    async def add(self, number):
        async with self.made.writer() as session:
            session.add(Item(id=number))

    async def use(self, first):
        """Write and read in several tasks of this loop, then close its connections."""
        await asyncio.gather(*(self.add(first + number) for number in range(5)))
        async with self.made.reader() as session:
            found = await session.scalar(
                text("SELECT count(*) FROM items WHERE id >= :a AND id < :a + 5"), {"a": first}
            )
        await self.made.adispose()
        return found

    def in_loop(self, first):
        return asyncio.run(self.use(first))

    async def test_one_loop_after_the_other(self):
        for first in (100, 200, 300):
            self.assertEqual(5, Worker(self.in_loop, first).outcome())
        self.assertEqual(15, len(self.stored()))

    async def test_loops_in_threads_beside_each_other(self):
        def work(number):
            return [self.in_loop(first) for first in range(1000 * number, 1000 * number + 50, 10)]

        self.assertEqual([[5] * 5] * 3, at_once(3, work))
        self.assertEqual(75, len(self.stored()))

    async def test_a_loop_after_one_that_was_not_disposed(self):
        def work(number):
            asyncio.run(self.add(number))

        with quiet_collection():
            for number in range(5):
                Worker(work, number).outcome()
        self.assertEqual([0, 1, 2, 3, 4], self.stored())

    async def test_blocking_code_beside_a_loop(self):
        def work(number):
            if number % 2:
                return self.in_loop(100 * number)
            for each in range(100 * number, 100 * number + 5):
                with self.made.writer() as session:
                    session.add(Item(id=each))
            self.made.dispose()
            return 5

        self.assertEqual([5] * 4, at_once(4, work))
        self.assertEqual(20, len(self.stored()))


@behaviours(SERVERS & ASYNCIO)
class TestLoopsThatEnded(Behaviour):
    async def test_their_sessions_do_not_pile_up(self):
        estate = Estate.lent("mysql" if self.combination.scheme in ("mysql", "mariadb") else "postgresql", self)
        made = dbkit.Database(estate.url(self.combination.driver, self.combination.scheme), max_retries=0)

        def loops(database):
            async def use():
                async with database.writer() as session:
                    await session.execute(text("SELECT 1"))

            for _ in range(8):
                asyncio.run(use())

        with quiet_collection():
            Worker(loops, made).outcome()
            gc.collect()
            estate.sessions_become(lambda found: len(found) <= 1)
            del made
            gc.collect()
            estate.sessions_become(0)

    async def test_a_database_that_was_dropped_leaves_no_session(self):
        estate = Estate.lent("mysql" if self.combination.scheme in ("mysql", "mariadb") else "postgresql", self)

        def many():
            for _ in range(5):
                made = dbkit.Database(estate.url(self.combination.driver, self.combination.scheme), max_retries=0)

                async def use(made=made):
                    async with made.writer() as session:
                        await session.execute(text("SELECT 1"))

                asyncio.run(use())

        with quiet_collection():
            Worker(many).outcome()
            gc.collect()
            estate.sessions_become(0)

    @on(_ASYNCPG)
    async def test_bare_sqlalchemy_fails_in_the_second_loop(self):
        """The negative control: one engine for two loops. Other drivers fail later, or not each time."""
        engine = create_async_engine(Estate.lent("postgresql", self).url("asyncpg"))

        async def use():
            async with engine.connect() as connection:
                await connection.execute(text("SELECT 1"))

        def loops():
            asyncio.run(use())
            asyncio.run(use())

        with quiet_collection():
            error = self.assertRaises((RuntimeError, InterfaceError), Worker(loops).outcome)
        self.assertRegex(str(error), "attached to a different loop|Event loop is closed")


class TestBlockingDatabasesThatWereDropped(testtools.TestCase):
    def test_they_leave_no_session(self):
        for kind, driver in (("postgresql", "psycopg"), ("postgresql", "psycopg2"), ("mysql", "pymysql")):
            estate = Estate.lent(kind, self)
            with quiet_collection():
                for _ in range(15):
                    made = dbkit.Database(estate.url(driver), max_retries=0)
                    with made.writer() as session:
                        session.execute(text("SELECT 1"))
                del made, session
                gc.collect()
                estate.sessions_become(0)


class TestEndOfAProcess(testtools.TestCase):
    """A script that ends without dispose ends, and says nothing."""

    _SCRIPT = textwrap.dedent(
        """
        import asyncio, sys
        import dbkit
        from sqlalchemy import text

        database = dbkit.Database(sys.argv[1], max_retries=0)

        async def main():
            async with database.writer() as session:
                await session.execute(text("SELECT 1"))

        asyncio.run(main())
        with database.reader() as session:
            session.execute(text("SELECT 1"))
        print("done")
        """
    )

    def run_script(self, url):
        ended = warm.run("-c", self._SCRIPT, str(url), timeout_s=60)
        self.assertEqual((0, "done\n", ""), (ended.returncode, ended.stdout, ended.stderr[-800:]))

    def test_with_sqlite(self):
        with tempfile.TemporaryDirectory() as folder:
            self.run_script(f"sqlite:///{Path(folder) / 'end.db'}")
        self.run_script("sqlite://")

    def test_with_servers(self):
        for kind, driver in (("postgresql", "psycopg"), ("postgresql", "asyncpg"), ("mysql", "asyncmy")):
            self.run_script(Estate.lent(kind, self).url(driver).render_as_string(hide_password=False))
