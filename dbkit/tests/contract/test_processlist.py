"""Whoever drops a database ends the sessions in it, and not those that the server only shows there for a moment."""

from __future__ import annotations

import threading

import fixtures
import testtools
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from dbkit.backends.mysql.dump import quoted
from dbkit.backends.processlist import sessions_in
from dbkit.testing import servers
from dbkit.testing.servers.polling import wait_until
from dbkit.tests.steering import SteeredClock, Worker

_BOUND_S = 60
_NAIVE = "SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '{}'"
_NUMBER = text("SELECT CONNECTION_ID()")
_LOOK_EVERYWHERE = text("SELECT COUNT(*) FROM information_schema.TRIGGERS")


class TestOnAServer(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.useFixture(fixtures.Timeout(_BOUND_S, gentle=True))
        self.server = servers.require_or_skip("mysql")
        self.name = self.made()
        self.admin = self.connection()

    def made(self):
        name = self.server.create_database()
        self.addCleanup(self.server.drop_database, name)
        return name

    def connection(self, name=None):
        engine = create_engine(
            self.server.url(database=name, driver="pymysql"), isolation_level="AUTOCOMMIT", poolclass=NullPool
        )
        connection = engine.connect()
        self.addCleanup(lambda: connection.closed or connection.invalidate())
        return connection

    def ask(self, statement):
        return self.admin.execute(text(statement)).all()

    def require_mariadb(self):
        version = self.admin.scalar(text("SELECT VERSION()"))
        if "MariaDB" not in version:
            self.skipTest(f"MySQL {version} has the triggers of all databases in one table and looks into none")

    def fill(self):
        """Make looking into the database take a while."""
        with self.connection(self.name) as inside:
            for number in range(40):
                inside.execute(text(f"CREATE TABLE t{number} (id INTEGER)"))
                inside.execute(text(f"CREATE TRIGGER g{number} BEFORE INSERT ON t{number} FOR EACH ROW SET @x = 1"))

    def test_one_that_only_looks_into_it_is_left_alone(self):
        self.require_mariadb()
        self.fill()
        other = self.connection(self.made())
        number = other.scalar(_NUMBER)
        enough = threading.Event()

        def look():
            while not enough.is_set():
                other.execute(_LOOK_EVERYWHERE)

        looking = Worker(look)
        self.addCleanup(enough.set)
        # the control: the server does show it there
        wait_until(lambda: (number,) in self.ask(_NAIVE.format(self.name)), _BOUND_S, "a look into the database")
        for _ in range(20):
            self.assertNotIn(number, sessions_in(self.ask, self.name))
        self.server.drop_database(self.name)
        enough.set()
        looking.outcome()

    def test_those_in_it_are_found_at_rest_and_at_work(self):
        at_rest, at_work = (self.connection(self.name) for _ in range(2))
        numbers = [each.scalar(_NUMBER) for each in (at_rest, at_work)]
        working = Worker(at_work.execute, text("SELECT SLEEP(60)"))
        at_work_now = f"SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = {numbers[1]} AND INFO LIKE '%SLEEP%'"
        wait_until(lambda: self.ask(at_work_now), _BOUND_S, "the session at work")
        self.assertEqual(numbers, sessions_in(self.ask, self.name))
        self.server.drop_database(self.name)
        self.assertRaises(DBAPIError, working.outcome)
        left = f"SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = {numbers[0]}"
        wait_until(lambda: not self.ask(left), _BOUND_S, "the end of the session at rest")

    def test_a_name_is_taken_as_it_is(self):
        name = f"{self.name}_A'b\\%s:x"
        self.admin.exec_driver_sql(f"CREATE DATABASE {quoted(name)}", execution_options={"no_parameters": True})
        self.addCleanup(self.server.drop_database, name)
        number = self.connection(name).scalar(_NUMBER)
        for mode in ("", "NO_BACKSLASH_ESCAPES"):
            self.admin.execute(text(f"SET SESSION sql_mode = '{mode}'"))
            self.assertEqual([number], sessions_in(self.ask, name))
            self.assertEqual([], sessions_in(self.ask, name.lower()))


class TestLooks(testtools.TestCase):
    def found(self, *looks):
        """Return what is found, and how often it was looked."""
        clock = SteeredClock()
        asked = []

        def ask(_statement):
            asked.append(1)
            return looks[min(len(asked), len(looks)) - 1]

        return sessions_in(ask, "name", clock), len(asked)

    def test_where_all_are_at_rest_two_looks_are_enough(self):
        self.assertEqual(([1, 2], 2), self.found([(2, "Sleep", None), (1, b"Sleep", None)]))
        self.assertEqual(([1], 2), self.found([], [(1, "Sleep", None)]))

    def test_one_that_the_first_look_misses_is_found(self):
        self.assertEqual(([1], 10), self.found([], [(1, "Query", "SELECT 1")]))

    def test_one_that_has_left_is_left_alone(self):
        self.assertEqual(([], 10), self.found(*[[(1, "Query", "SELECT 1")]] * 8, []))

    def test_one_at_work_must_show_it_most_of_the_time(self):
        at_work = [(1, "Query", "UPDATE t SET a = 1")]
        self.assertEqual(([1], 10), self.found(*[[], at_work] * 5))
        self.assertEqual(([], 10), self.found(*[at_work] * 4, []))

    def test_one_that_may_only_look_must_show_it_all_the_time(self):
        for statement in ("SELECT 1 FROM INFORMATION_SCHEMA.TRIGGERS", b"show triggers", None):
            looking = [(1, "Query", statement)]
            self.assertEqual(([1], 10), self.found(looking))
            self.assertEqual(([], 10), self.found(*[looking] * 9, []))

    def test_one_that_comes_to_rest_there_is_in_it(self):
        self.assertEqual(([1], 10), self.found([(1, "Query", None)], [(1, "Sleep", None)]))
