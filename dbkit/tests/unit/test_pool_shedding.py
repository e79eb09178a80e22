"""A queue that is slow for too long, in virtual time: who is turned away, and what that saves."""

from __future__ import annotations

import heapq
import random
from collections import deque

import testtools

from dbkit.engines.capacity import Capacity
from dbkit.engines.shedding import Shedding
from dbkit.exceptions import PoolOverloaded, PoolTimeout
from dbkit.testing.servers.polling import wait_until
from dbkit.tests.steering import SteeredClock, Worker
from dbkit.tests.unit.test_pool_line import Role

_WAIT_S = 20.0


class TestJudgement(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.shedding = Shedding(0.05, 2.0)

    def serve(self, *waits, begin=0.0):
        """Serve someone every half a second, who has waited so long."""
        for number, waited_s in enumerate(waits):
            self.shedding.served(waited_s, begin + number / 2)
        return self.shedding.is_slow

    def test_a_burst_is_no_fault(self):
        self.assertFalse(self.serve(1.0, 1.0, 1.0))

    def test_an_interval_in_which_everyone_waited_is_slow(self):
        self.assertTrue(self.serve(1.0, 1.0, 1.0, 1.0, 1.0))

    def test_one_who_waited_less_than_the_target_makes_it_a_good_one(self):
        self.assertFalse(self.serve(1.0, 1.0, 0.04, 1.0, 1.0))

    def test_one_who_did_not_wait_ends_it(self):
        self.serve(1.0, 1.0, 1.0, 1.0, 1.0)
        self.shedding.passed_by()
        self.assertFalse(self.shedding.is_slow)
        self.assertEqual(0, self.shedding.overdue([0.0], 100.0))

    def test_a_good_interval_ends_it(self):
        self.serve(1.0, 1.0, 1.0, 1.0, 1.0, 0.01, 0.01, 0.01, 0.01)
        self.assertFalse(self.shedding.is_slow)

    def test_nobody_is_turned_away_while_it_is_not_slow(self):
        self.assertEqual(0, self.shedding.overdue([0.0, 1.0], 1.5))

    def test_those_who_waited_more_than_twice_the_target_are_turned_away(self):
        self.serve(1.0, 1.0, 1.0, 1.0, 1.0)
        self.assertEqual(2, self.shedding.overdue([1.0, 1.89, 1.91, 1.99], 2.0))
        self.assertEqual(4, self.shedding.overdue([1.0, 1.1, 1.2, 1.3], 2.0))
        self.assertEqual(0, self.shedding.overdue([], 2.0))

    def test_an_interval_in_which_nobody_is_served_is_slow_if_someone_waits(self):
        self.shedding.served(0.0, 0.0)
        self.assertEqual(0, self.shedding.overdue([0.5], 1.0))
        self.shedding.overdue([0.5], 2.5)  # ends the interval in which the first was served
        self.assertEqual(1, self.shedding.overdue([0.5], 5.0))


class Shop:
    """Servers that work off a queue as the pool does, and callers who leave it after a while, in virtual time."""

    def __init__(self, shedding, patience_s, servers=4, service_s=0.05):
        self.shedding = shedding
        self.patience_s = patience_s
        self.service_s = service_s
        self.idle = servers
        self.queue = deque()
        self.ends = []
        self.refused = self.in_vain = 0
        self.waits = []

    def run(self, arrivals):
        events = [(at, 0) for at in arrivals]
        heapq.heapify(events)
        while events:
            now, kind = heapq.heappop(events)
            if kind == 0:
                self.queue.append(now)
            else:
                self.idle += 1
            if self.shedding is not None:
                for _ in range(self.shedding.overdue(self.queue, now)):
                    self.queue.popleft()
                    self.refused += 1
            while self.idle and self.queue:
                came = self.queue.pop() if self.shedding and self.shedding.is_slow else self.queue.popleft()
                self.serve(now - came, now)
                heapq.heappush(events, (now + self.service_s, 1))

    def serve(self, waited_s, now):
        self.idle -= 1
        if self.shedding is not None:
            self.shedding.served(waited_s, now)
        if waited_s > self.patience_s:
            self.in_vain += 1  # the caller has gone; the work is done all the same, which nobody can know
        else:
            self.waits.append(waited_s)


class TestOverload(testtools.TestCase):
    """Four connections and blocks of 50 ms serve 80 callers a second, who go away after half a second."""

    def arrivals(self, per_s, seconds, begin=0.0):
        chance = random.Random(20260728)
        at, found = begin, []
        while at < begin + seconds:
            at += chance.expovariate(per_s)
            found.append(at)
        return found

    def good(self, shedding, arrivals):
        shop = Shop(shedding, 0.5)
        shop.run(arrivals)
        return shop

    def test_twice_too_many_callers_leave_the_work_that_can_be_done_of_use(self):
        shop = self.good(Shedding(0.05, 0.5), self.arrivals(160, 30))
        self.assertGreater(len(shop.waits), 0.85 * 80 * 30)
        self.assertLess(shop.in_vain, 0.1 * len(shop.waits))

    def test_without_it_all_the_work_is_for_those_who_have_gone(self):
        """The negative control: the same callers before a queue that is merely fair."""
        shop = self.good(None, self.arrivals(160, 30))
        self.assertLess(len(shop.waits), 0.1 * 80 * 30)
        self.assertGreater(shop.in_vain, 10 * len(shop.waits))

    def test_a_load_that_can_be_served_loses_nobody(self):
        shop = self.good(Shedding(0.05, 0.5), self.arrivals(60, 30))
        self.assertEqual((0, 0), (shop.refused, shop.in_vain))

    def test_after_an_overload_it_is_as_before(self):
        busy = self.arrivals(160, 10)
        calm = self.arrivals(40, 20, begin=busy[-1] + 0.5)
        shop = self.good(Shedding(0.05, 0.5), busy)
        before = shop.refused
        shop.run(calm)
        self.assertLess(shop.refused - before, 10)


class TestThePoolsLine(testtools.TestCase):
    """The line before the pools obeys: the clock that it judges by is the test's."""

    def setUp(self):
        super().setUp()
        self.clock = SteeredClock()
        self.shedding = Shedding(0.01, 1.0)
        self.capacity = Capacity(1, 0, _WAIT_S, shedding=self.shedding, clock=self.clock)
        self.role = Role(self.capacity)
        self.served = []

    def visit(self, name):
        self.role.take()
        self.served.append(name)
        self.role.give_back()

    def queue(self, *names):
        workers = []
        for name in names:
            before = self.capacity.waiting
            workers.append(Worker(self.visit, name))
            wait_until(lambda before=before: self.capacity.waiting == before + 1, _WAIT_S, f"{name} in the line")
        return workers

    def test_those_who_wait_too_long_are_turned_away_though_nothing_comes_back(self):
        self.role.take()
        (worker,) = self.queue("early")

        def is_empty():
            self.clock.time += 0.5
            return not self.capacity.waiting

        wait_until(is_empty, _WAIT_S, "an empty line")
        error = self.assertRaises(PoolOverloaded, worker.outcome)
        self.assertIsInstance(error, PoolTimeout)
        self.assertTrue(error.transient)
        for part in ("for 1 s", "less than 0.01 s", "more than 0.02 s"):
            self.assertIn(part, str(error))
        self.assertEqual(0, self.capacity.waiting)
        self.role.give_back()
        self.visit("after")
        self.assertEqual(["after"], self.served)

    def test_while_it_is_slow_who_came_last_is_served_first(self):
        self.role.take()
        self.shedding.served(1.0, self.clock.time)
        self.clock.time += 1
        self.shedding.served(1.0, self.clock.time)
        workers = self.queue("first", "second", "third")
        self.role.give_back()
        for worker in workers:
            worker.outcome()
        self.assertEqual("third", self.served[0])

    def test_without_it_everyone_waits(self):
        self.capacity = Capacity(1, 0, _WAIT_S, clock=self.clock)
        self.role = Role(self.capacity)
        self.role.take()
        (worker,) = self.queue("early")
        self.clock.time += 1000
        self.role.give_back()
        worker.outcome()
        self.assertEqual(["early"], self.served)
