"""What a pool makes of signs that its server is unwell, over connections that need no server."""

from __future__ import annotations

import asyncio
import sqlite3
import threading

import testtools
from sqlalchemy.util import greenlet_spawn

from dbkit.backends import registry
from dbkit.backends.base import Role
from dbkit.deadline import LIMIT, Deadline
from dbkit.engines.capacity import Capacity
from dbkit.engines.checks import Checks, Finding, Refusal
from dbkit.exceptions import (
    DBConnectionError,
    DBNotPrimary,
    DBTooManyConnections,
    DeadlineExceeded,
    PoolTimeout,
)
from dbkit.testing.servers.polling import wait_until
from dbkit.tests.steering import SteeredClock, Worker
from dbkit.tests.unit.pool_case import PoolTest
from dbkit.tests.unit.test_pool_line import Role as Line

_WAIT_S = 20.0


class Answers(Checks):
    """Checks whose server can be demoted, and be full, at will."""

    is_primary = True
    asked = 0

    def look(self, connection, dialect, *, at_role):
        self.asked += 1
        if connection.is_dead:
            return Finding.DEAD
        return Finding.GOOD if self.is_primary or not at_role or connection.is_new else Finding.DEMOTED

    def prove(self, connection, dialect):
        if not self.is_primary:
            raise DBNotPrimary()

    def refusal(self, error):
        if isinstance(error, DBTooManyConnections):
            return Refusal.FULL
        return Refusal.AWAY if isinstance(error, DBConnectionError | DBNotPrimary) else Refusal.NONE


class HealthTest(PoolTest):
    def setUp(self):
        super().setUp()
        self.capacity = Capacity(40, 0, 0.0, clock=self.clock)
        self.checks = self.answers(Role.WRITER)

    def answers(self, role):
        return Answers(registry.backend_for("sqlite"), "pysqlite", role, 2.0)

    def filled(self, count, checks=None, **kw):
        """Return a pool with so many idle connections, and those."""
        pool = self.pool(checks=checks or self.checks, **kw)
        taken = self.take(pool, count)
        peers = [each.dbapi_connection for each in taken]
        for peer in peers:
            peer.is_new = False
        self.give_back(*taken)
        self.clock.time += 1
        self.home.opened = 0
        return pool, peers


class TestEvidence(HealthTest):
    def test_one_of_thirty_that_died_costs_one_connect(self):
        pool, peers = self.filled(30)
        peers[-1].is_dead = True
        self.capacity.suspect()
        self.give_back(*self.take(pool, 30))
        self.assertEqual((1, 30), (self.home.opened, self.checks.asked))

    def test_when_one_died_another_idle_one_takes_its_place(self):
        pool, peers = self.filled(30)
        peers[-1].is_dead = True
        self.capacity.suspect()
        taken = pool.connect()
        self.assertIs(peers[-2], taken.dbapi_connection)
        self.assertEqual(0, self.home.opened)

    def test_after_two_in_a_row_the_others_are_not_asked(self):
        pool, peers = self.filled(30)
        readers, _ = self.filled(3)
        for peer in peers:
            peer.is_dead = True
        self.capacity.suspect()
        self.give_back(pool.connect())
        self.assertEqual((2, 1, 1), (self.checks.asked, self.home.opened, self.capacity.held))
        self.assertEqual((1, 0), (len(self.home.open), readers.checkedin()))

    def test_two_that_do_not_follow_each_other_are_no_evidence(self):
        pool, peers = self.filled(30)
        peers[-1].is_dead = peers[-3].is_dead = True
        self.capacity.suspect()
        self.give_back(*self.take(pool, 28))
        self.assertEqual((0, 30), (self.home.opened, self.checks.asked))

    def test_a_server_that_is_away_is_half_of_the_evidence(self):
        pool, peers = self.filled(10)
        writers = self.filled(0)[0]
        for peer in peers:
            peer.is_dead = True
        self.home.error = DBConnectionError()
        self.assertRaises(DBConnectionError, writers.connect)
        self.assertEqual(10, pool.checkedin())
        self.assertRaises(DBConnectionError, pool.connect)
        self.assertEqual((0, 1), (pool.checkedin(), self.checks.asked))

    def test_a_server_that_is_full_says_nothing_of_the_connections_that_it_has_given(self):
        pool, peers = self.filled(10)
        writers = self.filled(0)[0]
        self.home.error = DBTooManyConnections()
        for _ in range(5):
            self.assertRaises(DBTooManyConnections, writers.connect)
        self.home.error = None
        self.assertIn(pool.connect().dbapi_connection, peers)
        self.assertEqual(0, self.checks.asked)

    def test_a_fault_that_is_not_the_servers_makes_nobody_wait(self):
        pool = self.filled(0)[0]
        self.home.error = sqlite3.OperationalError("a hook of the application")
        self.assertRaises(sqlite3.OperationalError, pool.connect)
        self.assertIsNone(self.capacity.openers.limit)

    def test_attempts_in_a_row_are_spaced(self):
        pool = self.filled(0)[0]
        self.home.error = DBConnectionError()
        for _ in range(4):
            self.assertRaises(DBConnectionError, pool.connect)
        self.assertEqual([0.03, 0.06, 0.12], [round(each, 3) for each in self.clock.slept])


