"""A database in memory: one for each Database object, for both colours, one block at a time."""

from __future__ import annotations

import asyncio
import gc
import threading

import testtools
from sqlalchemy import text

import dbkit
from dbkit.exceptions import DBLockTimeout, DBNonExistentTable, DBReadOnly, ModeConflict
from dbkit.testing.servers.polling import wait_until
from dbkit.tests.behaviours.base import Behaviour, behaviours, on
from dbkit.tests.behaviours.combinations import BLOCKING, SQLITE_MEMORY
from dbkit.tests.behaviours.forks import Child
from dbkit.tests.steering import Worker, at_once

_COUNT = text("SELECT count(*) FROM t")
_ADD = text("INSERT INTO t VALUES (1)")
_WAIT_S = 20.0


def _new(**settings):
    made = dbkit.Database("sqlite://", **settings)
    with made.writer() as session:
        session.execute(text("CREATE TABLE t (a INTEGER)"))
    return made


def _count(made):
    with made.reader() as session:
        return session.scalar(_COUNT)


def _add(made):
    with made.writer() as session:
        session.execute(_ADD)


class TestMemory(testtools.TestCase):
    def test_each_database_object_has_its_own(self):
        first, second = _new(), _new()
        _add(first)
        self.assertEqual((1, 0), (_count(first), _count(second)))

    def test_both_spellings_are_in_memory(self):
        for url in ("sqlite://", "sqlite:///:memory:", "sqlite:///"):
            made = dbkit.Database(url)
            with made.writer() as session:
                session.execute(text("CREATE TABLE t (a INTEGER)"))
            self.assertEqual(0, _count(made))

    def test_blocking_code_and_asyncio_see_the_same_rows(self):
        made = _new()
        _add(made)

        async def body():
            async with made.writer() as session:
                await session.execute(_ADD)
            async with made.reader() as session:
                found = await session.scalar(_COUNT)
            await made.adispose()
            return found

        self.assertEqual(2, asyncio.run(body()))
        self.assertEqual(2, _count(made))
        self.assertEqual(3, asyncio.run(body()))

    def test_rows_outlive_every_connection(self):
        made = _new()
        _add(made)
        for _ in range(3):
            made.dispose()
            gc.collect()
            self.assertEqual(1, _count(made))
            with made.engine.connect() as connection:
                connection.invalidate()
            self.assertEqual(1, _count(made))

    def test_rows_outlive_the_age_of_a_connection(self):
        made = _new(connection_recycle_time=0)
        _add(made)
        self.assertEqual(1, _count(made))

    def test_rows_outlive_a_task_that_is_cancelled_in_a_statement(self):
        made = _new()
        _add(made)
        long = text(
            "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 300000) SELECT max(x) FROM c"
        )

        async def body():
            async def work():
                async with made.reader() as session:
                    await session.execute(long)

            for steps in range(0, 40, 4):
                task = asyncio.create_task(work())
                for _ in range(steps):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
            async with made.reader() as session:
                found = await session.scalar(_COUNT)
            await made.adispose()
            return found

        self.assertEqual(1, asyncio.run(body()))

    def test_the_database_ends_with_its_database_object(self):
        made = _new()
        url = made.engine.url
        del made
        gc.collect()
        again = dbkit.Database(url)
        with again.reader() as session:
            self.assertRaises(DBNonExistentTable, session.execute, _COUNT)

    def test_a_reader_cannot_write_and_the_next_writer_can(self):
        made = _new()
        for _ in range(2):
            block = made.reader()
            try:
                with block as session:
                    session.execute(_ADD)
            except DBReadOnly:
                _add(made)
            else:
                raise AssertionError("the reader has written")
        self.assertEqual(2, _count(made))

    def test_foreign_keys_and_names_work_as_on_a_file(self):
        made = _new()
        with made.reader() as session:
            self.assertEqual(1, session.scalar(text("PRAGMA foreign_keys")))


class TestTurns(testtools.TestCase):
    def test_blocks_run_one_at_a_time_readers_too(self):
        made = _new()
        inside, most = [], []

        def work(number):
            for turn in range(25):
                with (made.writer if (number + turn) % 2 else made.reader)() as session:
                    session.execute(_COUNT)
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()

        at_once(6, work)
        self.assertEqual((150, 1), (len(most), max(most)))

    def test_a_reader_waits_for_the_writer(self):
        made = _new()
        worker = None
        entered = threading.Event()

        def read():
            entered.set()
            return _count(made)

        with made.writer() as session:
            session.execute(_ADD)
            gate = made.factory.engines(dbkit.spec.Colour.BLOCKING).reader.gate
            worker = Worker(read)
            wait_until(lambda: gate.waiting == 1, _WAIT_S, "the reader in the line")
            session.execute(_ADD)
        self.assertEqual(2, worker.outcome())

    def test_who_waits_too_long_ends_with_a_lock_timeout(self):
        made = _new(pool_timeout=0)
        with made.writer() as session:
            session.execute(_ADD)
            error = self.assertRaises(DBLockTimeout, Worker(_count, made).outcome)
        self.assertIn("pool_timeout", str(error))

    def test_an_independent_block_inside_another_is_refused_whether_it_reads_or_writes(self):
        made = _new()
        for outer in (made.writer, made.reader):
            for inner in (made.writer, made.reader):
                with outer() as session:
                    session.execute(_COUNT)
                    with inner.independent() as other:
                        self.assertRaises(ModeConflict, other.execute, _COUNT)
        self.assertEqual(0, _count(made))

    def test_tasks_and_threads_lose_nothing(self):
        made = _new()

        def work(number):
            async def tasks():
                async def one():
                    async with made.writer() as session:
                        await session.execute(_ADD)

                await asyncio.gather(*(one() for _ in range(20)))
                await made.adispose()

            if number % 2:
                asyncio.run(tasks())
            else:
                for _ in range(20):
                    _add(made)

        at_once(4, work)
        self.assertEqual(80, _count(made))


@behaviours(SQLITE_MEMORY)
class TestDifferencesFromFiles(Behaviour):
    """What doc/source/user/sqlite.rst says of databases in memory, in its order."""

    def setUp(self):
        super().setUp()
        self.made = _new()
        self.own = self.face_of(self.made)
        self.addCleanup(self.run_plain, lambda: self.dispose(self.made))

    async def test_there_is_no_snapshot_beside_the_writer_because_blocks_take_turns(self):
        async with self.own.reader() as session:
            await session.execute(_COUNT)
            with self.raising(ModeConflict):
                async with self.own.reader.independent() as other:
                    await other.execute(_COUNT)

    async def test_there_is_no_write_ahead_log(self):
        async with self.own.writer() as session:
            self.assertEqual("memory", await session.scalar(text("PRAGMA journal_mode")))

    async def test_dispose_keeps_the_rows(self):
        async with self.own.writer() as session:
            await session.execute(_ADD)
        await self.dispose(self.made)
        async with self.own.reader() as session:
            self.assertEqual(1, await session.scalar(_COUNT))

    @on(BLOCKING)
    async def test_after_a_fork_parent_and_child_do_not_share_it(self):
        def work():
            _add(self.made)
            return _count(self.made)

        _add(self.made)
        self.assertEqual(2, Child(work).report())
        self.assertEqual(1, _count(self.made))
