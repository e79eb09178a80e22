"""What blocks take from a pool: SQLAlchemy's proxy, with all that listeners, logs and careless users expect of it."""

from __future__ import annotations

import gc
import logging
import sqlite3

import fixtures
from sqlalchemy import event, text
from sqlalchemy.pool import Pool

from dbkit import Database
from dbkit.engines.lease import Lease
from dbkit.exceptions import DBError
from dbkit.tests.unit.pool_case import PoolTest


class TestLease(PoolTest):
    def setUp(self):
        super().setUp()
        self.at = self.pool()

    def lend(self):
        lease = self.at.lend()
        self.assertIsInstance(lease, Lease)
        return lease

    def numbers(self):
        return self.at.checkedout(), self.at.checkedin()

    def test_it_is_one_connection_of_the_pool_and_goes_back_to_it(self):
        lease = self.lend()
        peer = lease.dbapi_connection
        self.assertEqual((1, 0), self.numbers())
        lease._close_special(transaction_reset=True)
        self.assertEqual((0, 1), self.numbers())
        self.assertIs(peer, self.lend().dbapi_connection)

    def test_who_keeps_it_has_nothing_in_hand_after_it_was_given_back(self):
        for end in (lambda lease: lease._close_special(transaction_reset=True), lambda lease: lease.close()):
            lease = self.lend()
            end(lease)
            self.assertIsNone(lease.dbapi_connection)
            self.assertFalse(lease.is_valid)
            self.assertEqual((0, 1), self.numbers())

    def test_what_was_not_ended_is_rolled_back_on_its_way_home(self):
        lease = self.lend()
        peer = lease.dbapi_connection
        before = peer.rollbacks
        lease.close()
        self.assertEqual(before + 1, peer.rollbacks)
        lease = self.lend()
        lease._close_special(transaction_reset=True)
        self.assertEqual(before + 1, peer.rollbacks)

    def test_one_that_is_lost_by_its_holder_is_rolled_back_and_comes_home(self):
        held = self.at.connect()  # SQLAlchemy 2.0 keeps its reference where it then looks for the lost one's
        self.addCleanup(held.close)
        lease = self.lend()
        peer = lease.dbapi_connection
        before = peer.rollbacks
        del lease
        gc.collect()
        self.assertEqual((1, 1), self.numbers())
        self.assertEqual(before + 1, peer.rollbacks)
        self.assertIs(peer, self.lend().dbapi_connection)

    def test_a_detached_one_leaves_its_place_in_the_pool_free(self):
        lease = self.lend()
        peer = lease.dbapi_connection
        lease.detach()
        self.assertEqual((0, 0), self.numbers())
        self.assertEqual(0, self.at.capacity.held)
        self.assertIs(peer, lease.dbapi_connection)
        del lease
        gc.collect()
        self.assertEqual((0, 0), self.numbers())

    def test_one_that_was_invalidated_is_replaced(self):
        for invalidate in (lambda lease: lease.invalidate(), lambda lease: self.at._invalidate(lease)):
            lease = self.lend()
            peer = lease.dbapi_connection
            invalidate(lease)
            self.assertIsNone(lease.dbapi_connection)
            again = self.lend()
            self.assertIsNot(peer, again.dbapi_connection)
            again.close()

    def test_one_that_is_to_be_replaced_softly_is_replaced_when_it_is_next_lent(self):
        lease = self.lend()
        peer = lease.dbapi_connection
        lease.invalidate(soft=True)
        lease._connection_record.starttime -= 1
        lease._close_special(transaction_reset=True)
        self.assertIsNot(peer, self.lend().dbapi_connection)

    def test_a_finalizer_of_the_connection_is_called(self):
        lease = self.lend()
        peer, told = lease.dbapi_connection, []
        lease._connection_record.finalize_callback.append(told.append)
        lease._close_special(transaction_reset=True)
        self.assertEqual([peer], told)


class TestWhoWatches(PoolTest):
    def test_listeners_are_told_of_a_block_whenever_they_came(self):
        db = Database("sqlite://")
        self.addCleanup(db.dispose)

        @db.writer
        def work():
            db.session.execute(text("SELECT 1"))

        work()
        for target in (db.engine.pool, Pool):
            for name in ("checkout", "checkin", "reset"):
                told = []

                def listener(*args, told=told):
                    told.append(args)

                event.listen(target, name, listener)
                try:
                    work()
                finally:
                    event.remove(target, name, listener)
                self.assertEqual(1, len(told), (target, name))
        work()

    def test_a_log_of_the_pool_tells_of_a_block(self):
        db = Database("sqlite://")
        self.addCleanup(db.dispose)

        @db.writer
        def work():
            db.session.execute(text("SELECT 1"))

        work()
        log = self.useFixture(fixtures.FakeLogger("dbkit.engines.pool", level=logging.DEBUG))
        work()
        for part in ("checked out from pool", "being returned to pool"):
            self.assertIn(part, log.output)

    def test_a_listener_at_the_checkout_may_refuse_the_connection(self):
        db = Database("sqlite://")
        self.addCleanup(db.dispose)

        @db.writer
        def work():
            return db.session.execute(text("SELECT 1")).scalar()

        self.assertEqual(1, work())

        def refuse(*args):
            raise sqlite3.OperationalError("not today")

        event.listen(db.engine.pool, "checkout", refuse)
        self.assertRaises(DBError, work)
        event.remove(db.engine.pool, "checkout", refuse)
        self.assertEqual(1, work())
        self.assertEqual(0, db.engine.pool.checkedout())
