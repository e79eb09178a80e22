"""A pool of writers to a Galera node that leaves its cluster: it answers a ping and refuses all else."""

from __future__ import annotations

import contextlib

import sqlalchemy as sa
import testtools

import dbkit
from dbkit.exceptions import DBConnectionError, DBNotPrimary, Outcome
from dbkit.testing import faults, servers

NODES = 3
ADD = sa.text("INSERT INTO kept VALUES (NULL)")


class TestPoolOnGalera(testtools.TestCase):
    def setUp(self):
        super().setUp()
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        self.cluster = servers.or_skip("galera", lambda: stack.enter_context(servers.galera(NODES)))
        self.name = self.cluster.create_database()
        self.first, self.second = self.cluster.nodes[:2]
        engine = sa.create_engine(self.first.url("pymysql", self.name), poolclass=sa.pool.NullPool)
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE kept (id INTEGER AUTO_INCREMENT PRIMARY KEY)"))
        self.proxy = stack.enter_context(faults.proxy(self.first))
        self.db = dbkit.Database(self.proxy.url("pymysql", self.name), max_retries=0)
        self.addCleanup(self.db.dispose)

    def fill(self, count):
        if count:
            with self.db.writer.independent() as session:
                session.execute(sa.text("SELECT 1"))
                self.fill(count - 1)

    def add(self):
        with self.db.writer() as session:
            session.execute(ADD)

    def test_writers_leave_a_node_that_has_left(self):
        self.fill(4)
        self.first.partition()
        error = self.assertRaises(DBConnectionError, self.add)
        self.assertEqual((1047, Outcome.ROLLED_BACK), (error.errno, error.outcome))
        # it takes connections still: what is opened now is asked first, and the idle ones are not tried one by one
        self.assertRaises((DBNotPrimary, DBConnectionError), self.add)
        self.proxy.retarget(self.second)
        self.add()
        self.first.heal()
        self.cluster.wait_for_size(NODES)

    def test_a_ping_does_not_find_it(self):
        """The negative control."""
        engine = sa.create_engine(self.first.url("pymysql", self.name), pool_pre_ping=True)
        self.addCleanup(engine.dispose)
        engine.connect().close()
        self.first.partition()
        connection = engine.connect()
        self.assertRaises(sa.exc.DBAPIError, connection.execute, ADD)
        connection.invalidate()
        connection.close()
        self.first.heal()
        self.cluster.wait_for_size(NODES)
