"""Writers of one SQLite file: a fair line within the process, patience between processes."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import testtools
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

import dbkit
from dbkit.engines.gate import gate_for
from dbkit.exceptions import DBLockTimeout, DBNonExistentDatabase, ModeConflict
from dbkit.testing.servers.polling import wait_until
from dbkit.tests.steering import Worker, at_once, until

_WAIT_S = 20.0
_INCREMENT = text("UPDATE counter SET value = value + 1")
_VALUE = text("SELECT value FROM counter")


class QueueTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="dbkit-queue-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.path = self.folder / "queue.db"
        with sqlite3.connect(self.path) as other:
            other.execute("CREATE TABLE counter (value INTEGER)")
            other.execute("INSERT INTO counter VALUES (0)")
        other.close()
        self.db = self.open()

    def open(self, path=None, **settings):
        made = dbkit.Database(f"sqlite:///{path or self.path}", **{"sqlite_synchronous": False, **settings})
        self.addCleanup(made.dispose)
        return made

    @property
    def gate(self):
        return gate_for(os.path.realpath(self.path), 1.0)

    def value(self):
        with self.db.reader() as session:
            return session.scalar(_VALUE)

    def increment(self, database=None):
        with (database or self.db).writer() as session:
            before = session.scalar(_VALUE)
            session.execute(text("UPDATE counter SET value = :after"), {"after": before + 1})

    async def aincrement(self, database=None):
        async with (database or self.db).writer() as session:
            before = await session.scalar(_VALUE)
            await session.execute(text("UPDATE counter SET value = :after"), {"after": before + 1})

    def in_line(self, count):
        return wait_until(lambda: self.gate.waiting >= count, _WAIT_S, f"{count} writers in the line")

    async def ain_line(self, count):
        await until(lambda: self.gate.waiting >= count)


class TestWritersOfOneProcess(QueueTest):
    def test_none_fails_and_none_is_lost(self):
        at_once(8, lambda number: [self.increment() for _ in range(50)] and None)
        self.assertEqual(400, self.value())

    def test_they_are_served_in_their_order(self):
        served = []

        def work(name):
            with self.db.writer() as session:
                session.execute(_INCREMENT)
                served.append(name)

        with self.db.writer() as session:
            session.execute(_INCREMENT)
            workers = []
            for number in range(6):
                workers.append(Worker(work, number))
                self.in_line(number + 1)
        for worker in workers:
            worker.outcome()
        self.assertEqual(list(range(6)), served)

    def test_threads_and_tasks_of_one_database_stand_in_one_line(self):
        async def tasks(number):
            await asyncio.gather(*(self.aincrement() for _ in range(25)))
            await self.db.adispose()

        def work(number):
            if number % 2:
                asyncio.run(tasks(number))
            else:
                for _ in range(25):
                    self.increment()

        at_once(4, work)
        self.assertEqual(100, self.value())

    def test_databases_that_spell_the_path_differently_stand_in_one_line(self):
        link = self.folder / "link.db"
        link.symlink_to(self.path)
        (self.folder / "sub").mkdir()
        spellings = [
            self.path,
            link,
            self.folder / "sub" / ".." / "queue.db",
            Path(os.path.relpath(self.path)),
            f"file:{self.path}?uri=true",
        ]
        others = [self.open(each, sqlite_busy_timeout=0) for each in spellings]
        at_once(len(others), lambda number: [self.increment(others[number]) for _ in range(20)] and None)
        self.assertEqual(20 * len(others), self.value())

    def test_readers_do_not_queue(self):
        with self.db.writer() as session:
            session.execute(_INCREMENT)
            self.assertEqual(0, Worker(self.value).outcome())

    def test_who_waits_too_long_ends_with_a_lock_timeout_and_no_connection(self):
        impatient = self.open(self.folder / "other.db", pool_timeout=0)
        with impatient.writer() as session:
            session.execute(text("CREATE TABLE counter (value INTEGER)"))

            def work():
                with impatient.writer() as other:
                    other.execute(_INCREMENT)

            error = self.assertRaises(DBLockTimeout, Worker(work).outcome)
            self.assertTrue(error.transient)
            self.assertIn("'other.db'", str(error))
            self.assertIn("pool_timeout", str(error))
            session.execute(text("INSERT INTO counter VALUES (5)"))
        Worker(work).outcome()

    def test_an_independent_writer_inside_a_writer_is_refused_at_once(self):
        with self.db.writer() as session:
            session.execute(_INCREMENT)
            with self.db.writer.independent() as inner:
                error = self.assertRaises(ModeConflict, inner.execute, _INCREMENT)
            self.assertIn(".independent", str(error))
            self.assertIn("'queue.db'", str(error))
        self.assertEqual(1, self.value())
        self.increment()

    def test_the_same_through_another_database_of_the_file(self):
        other = self.open()
        with self.db.writer() as session:
            session.execute(_INCREMENT)
            with other.writer() as inner:
                self.assertRaises(ModeConflict, inner.execute, _INCREMENT)
        self.assertEqual(1, self.value())

    def test_a_writer_that_fails_lets_the_next_one_in(self):
        for statement in ("SELECT nothing FROM nowhere", "UPDATE counter SET value = value + 1"):
            try:
                with self.db.writer() as session:
                    session.execute(text(statement))
                    raise KeyError
            except Exception:
                Worker(self.increment).outcome()
        self.assertEqual(2, self.value())

    def test_a_file_that_cannot_be_opened_holds_up_nobody(self):
        made = self.open(self.folder / "missing" / "x.db", max_retries=0)
        for _ in range(3):
            block = made.writer()
            with block as session:
                self.assertRaises(DBNonExistentDatabase, session.execute, text("SELECT 1"))
        (self.folder / "missing").mkdir()
        with made.writer() as session:
            session.execute(text("CREATE TABLE t (a INTEGER)"))


class TestTasks(QueueTest):
    def run_body(self, body):
        async def bounded():
            async with asyncio.timeout(_WAIT_S):
                try:
                    return await body()
                finally:
                    await self.db.adispose()

        return asyncio.run(bounded())

    def test_a_hundred_tasks_lose_nothing(self):
        async def body():
            await asyncio.gather(*(self.aincrement() for _ in range(100)))

        self.run_body(body)
        self.assertEqual(100, self.value())

    async def holding(self):
        """Let another task write, and return the event that ends its block, and the task."""
        entered, leave = asyncio.Event(), asyncio.Event()

        async def hold():
            async with self.db.writer() as session:
                await session.execute(_INCREMENT)
                entered.set()
                await leave.wait()

        task = asyncio.create_task(hold())
        await entered.wait()
        return leave, task

    def test_a_cancelled_one_leaves_the_line_intact(self):
        async def body():
            leave, holder = await self.holding()
            tasks = [asyncio.create_task(self.aincrement()) for _ in range(5)]
            await self.ain_line(5)
            tasks[0].cancel()
            tasks[3].cancel()
            await asyncio.wait([tasks[0], tasks[3]])
            self.assertEqual(3, self.gate.waiting)
            leave.set()
            await asyncio.wait([holder, *tasks])
            return [task.cancelled() for task in tasks]

        self.assertEqual([True, False, False, True, False], self.run_body(body))
        self.assertEqual(4, self.value())

    def test_a_wait_with_a_bound_leaves_it_too(self):
        async def body():
            leave, holder = await self.holding()
            for _ in range(3):
                try:
                    await asyncio.wait_for(self.aincrement(), 0.01)
                except TimeoutError:
                    continue
                raise AssertionError("it was let in")
            leave.set()
            await holder
            await self.aincrement()

        self.run_body(body)
        self.assertEqual(2, self.value())

    def test_a_blocking_writer_in_the_thread_of_the_loop_is_refused_while_a_task_writes(self):
        async def body():
            async with self.db.writer() as session:
                await session.execute(_INCREMENT)
                with self.db.writer.independent() as blocking:
                    error = self.assertRaises(ModeConflict, blocking.execute, _INCREMENT)
                return str(error)

        said = self.run_body(body)
        self.assertIn("asyncio", said)
        self.assertIn("to_thread", said)
        self.assertEqual(1, self.value())

    def test_in_a_thread_it_takes_its_turn(self):
        async def body():
            leave, holder = await self.holding()
            worker = Worker(self.increment)
            await self.ain_line(1)
            leave.set()
            await holder
            await asyncio.to_thread(worker.outcome)

        self.run_body(body)
        self.assertEqual(2, self.value())

    def test_loops_in_threads_share_the_line(self):
        def work(number):
            async def body():
                await asyncio.gather(*(self.aincrement() for _ in range(20)))
                await self.db.adispose()

            asyncio.run(body())

        at_once(3, work)
        self.assertEqual(60, self.value())


class TestOtherProcesses(QueueTest):
    _HOLD = textwrap.dedent(
        """
        import sqlite3, sys
        connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE counter SET value = value + 100")
        print("holding", flush=True)
        sys.stdin.readline()
        connection.execute("COMMIT")
        connection.close()
        """
    )
    _ADD = textwrap.dedent(
        """
        import sys
        import dbkit
        from sqlalchemy import text

        database = dbkit.Database(f"sqlite:///{sys.argv[1]}", sqlite_busy_timeout=30, sqlite_synchronous=False)
        sys.stdin.readline()
        for _ in range(25):
            with database.writer() as session:
                before = session.scalar(text("SELECT value FROM counter"))
                session.execute(text("UPDATE counter SET value = :after"), {"after": before + 1})
        """
    )

    def process(self, script):
        started = subprocess.Popen(
            [sys.executable, "-c", script, str(self.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.addCleanup(started.__exit__, None, None, None)
        self.addCleanup(started.kill)
        return started

    def holder(self):
        started = self.process(self._HOLD)
        self.assertEqual("holding\n", started.stdout.readline())
        return started

    def test_a_writer_waits_for_one_of_another_process(self):
        holder = self.holder()
        worker = Worker(self.increment)
        self.assertEqual(0, self.value())
        self.assertTrue(worker.is_alive())
        holder.stdin.write("\n")
        holder.stdin.flush()
        worker.outcome()
        self.assertEqual(101, self.value())

    def test_it_gives_up_after_the_busy_timeout_with_nothing_stored(self):
        impatient = self.open(sqlite_busy_timeout=0.05)
        self.increment(impatient)
        self.holder()
        error = self.assertRaises(DBLockTimeout, self.increment, impatient)
        self.assertTrue(error.transient)
        self.assertEqual(1, self.value())

    def test_a_first_writer_that_meets_the_lock_of_another_process_gives_up_typed_and_can_try_again(self):
        impatient = self.open(sqlite_busy_timeout=0.05)
        holder = self.holder()
        self.assertRaises(DBLockTimeout, self.increment, impatient)
        holder.stdin.write("\n")
        holder.stdin.flush()
        holder.wait(_WAIT_S)
        self.increment(impatient)
        self.assertEqual(101, self.value())

    def test_processes_lose_nothing(self):
        processes = [self.process(self._ADD) for _ in range(3)]
        for each in processes:
            each.stdin.write("\n")
            each.stdin.flush()
        for _ in range(25):
            self.increment()
        self.assertEqual([0, 0, 0], [each.wait(60) for each in processes])
        self.assertEqual(100, self.value())


class TestBareWriters(QueueTest):
    """Negative control: two increments without the line and without BEGIN IMMEDIATE."""

    def test_a_writer_that_has_read_first_fails_however_long_it_would_wait(self):
        engine = create_engine(f"sqlite:///{self.path}", connect_args={"timeout": 20, "isolation_level": None})
        self.addCleanup(engine.dispose)
        self.increment()  # the file uses the write-ahead log now
        with engine.connect() as first, engine.connect() as second:
            for each in (first, second):
                each.exec_driver_sql("BEGIN")
                self.assertEqual(1, each.scalar(_VALUE))
            first.execute(_INCREMENT)
            first.exec_driver_sql("COMMIT")
            error = self.assertRaises(OperationalError, second.execute, _INCREMENT)
            self.assertIn("database is locked", str(error))
            second.exec_driver_sql("ROLLBACK")