class TestRoles(HealthTest):
    def test_a_writer_is_asked_for_its_role_before_it_is_used_again(self):
        pool, peers = self.filled(3)
        self.capacity.doubt_role()
        self.clock.time += 1
        self.give_back(*self.take(pool, 3))
        self.assertEqual((3, 0), (self.checks.asked, self.home.opened))
        self.clock.time += 1
        self.give_back(*self.take(pool, 3))
        self.assertEqual(3, self.checks.asked)

    def test_those_of_a_server_that_is_the_primary_no_more_are_dropped(self):
        pool, peers = self.filled(5)
        self.capacity.doubt_role()
        self.clock.time += 1
        self.checks.is_primary = False
        self.assertRaises(DBNotPrimary, pool.connect)
        self.assertEqual((2, 0), (self.checks.asked, pool.checkedin()))
        self.checks.is_primary = True
        self.assertNotIn(pool.connect().dbapi_connection, peers)

    def test_one_that_was_in_use_then_is_asked_too(self):
        pool, peers = self.filled(2)
        busy = pool.connect()
        self.capacity.doubt_role()
        self.clock.time += 1
        self.give_back(busy)
        pool.connect()
        self.assertEqual(1, self.checks.asked)

    def test_readers_are_replaced(self):
        readers, peers = self.filled(3, self.answers(Role.READER))
        self.capacity.doubt_role()
        self.clock.time += 1
        taken = self.take(readers, 2)
        self.assertEqual([], [each for each in taken if each.dbapi_connection in peers])
        self.assertEqual(2, self.home.opened)
        self.give_back(*taken)
        self.clock.time += 1
        self.take(readers, 2)
        self.assertEqual(2, self.home.opened)


class TestLifetimes(HealthTest):
    def replaced_after(self, **kw):
        """Return after how many seconds a connection is replaced."""
        pool, (peer,) = self.filled(1, ping_idle_s=-1.0, **kw)
        for second in range(1, 200):
            taken = pool.connect()
            is_same = taken.dbapi_connection is peer
            self.give_back(taken)
            if not is_same:
                return second
            self.clock.time += 1
        return None

    def test_one_lives_as_long_as_it_is_told(self):
        self.assertEqual(100, self.replaced_after(lifetime_s=100.0))

    def test_chance_shortens_its_life(self):
        # the steered clock draws the middle
        self.assertEqual(90, self.replaced_after(lifetime_s=100.0, lifetime_jitter=0.2))

    def test_below_zero_it_lives_for_ever(self):
        self.assertIsNone(self.replaced_after(lifetime_s=-1.0, lifetime_jitter=0.2))

    def test_those_that_were_opened_together_end_apart(self):
        class Dice(SteeredClock):
            drawn = 0

            def uniform(self, low, high):
                self.drawn += 1
                return high * self.drawn / 10

        self.clock = Dice()
        pool, peers = self.filled(10, ping_idle_s=-1.0, lifetime_s=100.0, lifetime_jitter=1.0)
        left = []
        for _ in range(10):
            self.clock.time += 10
            taken = self.take(pool, 10)
            left.append(len({each.dbapi_connection for each in taken} & set(peers)))
            self.give_back(*taken)
        self.assertEqual(sorted(left, reverse=True), left)
        self.assertGreater(len(set(left)), 5)


