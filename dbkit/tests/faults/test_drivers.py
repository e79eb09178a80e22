"""The ways in which drivers speak, without dbkit between: what is a COMMIT, and what passes unharmed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket

import testtools

from dbkit.testing import faults, servers
from dbkit.testing.servers.polling import wait_until
from dbkit.tests.steering import Worker


class Drivers(testtools.TestCase):
    """Connections through a proxy, and a table that is looked at without it."""

    kind: str

    def setUp(self):
        super().setUp()
        server = servers.require_or_skip(self.kind)
        name = server.create_database()
        self.addCleanup(server.drop_database, name)
        self.direct = server.url(database=name)
        self.proxy = faults.proxy(server).__enter__()
        self.addCleanup(self.proxy.close)
        self.observer = self.connect(self.direct)
        self.observer.cursor().execute("CREATE TABLE t (n INTEGER)")

    @property
    def arguments(self):
        return {"host": self.proxy.host, "port": self.proxy.port, "user": self.direct.username}

    def stored(self):
        """Return the numbers that are committed."""
        with contextlib.closing(self.observer.cursor()) as cursor:
            cursor.execute("SELECT n FROM t ORDER BY n")
            return [number for (number,) in cursor.fetchall()]

    def kept(self, connection):
        self.addCleanup(connection.close)
        return connection

    def assert_lost(self, work, *args, error=Exception, stored=1):
        """Assert that a COMMIT whose reply is withheld is found in the work, and was executed."""
        with self.proxy.cut(faults.after("COMMIT")):
            self.assertRaises(error, work, *args)
        self.assertEqual([stored], self.stored())


class TestPostgreSQL(Drivers):
    kind = "postgresql"

    def connect(self, url):
        import psycopg

        self.psycopg = psycopg
        return self.kept(
            psycopg.connect(host=url.host, port=url.port, user=url.username, dbname=url.database, autocommit=True)
        )

    def through(self, **arguments):
        return self.kept(self.psycopg.connect(**self.arguments, dbname=self.direct.database, **arguments))

    def run_asyncpg(self, body):
        import asyncpg

        async def run():
            connection = await asyncpg.connect(**self.arguments, database=self.direct.database)
            try:
                return await body(connection)
            finally:
                connection.terminate()

        return asyncio.run(run())

    def test_a_commit_in_a_text_of_several_statements(self):
        connection = self.through(autocommit=True)
        self.assert_lost(
            connection.execute, "BEGIN; INSERT INTO t VALUES (1); COMMIT", error=self.psycopg.OperationalError
        )

    def test_a_prepared_commit(self):
        connection = self.through(autocommit=True)
        for statement in ("BEGIN", "INSERT INTO t VALUES (1)"):
            connection.execute(statement, prepare=True)
        self.assert_lost(lambda: connection.execute("COMMIT", prepare=True), error=self.psycopg.OperationalError)

    def test_a_commit_in_a_pipeline(self):
        connection = self.through(autocommit=True)

        def work():
            with connection.pipeline():
                for statement in ("BEGIN", "INSERT INTO t VALUES (1)", "COMMIT", "SELECT 2"):
                    connection.execute(statement)

        self.assert_lost(work, error=self.psycopg.OperationalError)

    def test_asyncpgs_simple_and_extended_commits(self):
        async def text(connection):
            await connection.execute("BEGIN; INSERT INTO t VALUES (1); COMMIT")

        async def prepared(connection):
            await connection.execute("BEGIN")
            await connection.execute("INSERT INTO t VALUES ($1)", 1)
            await connection.fetch("COMMIT")

        async def transaction(connection):
            async with connection.transaction():
                await connection.execute("INSERT INTO t VALUES ($1)", 1)

        for body in (text, prepared, transaction):
            self.assert_lost(self.run_asyncpg, body)
            self.observer.execute("DELETE FROM t")

    def test_psycopg2s_commit(self):
        try:
            import psycopg2
        except ImportError:
            self.skipTest("psycopg2 is not installed: pip install psycopg2-binary")
        connection = self.kept(psycopg2.connect(**self.arguments, dbname=self.direct.database))
        connection.cursor().execute("INSERT INTO t VALUES (%s)", (1,))
        self.assert_lost(connection.commit, error=psycopg2.OperationalError)

    def test_a_cancel_request_reaches_the_server(self):
        connection = self.through()
        with self.proxy.delay(faults.before("SELECT"), seconds=0) as fault:
            worker = Worker(lambda: connection.execute("SELECT pg_sleep(60)"))
            fault.wait()
            wait_until(self.sleeps, 10, "a session that sleeps")
            connection.cancel()
            self.assertRaises(self.psycopg.errors.QueryCanceled, worker.outcome)
        self.assertEqual(1, self.proxy.counts["cancel"])

    def sleeps(self):
        """Return whether a session is asleep at the server."""
        ask = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
        return self.observer.execute(ask).fetchone()

    def test_copies_notices_and_much_data_pass(self):
        connection = self.through(autocommit=True)
        with connection.cursor() as cursor:
            with cursor.copy("COPY t FROM STDIN") as copy:
                for number in range(20_000):
                    copy.write_row((number,))
            self.assertEqual((20_000,), cursor.execute("SELECT count(*) FROM t").fetchone())
            with cursor.copy("COPY t TO STDOUT") as copy:
                self.assertEqual(20_000, len(list(copy.rows())))
            cursor.execute("DO $$BEGIN RAISE NOTICE 'hello'; END$$")
            self.assertEqual(20_000, len(cursor.execute("SELECT n FROM t WHERE n >= %s", (0,)).fetchall()))
            (text,) = cursor.execute("SELECT repeat('x', 10000000)").fetchone()
            self.assertEqual(10_000_000, len(text))
            (length,) = cursor.execute("SELECT length(%s)", (text,)).fetchone()
            self.assertEqual(10_000_000, length)
            with connection.transaction():
                cursor.execute("INSERT INTO t VALUES (-1)")
        self.assertEqual(-1, self.stored()[0])

    def test_an_error_passes(self):
        connection = self.through(autocommit=True)
        for _ in range(2):
            self.assertRaises(
                self.psycopg.errors.UndefinedTable, connection.execute, "SELECT * FROM nowhere", prepare=True
            )
        self.assertEqual((2,), connection.execute("SELECT 2").fetchone())

    def test_who_demands_encryption_is_refused(self):
        error = self.assertRaises(self.psycopg.OperationalError, self.through, sslmode="require")
        self.assertIn("SSL", str(error))

    def test_a_commit_whose_client_has_given_up_still_arrives(self):
        connection = self.through()
        connection.execute("INSERT INTO t VALUES (1)")
        with self.proxy.hold(faults.before("COMMIT")) as fault:
            worker = Worker(connection.commit)
            event = fault.wait()
            hang_up(connection.fileno())
            self.assertRaises(self.psycopg.OperationalError, worker.outcome)
            self.assertEqual([], self.stored())
            fault.release()
            self.proxy.wait_for("closed", connection=event.connection)
        self.assertEqual([1], self.stored())

    def test_the_server_keeps_the_session_of_a_client_that_was_dropped(self):
        connection = self.through()
        connection.execute("INSERT INTO t VALUES (1)")
        ask = (
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND datname = current_database()"
        )
        with self.proxy.drop(faults.before("COMMIT")) as fault:
            worker = Worker(connection.commit)
            fault.wait()
        hang_up(connection.fileno())
        self.assertRaises(self.psycopg.OperationalError, worker.outcome)
        self.assertEqual((1,), self.observer.execute(ask).fetchone())
        self.proxy.cut_all()
        wait_until(lambda: self.observer.execute(ask).fetchone() == (0,), 20, "the end of the session")


class TestMySQL(Drivers):
    kind = "mysql"

    def connect(self, url):
        import pymysql

        self.pymysql = pymysql
        arguments = {"host": url.host, "port": url.port, "user": url.username, "database": url.database}
        return self.kept(pymysql.connect(**arguments, autocommit=True, ssl_disabled=True))

    def through(self, **arguments):
        from pymysql.constants import CLIENT

        found = self.pymysql.connect(
            **self.arguments, database=self.direct.database, client_flag=CLIENT.MULTI_STATEMENTS, local_infile=True,
            **arguments,
        )  # fmt: skip
        self.addCleanup(lambda: found.close() if found.open else None)
        return found

    def test_a_commit_in_a_text_of_several_statements(self):
        connection = self.through()

        def work():
            with connection.cursor() as cursor:
                cursor.execute("INSERT INTO t VALUES (1); COMMIT")
                cursor.nextset()

        self.assert_lost(work, error=self.pymysql.OperationalError)

    def test_a_commit_of_the_server_side_prepare(self):
        connection = self.through()
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO t VALUES (1)")
            cursor.execute("PREPARE c FROM 'COMMIT'")
            with self.proxy.cut(faults.after("EXECUTE")):
                self.assertRaises(self.pymysql.OperationalError, cursor.execute, "EXECUTE c")
        self.assertEqual([1], self.stored())

    def test_a_prepared_commit_of_the_protocol(self):
        # as drivers with binary statements send it; PyMySQL lets one speak the protocol
        connection = self.through()
        connection.query("INSERT INTO t VALUES (1)")
        connection._execute_command(0x16, b"COMMIT")
        number = connection._read_packet().get_all_data()[1:5]
        with self.proxy.cut(faults.after("COMMIT")):
            connection._execute_command(0x17, number + b"\0\1\0\0\0")
            self.assertRaises(self.pymysql.OperationalError, connection._read_packet)
        self.assertEqual([1], self.stored())

    def test_much_data_several_results_and_errors_pass(self):
        connection = self.through(autocommit=True)
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO t VALUES (%s)", [(number,) for number in range(5_000)])
            cursor.execute("SELECT n FROM t; SELECT 2; INSERT INTO t VALUES (-1)")
            self.assertEqual(5_000, len(cursor.fetchall()))
            self.assertTrue(cursor.nextset())
            self.assertEqual(((2,),), cursor.fetchall())
            self.assertTrue(cursor.nextset())
            self.assertRaises(self.pymysql.ProgrammingError, cursor.execute, "SELECT * FROM nowhere")
            cursor.execute("SELECT REPEAT('x', 10000000)")
            self.assertEqual(10_000_000, len(cursor.fetchone()[0]))
        connection.ping(reconnect=False)
        connection.select_db(self.direct.database)
        self.assertEqual(1, self.proxy.counts["USE"])
        self.assertEqual(-1, self.stored()[0])

    def test_a_commit_whose_client_has_given_up_still_arrives(self):
        connection = self.through()
        connection.query("INSERT INTO t VALUES (1)")
        with self.proxy.hold(faults.before("COMMIT")) as fault:
            worker = Worker(connection.commit)
            event = fault.wait()
            hang_up(connection._sock.fileno())
            self.assertRaises(self.pymysql.OperationalError, worker.outcome)
            self.assertEqual([], self.stored())
            fault.release()
            self.proxy.wait_for("closed", connection=event.connection)
        self.assertEqual([1], self.stored())


def hang_up(descriptor):
    """End a connection under its driver, from the client's side."""
    with socket.socket(fileno=os.dup(descriptor)) as stream:
        stream.shutdown(socket.SHUT_RDWR)
