"""Servers of one's own, their databases, and what happens where there are none."""

from __future__ import annotations

import contextlib
import os
import unittest
from pathlib import Path

import sqlalchemy as sa
import testtools

from dbkit.exceptions import BackendNotAvailable, DBConnectionError, DBError, UsageError
from dbkit.testing import servers
from dbkit.testing.servers.processes import is_halted, processes_in

BOUND_S = 30
DRIVERS = {"postgresql": "psycopg", "mysql": "pymysql"}


class Cases:
    """What holds for every kind of server."""

    kind: str

    def setUp(self):
        super().setUp()
        self.shared = servers.require_or_skip(self.kind)

    def private(self, **settings):
        return self.enter(servers.private(self.kind, settings))

    def enter(self, manager):
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        return stack.enter_context(manager)

    def engine(self, server, database=None):
        engine = sa.create_engine(server.url(DRIVERS[self.kind], database), poolclass=sa.pool.NullPool)
        self.addCleanup(engine.dispose)
        return engine

    def scalar(self, server, statement, database=None):
        with self.engine(server, database).connect() as connection:
            return connection.scalar(sa.text(statement))

    def table_of_one_row(self, server):
        name = server.create_database()
        with self.engine(server, name).begin() as connection:
            connection.execute(sa.text("CREATE TABLE kept (x INTEGER)"))
            connection.execute(sa.text("INSERT INTO kept VALUES (7)"))
        return name

    def test_a_setting_is_applied(self):
        server = self.private(max_connections=17)
        self.assertEqual("17", str(self.scalar(server, self.max_connections)))

    def test_committed_rows_outlive_a_restart(self):
        server = self.private()
        name, pid = self.table_of_one_row(server), server.pid
        server.restart()
        self.assertNotEqual(pid, server.pid)
        self.assertEqual(7, self.scalar(server, "SELECT x FROM kept", name))

    def test_a_crash_ends_every_process_and_the_next_start_recovers(self):
        server = self.private()
        name = self.table_of_one_row(server)
        server.crash()
        self.assertIsNone(server.pid)
        self.assertEqual([], processes_in(server.folder))
        self.assertRaises(sa.exc.OperationalError, self.scalar, server, "SELECT 1")
        server.start()
        self.assertEqual(7, self.scalar(server, "SELECT x FROM kept", name))

    def test_a_stopped_server_refuses_and_listens_again_on_the_same_port(self):
        server = self.private()
        port = server.port
        server.stop()
        self.assertRaises(sa.exc.OperationalError, self.scalar, server, "SELECT 1")
        server.start()
        self.assertEqual(port, server.port)
        self.assertEqual(1, self.scalar(server, "SELECT 1"))

    def test_a_frozen_server_halts_whole_and_goes_on_when_thawed(self):
        server = self.private()
        with self.engine(server).connect() as connection:
            server.freeze()
            self.assertTrue(all(map(is_halted, processes_in(server.folder))))
            server.thaw()
            self.assertEqual(1, connection.scalar(sa.text("SELECT 1")))

    def test_a_frozen_server_can_be_stopped_and_crashed(self):
        server = self.private()
        server.freeze()
        server.stop()
        server.start()
        server.freeze()
        server.crash()
        self.assertEqual([], processes_in(server.folder))

    def test_what_its_state_does_not_allow_is_refused(self):
        server = self.private()
        self.assertIn("running", str(self.assertRaises(UsageError, server.start)))
        self.assertIn("running", str(self.assertRaises(UsageError, server.thaw)))
        server.stop()
        self.assertIn("stopped", str(self.assertRaises(UsageError, server.freeze)))

    def test_nothing_is_left_after_the_block(self):
        with servers.private(self.kind) as server:
            folder = server.folder
            self.assertNotEqual([], processes_in(folder))
        self.assertEqual([], processes_in(folder))
        self.assertFalse(folder.exists())
        self.assertRaises(UsageError, server.start)

    def test_two_private_servers_and_the_shared_one_are_three(self):
        ports = {self.shared.port, self.private().port, self.private().port}
        self.assertEqual(3, len(ports))

    def test_a_setting_that_the_server_refuses_is_told_with_its_log(self):
        error = self.assertRaises(BackendNotAvailable, self.private, no_such_setting="plenty")
        self.assertIn("no_such_setting", str(error).replace("-", "_"))

    def test_databases_have_names_of_their_own_and_are_empty(self):
        first, second = self.shared.create_database(), self.shared.create_database()
        self.assertNotEqual(first, second)
        self.assertTrue(first.startswith(f"dbkit_{os.getpid()}_"))
        self.assertEqual(0, self.scalar(self.shared, self.tables, first))

    def test_a_database_is_dropped_while_sessions_use_it(self):
        name = self.table_of_one_row(self.shared)
        with self.engine(self.shared, name).connect() as connection:
            connection.execute(sa.text("SELECT * FROM kept"))
            self.shared.drop_database(name)
            self.assertRaises(sa.exc.DBAPIError, connection.execute, sa.text("SELECT * FROM kept"))
            connection.invalidate()
        self.assertRaises(sa.exc.OperationalError, self.scalar, self.shared, "SELECT 1", name)

    def test_a_database_that_is_gone_can_be_dropped(self):
        name = self.shared.create_database()
        self.shared.drop_database(name)
        self.shared.drop_database(name)

    def test_a_server_that_is_down_creates_nothing_and_says_where(self):
        server = self.private()
        server.stop()
        error = self.assertRaises(DBConnectionError, server.create_database)
        self.assertIn(f"127.0.0.1:{server.port}", str(error))
        self.assertIsNotNone(error.orig)

    def test_text_of_any_language_survives(self):
        name = self.shared.create_database()
        with self.engine(self.shared, name).begin() as connection:
            connection.execute(sa.text("CREATE TABLE words (w VARCHAR(40))"))
            connection.execute(sa.text("INSERT INTO words VALUES (:w)"), {"w": "żółć 漢字 🦆"})
            self.assertEqual("żółć 漢字 🦆", connection.scalar(sa.text("SELECT w FROM words")))

    def test_it_takes_two_hundred_connections_or_more(self):
        self.assertGreaterEqual(int(self.scalar(self.shared, self.max_connections)), 200)

    def test_it_listens_on_the_loopback_only(self):
        self.assertEqual("127.0.0.1", self.shared.host)
        listening = [f"0100007F:{self.shared.port:04X}", f"00000000:{self.shared.port:04X}"]
        sockets = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        self.assertIn(listening[0], sockets)
        self.assertNotIn(listening[1], sockets)


