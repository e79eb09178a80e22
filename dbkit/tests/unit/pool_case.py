"""A pool over connections that need no server."""

from __future__ import annotations

import logging
import sqlite3

import fixtures
import testtools
from sqlalchemy import create_engine

from dbkit.backends import registry
from dbkit.backends.base import Role
from dbkit.engines.capacity import Capacity
from dbkit.engines.checks import Checks
from dbkit.engines.pool import BoundedPool
from dbkit.tests.steering import SteeredClock


class Peer(sqlite3.Connection):
    """A connection that can be dead, and that notes what is done to it."""

    home = None
    is_dead = False
    is_new = True
    statements = 0
    rollbacks = 0

    def rollback(self):
        self.rollbacks += 1
        super().rollback()

    def cursor(self, *args, **kwargs):
        if self.is_dead:
            raise sqlite3.OperationalError("the peer is gone")
        self.statements += 1
        return super().cursor(*args, **kwargs)

    def close(self):
        if self in self.home.open:
            self.home.open.remove(self)
        if self.home.close_raises is not None:
            raise self.home.close_raises
        super().close()


class Home:
    """Where the connections come from: what is open, and whether another one can be had."""

    def __init__(self):
        self.open = []
        self.opened = 0
        self.most = 0
        self.error = None
        self.close_raises = None

    def connect(self):
        if self.error is not None:
            raise self.error
        peer = sqlite3.connect(":memory:", factory=Peer, check_same_thread=False)
        peer.home = self
        self.open.append(peer)
        self.opened += 1
        self.most = max(self.most, len(self.open))
        return peer


class PoolTest(testtools.TestCase):
    """A pool, and the home of its connections."""

    def setUp(self):
        super().setUp()
        self.log = self.useFixture(fixtures.FakeLogger(level=logging.WARNING))
        self.home = Home()
        self.clock = SteeredClock()
        self.capacity = Capacity(2, 1, 0.0)

    def pool(self, ping_idle_s=30.0, checks=None, **kw):
        engine = create_engine(
            "sqlite://",
            creator=self.home.connect,
            poolclass=BoundedPool,
            capacity=self.capacity,
            clock=self.clock,
            ping_idle_s=ping_idle_s,
            checks=checks or Checks(registry.backend_for("sqlite"), "pysqlite", Role.WRITER, 2.0),
            **kw,
        )
        engine.raw_connection().close()  # SQLAlchemy's own look at the first connection
        engine.pool.dispose()
        engine.pool = engine.pool.recreate()
        self.home.opened = self.home.most = 0
        return engine.pool

    def take(self, pool, count):
        return [pool.connect() for _ in range(count)]

    def give_back(self, *taken):
        for each in taken:
            each.close()
