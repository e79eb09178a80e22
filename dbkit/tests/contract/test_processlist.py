"""Whoever drops a database ends the sessions in it, and not those that the server only shows there for a moment."""

from __future__ import annotations

import threading

import fixtures
import testtools
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

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
        self.addCleanup(connection.close)
        return connection

    def ask(self, statement):
        return self.admin.execute(text(statement)).all()

    def fill(self):
        """Make looking into the database take a while."""
        with self.connection(self.name) as inside:
            for number in range(40):
                inside.execute(text(f"CREATE TABLE t{number} (id INTEGER)"))
                inside.execute(text(f"CREATE TRIGGER g{number} BEFORE INSERT ON t{number} FOR EACH ROW SET @x = 1"))

    def test_one_that_only_looks_into_it_is_left_alone(self):
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
        wait_until(lambda: "SLEEP" in str(self.ask("SHOW PROCESSLIST")), _BOUND_S, "the session at work")
        self.assertEqual(numbers, sessions_in(self.ask, self.name))
        self.admin.execute(text(f"KILL {numbers[1]}"))
        self.assertRaises(DBAPIError, working.outcome)

    def test_a_name_is_taken_as_it_is(self):
        self.assertEqual([], sessions_in(self.ask, "a'b\\"))


class TestLooks(testtools.TestCase):
    def found(self, *looks):
        """Return what is found, and how often it was looked."""
        clock = SteeredClock()
        asked = []

        def ask(_statement):
            asked.append(1)
            return looks[min(len(asked), len(looks)) - 1]

        return sessions_in(ask, "name", clock), len(asked)

    def test_where_all_are_at_rest_one_look_is_enough(self):
        self.assertEqual(([1, 2], 1), self.found([(2, "Sleep"), (1, "Sleep")]))

    def test_one_at_work_must_stay(self):
        self.assertEqual(([], 2), self.found([(1, "Query")], []))
        self.assertEqual(([1], 10), self.found([(1, "Query")]))

    def test_one_that_comes_to_rest_there_is_in_it(self):
        self.assertEqual(([1], 2), self.found([(1, "Query")], [(1, "Sleep")]))

    def test_one_that_comes_later_and_works_is_not_believed(self):
        self.assertEqual(([2], 10), self.found([(2, "Query")], [(2, "Query"), (1, "Query")]))
