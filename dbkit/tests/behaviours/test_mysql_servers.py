"""MariaDB servers that are set up in another way: what dbkit learns of it when it connects."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import textwrap

import testtools
from sqlalchemy import text

import dbkit
from dbkit.exceptions import DBLockTimeout, DBReadOnly, Outcome
from dbkit.testing import servers
from dbkit.tests.behaviours.colours import AsyncioColour, BlockingColour
from dbkit.tests.behaviours.combinations import is_installed
from dbkit.tests.behaviours.estates import Estate
from dbkit.tests.behaviours.faces import DatabaseFace

_DRIVERS = tuple(
    each
    for each in (
        ("mysql", "pymysql", BlockingColour),
        ("mysql", "mysqldb", BlockingColour),
        ("mariadb", "pymysql", BlockingColour),
        ("mysql", "asyncmy", AsyncioColour),
        ("mysql", "aiomysql", AsyncioColour),
        ("mariadb", "asyncmy", AsyncioColour),
    )
    if is_installed(each[1])
)


class PrivateServerTest(testtools.TestCase):
    """Runs a body with each driver on one server with settings of its own."""

    SETTINGS: dict[str, object] = {}

    def setUp(self):
        super().setUp()
        servers.require_or_skip("mysql")
        self.server = self.enterContext(servers.private("mysql", self.SETTINGS))

    def on_each_driver(self, body):
        for scheme, driver, colour in _DRIVERS:
            with contextlib.ExitStack() as stack:
                estate = Estate("mysql", self.server)
                made = dbkit.Database(estate.url(driver, scheme), max_retries=0)
                running = colour()
                if isinstance(running, AsyncioColour):
                    stack.callback(running.runner.close)
                running.run(self._bounded(body, DatabaseFace(made, running), estate, made, running))

    async def _bounded(self, body, face, estate, made, running):
        try:
            await body(face, estate)
        finally:
            if isinstance(running, AsyncioColour):
                await made.adispose()
            else:
                made.dispose()


class TestReadCommitted(PrivateServerTest):
    SETTINGS = {"transaction_isolation": "READ-COMMITTED"}

    def test_a_reader_needs_no_transaction_and_cannot_write(self):
        async def body(face, estate):
            async with face.writer() as session:
                await session.execute(text("CREATE TABLE t (a INTEGER)"))
                self.assertEqual(0, await session.scalar(text("SELECT @@SESSION.autocommit")))
            async with face.reader() as session:
                found = await session.execute(
                    text("SELECT @@SESSION.autocommit, @@SESSION.tx_read_only, @@in_transaction")
                )
                self.assertEqual((1, 1, 0), tuple(found.one()))
            for statement in ("INSERT INTO t VALUES (1)", "CREATE TABLE u (a INTEGER)"):
                with testtools.ExpectedException(DBReadOnly):
                    async with face.reader() as session:
                        await session.execute(text(statement))
            async with face.reader() as session:
                self.assertEqual(0, await session.scalar(text("SELECT COUNT(*) FROM t")))

        self.on_each_driver(body)

    def test_each_statement_of_a_reader_sees_the_newest_state(self):
        async def body(face, estate):
            async with face.writer() as session:
                await session.execute(text("CREATE TABLE t (a INTEGER)"))
            async with face.reader() as session:
                for number in range(3):
                    self.assertEqual(number, await session.scalar(text("SELECT COUNT(*) FROM t")))
                    async with face.writer.independent() as other:
                        await other.execute(text("INSERT INTO t VALUES (1)"))

        self.on_each_driver(body)

    def test_a_reader_that_asks_for_more_gets_a_snapshot_and_the_next_one_does_not(self):
        async def body(face, estate):
            async with face.writer() as session:
                await session.execute(text("CREATE TABLE t (a INTEGER)"))
            count = text("SELECT COUNT(*) FROM t")
            async with face.reader.isolation("REPEATABLE READ")() as session:
                self.assertEqual(0, await session.scalar(count))
                async with face.writer.independent() as other:
                    await other.execute(text("INSERT INTO t VALUES (1)"))
                self.assertEqual(0, await session.scalar(count))
                with testtools.ExpectedException(DBReadOnly):
                    await session.execute(text("INSERT INTO t VALUES (2)"))
            async with face.reader() as session:
                self.assertEqual(1, await session.scalar(count))
                self.assertEqual(0, await session.scalar(text("SELECT @@in_transaction")))

        self.on_each_driver(body)


class TestRollbackOnTimeout(PrivateServerTest):
    SETTINGS = {"innodb_rollback_on_timeout": "ON", "innodb_lock_wait_timeout": 1}

    def test_a_lock_timeout_has_rolled_the_transaction_back_and_says_so(self):
        async def body(face, estate):
            async with face.writer() as session:
                await session.execute(text("CREATE TABLE t (a INTEGER PRIMARY KEY, b INTEGER) ENGINE=InnoDB"))
            async with face.writer() as session:
                await session.execute(text("INSERT INTO t VALUES (1, 0)"))
            async with face.writer() as holder:
                await holder.execute(text("UPDATE t SET b = 1 WHERE a = 1"))
                error = None
                try:
                    async with face.writer.independent() as session:
                        await session.execute(text("INSERT INTO t VALUES (2, 0)"))
                        try:
                            await session.execute(text("UPDATE t SET b = 2 WHERE a = 1"))
                        except DBLockTimeout as caught:
                            error = caught
                except Exception as doomed:
                    self.assertIs(error, doomed.__cause__)
                else:
                    raise AssertionError("the block ended as if its first row were stored")
                self.assertIs(Outcome.ROLLED_BACK, error.outcome)
                self.assertTrue(error.transient)
            async with face.reader() as session:
                self.assertEqual(1, await session.scalar(text("SELECT COUNT(*) FROM t")))

        self.on_each_driver(body)


class TestStatementTimeout(PrivateServerTest):
    SETTINGS = {"innodb_lock_wait_timeout": 1}

    def test_by_default_a_lock_timeout_costs_the_statement_alone(self):
        async def body(face, estate):
            async with face.writer() as session:
                await session.execute(text("CREATE TABLE t (a INTEGER PRIMARY KEY, b INTEGER) ENGINE=InnoDB"))
            async with face.writer() as session:
                await session.execute(text("INSERT INTO t VALUES (1, 0)"))
            async with face.writer() as holder:
                await holder.execute(text("UPDATE t SET b = 1 WHERE a = 1"))
                async with face.writer.independent() as session:
                    await session.execute(text("INSERT INTO t VALUES (2, 0)"))
                    with testtools.ExpectedException(DBLockTimeout):
                        await session.execute(text("UPDATE t SET b = 2 WHERE a = 1"))
            async with face.reader() as session:
                self.assertEqual(2, await session.scalar(text("SELECT COUNT(*) FROM t")))

        self.on_each_driver(body)


class TestGreenThreads(testtools.TestCase):
    """mysqlclient waits in C: where the sockets are patched, it is refused before it can stop the process."""

    _SCRIPT = textwrap.dedent(
        """
        import sys, types

        try:
            from gevent import monkey
            monkey.patch_all()
        except ImportError:
            # as gevent answers once it has patched the sockets
            monkey = types.ModuleType("gevent.monkey")
            monkey.is_module_patched = lambda name: name == "socket"
            sys.modules["gevent"] = types.ModuleType("gevent")
            sys.modules["gevent.monkey"] = monkey
        import dbkit
        from dbkit.exceptions import DriverRefused
        from sqlalchemy import text

        for scheme in ("mysql", "mariadb"):
            database = dbkit.Database(f"{scheme}+mysqldb://dbkit@127.0.0.1:1/x", max_retries=0)
            try:
                with database.writer() as session:
                    session.execute(text("SELECT 1"))
            except DriverRefused as error:
                print(error)
        """
    )

    def test_it_is_refused_with_a_text_that_says_what_to_use(self):
        ended = subprocess.run([sys.executable, "-c", self._SCRIPT], capture_output=True, text=True, timeout=60)
        self.assertEqual(0, ended.returncode, ended.stderr[-600:])
        lines = ended.stdout.splitlines()
        self.assertEqual(2, len(lines), ended.stdout)
        for line in lines:
            self.assertIn("gevent has patched", line)
            self.assertIn("mysql+pymysql://", line)