class TestBoundedTests(PoolTest):
    """The real checks, on a connection that answers when it is allowed to."""

    def setUp(self):
        super().setUp()
        self.capacity = Capacity(2, 0, 0.0, clock=self.clock)

    def silent(self, ping_timeout_s, answer=None):
        """Return a pool whose idle connection says nothing until it is interrupted, and an event for that.

        :param answer: what it says then; None: that it was interrupted.
        """
        checks = Checks(registry.backend_for("sqlite"), "pysqlite", Role.WRITER, ping_timeout_s)
        pool = self.pool(0.0, checks=checks)
        pool.connect().close()
        (peer,) = self.home.open
        cut = threading.Event()
        ping = pool._dialect.do_ping

        def wait(connection):
            if connection is not peer:
                return ping(connection)
            assert cut.wait(_WAIT_S)
            if answer is not None:
                return answer
            raise sqlite3.OperationalError("interrupted")

        pool._dialect.do_ping = wait
        type(peer).interrupt = lambda connection: cut.set()
        self.addCleanup(delattr, type(peer), "interrupt")
        self.clock.time += 1
        return pool, peer, cut

    def test_a_silent_one_is_given_up_and_replaced(self):
        pool, peer, cut = self.silent(0.05)
        self.assertIsNot(peer, pool.connect().dbapi_connection)
        self.assertTrue(cut.is_set())

    def test_one_that_answers_when_it_has_just_been_cut_is_replaced_too(self):
        pool, peer, _ = self.silent(0.05, answer=True)
        self.assertIsNot(peer, pool.connect().dbapi_connection)

    def test_its_late_answer_does_not_stand_for_the_deadline(self):
        pool, _, _ = self.silent(_WAIT_S, answer=True)
        token = LIMIT.set(Deadline.after(0.05, SteeredClock()))
        self.addCleanup(LIMIT.reset, token)
        self.assertRaises(DeadlineExceeded, pool.connect)

    def test_a_deadline_bounds_it_too(self):
        pool, peer, cut = self.silent(_WAIT_S)
        token = LIMIT.set(Deadline.after(0.05, SteeredClock()))
        self.addCleanup(LIMIT.reset, token)
        self.assertRaises(DeadlineExceeded, pool.connect)
        self.assertTrue(cut.is_set())
        self.assertEqual((0, []), (self.capacity.held, self.home.open))

    def test_without_a_bound_it_waits_on(self):
        """The negative control."""
        pool, peer, cut = self.silent(3600.0)
        worker = Worker(pool.connect)
        worker.join(0.2)
        self.assertTrue(worker.is_alive())
        cut.set()
        worker.outcome()


class TestDeadlines(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.capacity = Capacity(1, 0, 3600.0)
        self.role = Line(self.capacity)
        self.role.take()

    def hurried(self):
        token = LIMIT.set(Deadline.after(0.05))
        try:
            self.role.take()
        finally:
            LIMIT.reset(token)

    def test_who_has_little_time_waits_no_longer(self):
        error = self.assertRaises(DeadlineExceeded, Worker(self.hurried).outcome)
        self.assertIn("0.05 s", str(error))
        self.assertEqual(0, self.capacity.waiting)

    def test_a_task_does_the_same(self):
        self.capacity = Capacity(1, 0, 3600.0, in_tasks=True)
        self.role = Line(self.capacity)

        async def body():
            await greenlet_spawn(self.role.take)
            await greenlet_spawn(self.hurried)

        self.assertRaises(DeadlineExceeded, asyncio.run, body())


class TestWaitingForOneself(PoolTest):
    """Those who hold a connection and ask for another one, when there is none."""

    def setUp(self):
        super().setUp()
        self.capacity = Capacity(2, 0, 3600.0)

    def hold(self, pool):
        taken = pool.connect()
        taken._connection_record.holder = threading.get_ident()
        return taken

    def test_a_thread_that_holds_them_all_is_told_at_once(self):
        pool, other = self.pool(), self.pool()
        taken = [self.hold(pool), self.hold(other)]
        error = self.assertRaises(PoolTimeout, pool.connect)
        for part in ("all 2 connections are in use", "waits for another", "held for", "MainThread"):
            self.assertIn(part, str(error))
        self.give_back(*taken)
        self.assertEqual(0, self.capacity.waiting)

    def test_threads_that_wait_for_each_other_are_told_and_one_of_them_goes_on(self):
        pool = self.pool()
        both = threading.Barrier(2)

        def nest():
            outer = self.hold(pool)
            try:
                both.wait(_WAIT_S)
                self.hold(pool).close()
            finally:
                outer.close()

        workers = [Worker(nest), Worker(nest)]
        errors = []
        for worker in workers:
            try:
                worker.outcome()
            except PoolTimeout as error:
                errors.append(error)
        self.assertEqual(1, len(errors))

    def test_who_can_be_served_by_another_waits(self):
        pool = self.pool()
        mine = self.hold(pool)
        go = threading.Event()

        def other():
            theirs = self.hold(pool)
            assert go.wait(_WAIT_S)
            theirs.close()

        worker = Worker(other)
        wait_until(lambda: pool.checkedout() == 2, _WAIT_S, "both in use")
        threading.Timer(0.05, go.set).start()
        self.give_back(self.hold(pool), mine)
        worker.outcome()

    def test_one_that_nobody_has_said_to_hold_may_come_back(self):
        pool = self.pool()
        taken = [self.hold(pool), pool.connect()]
        threading.Timer(0.05, taken.pop().close).start()
        self.give_back(self.hold(pool), *taken)