class TestPostgreSQL(Cases, testtools.TestCase):
    kind = "postgresql"
    max_connections = "SHOW max_connections"
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"

    def test_a_database_with_a_prepared_transaction_is_dropped(self):
        name = self.table_of_one_row(self.shared)
        with self.engine(self.shared, name).connect() as connection:
            connection.execute(sa.text("INSERT INTO kept VALUES (8)"))
            connection.execute(sa.text(f"PREPARE TRANSACTION 'left by {name}, isn''t it'"))
        self.shared.drop_database(name)
        self.assertEqual(
            0, self.scalar(self.shared, f"SELECT count(*) FROM pg_prepared_xacts WHERE gid LIKE '%{name}%'")
        )

    def test_its_user_is_a_superuser(self):
        self.assertEqual("on", self.scalar(self.shared, "SHOW is_superuser"))


class TestMariaDB(Cases, testtools.TestCase):
    kind = "mysql"
    max_connections = "SELECT @@max_connections"
    tables = "SELECT count(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()"

    def test_both_schemes_lead_to_it(self):
        for scheme in ("mysql", "mariadb"):
            engine = sa.create_engine(self.shared.url("pymysql", scheme=scheme))
            self.addCleanup(engine.dispose)
            with engine.connect() as connection:
                self.assertEqual(1, connection.scalar(sa.text("SELECT 1")))

    def test_a_statement_under_way_does_not_keep_the_database(self):
        name = self.table_of_one_row(self.shared)
        with self.engine(self.shared, name).connect() as connection:
            connection.execute(sa.text("SELECT * FROM kept FOR UPDATE"))
            self.shared.drop_database(name)
            connection.invalidate()
        listed = f"SELECT count(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = '{name}'"
        self.assertEqual(0, self.scalar(self.shared, listed))

    def test_locks_are_waited_for_five_seconds(self):
        self.assertEqual(5, self.scalar(self.shared, "SELECT @@innodb_lock_wait_timeout"))


class TestAbsence(testtools.TestCase):
    """The programs are hidden by naming a place that has none."""

    HIDING = {"postgresql": "DBKIT_POSTGRESQL_BIN", "mysql": "DBKIT_MARIADB_HOME"}
    PACKAGES = {"postgresql": "postgresql", "mysql": "mariadb-server"}

    def setUp(self):
        super().setUp()
        self.set("DBKIT_TEST_REQUIRE", None)
        for kind, name in self.HIDING.items():
            self.set(name, "/nowhere")
            self.set(f"DBKIT_TEST_{kind.upper()}_URL", None)

    def set(self, name, value):
        before = os.environ.get(name)
        self.addCleanup(self.put, name, before)
        self.put(name, value)

    def put(self, name, value):
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value

    def test_a_missing_server_skips_the_test_and_names_the_package(self):
        for kind, package in self.PACKAGES.items():
            skipped = self.assertRaises(unittest.SkipTest, servers.require_or_skip, kind)
            self.assertIn(f"install the package {package}", str(skipped))

    def test_a_required_one_that_is_missing_is_a_failure(self):
        self.set("DBKIT_TEST_REQUIRE", "postgresql,mysql")
        for kind, package in self.PACKAGES.items():
            error = self.assertRaises(BackendNotAvailable, servers.require_or_skip, kind)
            self.assertIn("DBKIT_TEST_REQUIRE", str(error))
            self.assertIn(f"install the package {package}", str(error))

    def test_to_require_one_does_not_require_the_other(self):
        self.set("DBKIT_TEST_REQUIRE", "postgresql")
        self.assertRaises(unittest.SkipTest, servers.require_or_skip, "mysql")

    def test_an_unknown_name_is_an_error_even_where_all_is_there(self):
        self.set("DBKIT_TEST_REQUIRE", "postgre")
        self.assertIn("'postgre'", str(self.assertRaises(DBError, servers.require_or_skip, "mysql")))

    def test_a_private_server_is_missing_too(self):
        self.assertRaises(BackendNotAvailable, servers.private, "mysql")
