"""The pools and the limit that they share, over connections that need no server."""

from __future__ import annotations

import sqlite3

from dbkit.engines.capacity import Capacity
from dbkit.exceptions import PoolTimeout
from dbkit.tests.steering import Worker, at_once
from dbkit.tests.unit.pool_case import Peer, PoolTest


class TestLimit(PoolTest):
    def test_a_connection_is_used_again(self):
        pool = self.pool()
        for _ in range(10):
            pool.connect().close()
        self.assertEqual(1, self.home.opened)

    def test_the_last_one_given_back_is_the_first_one_taken(self):
        pool = self.pool()
        first, second = self.take(pool, 2)
        peers = first.dbapi_connection, second.dbapi_connection
        self.give_back(first, second)
        self.assertIs(peers[1], pool.connect().dbapi_connection)

    def test_no_more_than_size_and_overflow_are_open(self):
        pool = self.pool()
        taken = self.take(pool, 3)
        error = self.assertRaises(PoolTimeout, pool.connect)
        self.assertTrue(error.transient)
        for part in ("all 3 connections are in use", "within 0 s", "max_pool_size", "max_overflow"):
            self.assertIn(part, str(error))
        self.give_back(taken.pop())
        taken += self.take(pool, 1)
        self.assertEqual(3, self.home.most)
        self.give_back(*taken)

    def test_two_pools_share_the_limit(self):
        readers, writers = self.pool(), self.pool()
        taken = [*self.take(readers, 2), *self.take(writers, 1)]
        for pool in (readers, writers):
            self.assertRaises(PoolTimeout, pool.connect)
        self.give_back(*taken)
        self.assertEqual(3, self.home.most)

    def test_an_idle_connection_of_the_other_role_makes_room(self):
        readers, writers = self.pool(), self.pool()
        self.give_back(*self.take(readers, 3))
        self.assertEqual((2, 2), (readers.checkedin(), len(self.home.open)))
        self.give_back(*self.take(writers, 3))
        self.assertEqual(3, self.home.most)
        self.assertEqual(0, readers.checkedin())

    def test_the_one_that_was_idle_longest_makes_room(self):
        readers, writers = self.pool(), self.pool()
        first, second = self.take(readers, 2)
        oldest, newest = first.dbapi_connection, second.dbapi_connection
        self.give_back(first, second)
        taken = self.take(writers, 2)
        self.assertNotIn(oldest, self.home.open)
        self.assertIn(newest, self.home.open)
        self.give_back(*taken)

    def test_a_burst_of_one_role_over_the_idle_ones_of_the_other_keeps_the_limit(self):
        self.capacity = Capacity(4, 0, 20.0)
        for _ in range(25):
            readers, writers = self.pool(), self.pool()
            self.give_back(*self.take(readers, 4))
            self.home.most = len(self.home.open)
            self.give_back(*at_once(4, lambda number, pool=writers: pool.connect()))
            self.assertLessEqual(self.home.most, 4)
            writers.dispose()
            readers.dispose()
            self.assertEqual(0, self.capacity.held)

    def test_overflow_is_closed_when_it_comes_back(self):
        pool = self.pool()
        taken = self.take(pool, 3)
        self.assertEqual(3, len(self.home.open))
        self.give_back(*taken)
        self.assertEqual((2, 2), (len(self.home.open), pool.checkedin()))

    def test_without_a_bound_there_is_no_limit(self):
        for size, overflow, kept in ((1, -1, 1), (0, 0, 20)):
            self.capacity = Capacity(size, overflow, 0.0)
            pool = self.pool()
            self.give_back(*self.take(pool, 20))
            self.assertEqual((20, kept), (self.home.most, len(self.home.open)))
            pool.dispose()

    def test_threads_share_a_small_pool(self):
        self.capacity = Capacity(3, 0, 20.0)
        pool = self.pool()

        def work(number):
            for _ in range(200):
                pool.connect().close()

        at_once(8, work)
        self.assertLessEqual(self.home.most, 3)
        self.assertEqual((0, self.capacity.held), (pool.checkedout(), pool.checkedin()))
        self.give_back(*self.take(pool, 3))

    def test_who_waits_gets_the_connection_that_comes_back(self):
        self.capacity = Capacity(1, 0, 20.0)
        pool = self.pool()
        taken = pool.connect()
        worker = Worker(lambda: pool.connect().close())
        self.give_back(taken)
        worker.outcome()
        self.assertEqual(1, self.home.opened)


