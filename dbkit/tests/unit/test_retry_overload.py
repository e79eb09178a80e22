"""Overload, in virtual time: what retries do to a server that has too much to do, and what the budget makes of it.

Clients call at a steady rate; the server serves so many runs in each tenth of a second and turns the others away. The
loop, the waits and the budget are dbkit's own. The control waits as oslo.db does and has no budget.
"""

from __future__ import annotations

import heapq
import importlib.util
import itertools
import random
from functools import partial
from unittest import mock

import testtools

from dbkit.exceptions import DBTooManyConnections
from dbkit.retry.course import retrying
from dbkit.retry.verdict import judge
from dbkit.spec import Retrying
from dbkit.tests.steering import SteeredClock
from dbkit.transaction.factory import Factory
from dbkit.transaction.retrying import Terms

CAPACITY = 50
"""Runs that the server serves in a second."""

TICK_S = 0.1


class ByTheBook:
    """oslo.db's defaults: 20 runs after the first one; waits of 1, 2, 4, 8 and then 10 seconds; no budget."""

    function = "work"

    def __init__(self, clock):
        self.clock = clock

    def allows(self, retries):
        return retries <= 20

    def wait_s(self, kind, retry, previous_s):
        return min(2.0 ** (retry - 1), 10.0)

    def may_spend(self, kind):
        return True

    def hooks(self):
        return ()

    def note(self, event): ...

    def note_recovery(self): ...


class Attempt:
    """One run against the server of a world."""

    deadline = None

    def __init__(self, world):
        self._world = world

    def running(self):
        return (yield self._world.serve)

    def judge(self, error, outside):
        return judge(error, outside=outside)

    def cut_short(self, error): ...


class World:
    """A server, its clients, and the time."""

    def __init__(self, make_terms, rate, until_s, outage=(0.0, 0.0)):
        self.clock = SteeredClock()
        self.start = self.clock.time
        chance = random.Random(20260101)
        self.clock.uniform = chance.uniform
        self.terms, self._note_call = make_terms(self.clock)
        self._outage = outage
        self._served = {}
        self.asked = {}
        """Runs in each second."""
        self.pending = {}
        """Clients that have no answer yet, and when they came."""
        self.answered = {"served": 0, "turned away": 0}
        self.last_of_the_outage_s = 0.0
        self._events = []
        self._numbers = itertools.count()
        self._until = until_s
        for number in range(int(rate * until_s)):
            self._at(self.start + number / rate, partial(self._arrive, number))

    @property
    def now_s(self):
        return self.clock.time - self.start

    def _at(self, time, action):
        heapq.heappush(self._events, (time, next(self._numbers), action))

    def serve(self):
        """Serve a run, or turn it away."""
        second, tick = int(self.now_s), int(self.now_s / TICK_S)
        self.asked[second] = self.asked.get(second, 0) + 1
        begin, end = self._outage
        if begin <= self.now_s < end or self._served.get(tick, 0) >= CAPACITY * TICK_S:
            raise DBTooManyConnections
        self._served[tick] = self._served.get(tick, 0) + 1

    def _arrive(self, number):
        self.pending[number] = self.now_s
        self._note_call()
        self._go_on(number, retrying(self.terms, partial(Attempt, self), self._sleep), None)

    def _sleep(self, seconds):
        raise AssertionError("the world lets its clients sleep")

    def _go_on(self, number, plan, value):
        """Drive a client's plan until it sleeps or ends."""
        resume = partial(plan.send, value)
        while True:
            try:
                step = resume()
            except StopIteration:
                return self._leave(number, "served")
            except DBTooManyConnections:
                return self._leave(number, "turned away")
            if isinstance(step, partial) and step.func == self._sleep:
                self._at(self.clock.time + step.args[0], partial(self._go_on, number, plan, None))
                return None
            try:
                resume = partial(plan.send, step())
            except DBTooManyConnections as error:
                resume = partial(plan.throw, error)

    def _leave(self, number, how):
        came_s = self.pending.pop(number)
        self.answered[how] += 1
        if came_s < self._outage[1]:
            self.last_of_the_outage_s = self.now_s

    def run(self):
        while self._events and self._events[0][0] - self.start < self._until:
            self.clock.time, _, action = heapq.heappop(self._events)
            action()
        return self

    @property
    def amplification(self):
        """Runs for each call."""
        return sum(self.asked.values()) / (sum(self.answered.values()) + len(self.pending))

    def busiest(self, since_s):
        """Return the most runs in a second from then on."""
        return max(count for second, count in self.asked.items() if second >= since_s)


def with_budget(clock):
    factory = Factory("sqlite://", clock=clock)
    return Terms("work", Retrying(), factory), factory.retry_budget.note_call


def by_the_book(clock):
    return ByTheBook(clock), lambda: None


class TestAmplification(testtools.TestCase):
    """A server that is asked for too much, and one that serves nobody."""

    def test_the_budget_bounds_it(self):
        for rate, outage in ((100, (0, 0)), (200, (0, 0)), (100, (0, 30)), (200, (0, 30))):
            world = World(with_budget, rate, 30, outage).run()
            self.assertLessEqual(world.amplification, 1.2, (rate, outage))

    def test_without_it_retries_multiply_the_load(self):
        world = World(by_the_book, 1, 1000, (0, 1000)).run()
        self.assertGreater(world.amplification, 18)  # those who came last have not used up their runs yet
        overloaded = World(by_the_book, 100, 60).run()
        self.assertGreater(overloaded.amplification, 3)

    @testtools.skipUnless(importlib.util.find_spec("oslo_db"), "oslo.db is not installed: pip install oslo.db")
    def test_oslo_db_makes_21_runs_of_one_call(self):
        from oslo_db import api, exception

        runs, waits = [], []

        def work():
            runs.append(1)
            raise exception.DBConnectionError

        with mock.patch("oslo_db.api.time.sleep", waits.append):
            self.assertRaises(exception.DBConnectionError, api.wrap_db_retry(retry_on_disconnect=True)(work))
        self.assertEqual(21, len(runs))
        book = ByTheBook(SteeredClock())
        self.assertEqual([book.wait_s(None, retry, None) for retry in range(1, 21)], waits)


class TestRecovery(testtools.TestCase):
    """A server with a fifth of its capacity to spare, that serves nobody from second 20 to 30."""

    RATE, OUTAGE = 40, (20, 30)

    def test_after_an_outage_there_is_no_convoy(self):
        world = World(with_budget, self.RATE, 60, self.OUTAGE).run()
        self.assertLessEqual(world.busiest(self.OUTAGE[1]), CAPACITY * 1.2)
        self.assertLessEqual(world.last_of_the_outage_s, self.OUTAGE[1] + 12)
        late = sum(count for second, count in world.asked.items() if 45 <= second < 60)
        self.assertEqual(self.RATE * 15, late)

    def test_without_the_budget_there_is(self):
        world = World(by_the_book, self.RATE, 120, self.OUTAGE).run()
        self.assertGreater(world.busiest(self.OUTAGE[1]), CAPACITY * 2)
        self.assertGreater(world.last_of_the_outage_s, self.OUTAGE[1] + 20)
