"""On a Galera cluster another node's commit makes a victim: by error 1213, at a statement or at COMMIT."""

from __future__ import annotations

import contextlib

import sqlalchemy as sa
import testtools

import dbkit
from dbkit.exceptions import DBDeadlock, ReplayDiverged
from dbkit.testing import servers
from dbkit.tests.behaviours.base import Raising
from dbkit.tests.behaviours.combinations import is_installed
from dbkit.tests.steering import SteeredClock

DRIVERS = ("pymysql", "mysqldb")


class TestGaleraVictims(testtools.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        stack = contextlib.ExitStack()
        cls.addClassCleanup(stack.close)
        cls.cluster = servers.or_skip("galera", lambda: stack.enter_context(servers.galera(3)))
        cls.name = cls.cluster.create_database()
        with cls.node(1) as connection:
            connection.execute(sa.text("CREATE TABLE kept (id INTEGER PRIMARY KEY, x INTEGER)"))

    @classmethod
    def node(cls, number):
        """Return a transaction of plain SQLAlchemy on a node, for ``with``."""
        url = cls.cluster.nodes[number].url("pymysql", cls.name)
        return sa.create_engine(url, poolclass=sa.pool.NullPool).begin()

    def setUp(self):
        super().setUp()
        self.cluster.wait_for_size(3)
        self.overtake("DELETE FROM kept", "INSERT INTO kept VALUES (1, 0), (2, 0)")

    def overtake(self, *statements):
        """Commit on another node, and wait until the first node has it."""
        with self.node(1) as connection:
            # what the first node has stored comes before
            for statement in ("SET SESSION wsrep_sync_wait = 7", *statements):
                connection.execute(sa.text(statement))
        with self.node(0) as connection:
            connection.execute(sa.text("SET SESSION wsrep_sync_wait = 1"))
            connection.execute(sa.text("SELECT 1 FROM kept")).all()

    def databases(self, **settings):
        for driver in filter(is_installed, DRIVERS):
            url = self.cluster.nodes[0].url(driver, self.name)
            database = dbkit.Database(url, max_retries=0, clock=SteeredClock(), **settings)
            self.addCleanup(database.dispose)
            yield database
            self.overtake("UPDATE kept SET x = 0")

    def values(self):
        with self.node(0) as connection:
            return list(connection.execute(sa.text("SELECT x FROM kept ORDER BY id")).scalars())

    def test_at_the_next_statement_it_is_repeated(self):
        for database in self.databases(replay=True):
            with database.writer() as session:
                session.execute(sa.text("UPDATE kept SET x = x + 1 WHERE id = 1"))
                self.overtake("UPDATE kept SET x = x + 10 WHERE id = 1")
                session.execute(sa.text("UPDATE kept SET x = x + 1 WHERE id = 2"))
            self.assertEqual(([11, 1], 1), (self.values(), database.replays.replayed))

    def test_at_commit_it_is_repeated(self):
        for database in self.databases(replay=True):
            with database.writer() as session:
                session.execute(sa.text("UPDATE kept SET x = x + 1 WHERE id = 1"))
                self.overtake("UPDATE kept SET x = x + 10 WHERE id = 1")
            self.assertEqual(([11, 0], 1), (self.values(), database.replays.replayed))

    def test_what_was_read_and_has_changed_is_not(self):
        for database in self.databases(replay=True):
            with Raising(ReplayDiverged) as caught, database.writer() as session:
                value = session.scalar(sa.text("SELECT x FROM kept WHERE id = 1"))
                session.execute(sa.text("UPDATE kept SET x = :x WHERE id = 1"), {"x": value + 1})
                self.overtake("UPDATE kept SET x = x + 10 WHERE id = 1")
            self.assertIsInstance(caught.error.__cause__, DBDeadlock)
            self.assertEqual(([10, 0], 1), (self.values(), database.replays.diverged))

    def test_without_replay_it_is_an_error(self):
        for database in self.databases():
            with Raising(DBDeadlock), database.writer() as session:
                session.execute(sa.text("UPDATE kept SET x = x + 1 WHERE id = 1"))
                self.overtake("UPDATE kept SET x = x + 10 WHERE id = 1")
            self.assertEqual([10, 0], self.values())