class TestFaults(PoolTest):
    def test_a_connection_that_cannot_be_opened_costs_no_place(self):
        pool = self.pool()
        for error in (sqlite3.OperationalError("refused"), KeyboardInterrupt()):
            self.home.error = error
            for _ in range(20):
                self.assertRaises(type(error), pool.connect)
        self.home.error = None
        self.assertEqual(0, self.capacity.held)
        self.give_back(*self.take(pool, 3))

    def test_one_that_was_invalidated_is_replaced(self):
        pool = self.pool()
        taken = pool.connect()
        taken.invalidate()
        self.give_back(taken, pool.connect())
        self.assertEqual((2, 1, 1), (self.home.opened, len(self.home.open), self.capacity.held))

    def test_one_that_cannot_be_replaced_costs_no_place(self):
        pool = self.pool()
        for _ in range(20):
            self.home.error = None
            taken = pool.connect()
            taken.invalidate()
            self.give_back(taken)
            self.home.error = sqlite3.OperationalError("refused")
            self.assertRaises(sqlite3.OperationalError, pool.connect)
        self.home.error = None
        self.give_back(*self.take(pool, 3))
        self.assertLessEqual(self.capacity.held, 2)

    def test_an_interrupted_close_of_an_overflow_costs_no_place(self):
        pool = self.pool()
        taken = self.take(pool, 3)
        self.give_back(taken.pop(), taken.pop())
        self.home.close_raises = KeyboardInterrupt()
        self.assertRaises(KeyboardInterrupt, self.give_back, taken.pop())
        self.home.close_raises = None
        self.assertIn("Exception closing connection", self.log.output)
        self.give_back(*self.take(pool, 3))

    def test_an_interrupted_close_of_an_evicted_one_costs_no_place(self):
        readers, writers = self.pool(), self.pool()
        self.give_back(*self.take(readers, 2))
        taken = self.take(writers, 1)
        self.home.close_raises = KeyboardInterrupt()
        self.assertRaises(KeyboardInterrupt, writers.connect)
        self.home.close_raises = None
        self.assertIn("Exception closing connection", self.log.output)
        self.give_back(*taken, *self.take(writers, 2))
        writers.dispose()
        readers.dispose()
        self.assertEqual(0, self.capacity.held)


class TestTestBeforeUse(PoolTest):
    def idle_for(self, seconds, ping_idle_s, dies=False):
        """Return how many statements a connection got at its next use, and whether it is the same."""
        pool = self.pool(ping_idle_s)
        peer = self.home.open[-1] if pool.connect().close() is None else None
        peer.is_dead = dies
        before = peer.statements
        self.clock.time += seconds
        taken = pool.connect()
        found = taken.dbapi_connection
        self.give_back(taken)
        return peer.statements - before, found is peer

    def test_one_that_was_used_a_moment_ago_is_not_tested(self):
        self.assertEqual((0, True), self.idle_for(29, 30.0))

    def test_one_that_was_idle_for_long_is_tested(self):
        self.assertEqual((1, True), self.idle_for(31, 30.0))

    def test_zero_tests_always(self):
        self.assertEqual((1, True), self.idle_for(0.001, 0.0))

    def test_below_zero_tests_never(self):
        self.assertEqual((0, True), self.idle_for(1e9, -1.0))

    def test_one_that_died_meanwhile_is_replaced_and_nobody_notices(self):
        self.assertEqual((0, False), self.idle_for(31, 30.0, dies=True))
        self.assertEqual(1, self.capacity.held)

    def test_once_one_was_found_dead_all_that_were_idle_then_are_tested_once(self):
        self.capacity = Capacity(4, 0, 0.0)
        readers, writers = self.pool(), self.pool()
        self.give_back(*self.take(readers, 2), *self.take(writers, 2))
        before = [peer.statements for peer in self.home.open]
        self.capacity.suspect()
        self.clock.time += 1
        for _ in range(3):
            self.give_back(*self.take(readers, 2), *self.take(writers, 2))
        self.assertEqual([1] * 4, [peer.statements - was for peer, was in zip(self.home.open, before, strict=True)])

    def test_an_interrupted_test_costs_no_place(self):
        pool = self.pool(0.0)

        class Interrupting(Peer):
            def cursor(self, *args, **kwargs):
                raise KeyboardInterrupt

        for _ in range(10):
            pool.connect().close()
            self.home.open[-1].__class__ = Interrupting
            self.clock.time += 1
            self.assertRaises(KeyboardInterrupt, pool.connect)
        self.give_back(*self.take(pool, 3))
        self.assertLessEqual(self.capacity.held, 2)


class TestDispose(PoolTest):
    def test_idle_ones_are_closed_and_those_in_use_when_they_come_back(self):
        pool = self.pool()
        idle, busy = self.take(pool, 2)
        self.give_back(idle)
        pool.dispose()
        self.assertEqual([busy.dbapi_connection], self.home.open)
        busy.cursor().execute("SELECT 1")
        self.give_back(busy)
        self.assertEqual(([], 0), (self.home.open, self.capacity.held))

    def test_the_pool_in_its_place_shares_the_limit_with_what_is_left(self):
        pool = self.pool()
        busy = self.take(pool, 2)
        pool.dispose()
        successor = pool.recreate()
        taken = self.take(successor, 1)
        self.assertRaises(PoolTimeout, successor.connect)
        self.give_back(*busy)
        self.give_back(*taken, *self.take(successor, 2))

    def test_the_status_has_the_numbers(self):
        pool = self.pool()
        taken = self.take(pool, 2)
        self.give_back(taken.pop())
        self.assertEqual(
            "1 in use, 1 idle; all pools of the database together hold 2, keep 2 and may hold 3", pool.status()
        )
        self.assertEqual((2, 1, 1), (pool.size(), pool.checkedin(), pool.checkedout()))
        self.capacity.limit = -1
        self.assertIn("may hold any number", pool.status())
        self.give_back(*taken)
