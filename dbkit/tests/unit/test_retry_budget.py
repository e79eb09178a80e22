"""How many runs after the first ones a database may be asked for, and what is counted."""

from __future__ import annotations

import testtools

from dbkit.exceptions import DBDeadlock, PoolTimeout
from dbkit.retry import GaveUp, Kind, RetryEvent
from dbkit.retry.budget import FLOOR, WINDOW_S, RetryBudget
from dbkit.retry.statistics import RetryCounters
from dbkit.tests.steering import SteeredClock, at_once


class TestRetryBudget(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.clock = SteeredClock()
        self.budget = RetryBudget(self.clock)

    def spend_all(self, share=0.1, is_conflict=False):
        """Return how many runs are allowed."""
        allowed = 0
        while self.budget.spend(is_conflict, share):
            allowed += 1
        return allowed

    def call(self, times):
        for _ in range(times):
            self.budget.note_call()

    def test_a_few_are_always_allowed(self):
        self.assertEqual(FLOOR, self.spend_all())
        self.assertEqual(0, self.spend_all())

    def test_beyond_them_it_is_a_share_of_the_calls(self):
        self.call(1000)
        self.assertEqual(FLOOR + 100, self.spend_all(share=0.1))

    def test_conflicts_have_a_budget_of_their_own(self):
        self.assertEqual(FLOOR, self.spend_all())
        self.call(10)
        self.assertEqual(FLOOR + 100, self.spend_all(share=10.0, is_conflict=True))

    def test_what_was_long_ago_is_forgotten(self):
        self.call(1000)
        self.spend_all()
        self.clock.time += WINDOW_S - 1
        self.assertEqual(0, self.spend_all())
        self.clock.time += 1
        self.assertEqual(FLOOR, self.spend_all())

    def test_seconds_are_forgotten_one_by_one(self):
        for _ in range(2 * WINDOW_S):
            self.call(100)
            self.clock.time += 1
        self.call(100)
        self.assertEqual(FLOOR + 100, self.spend_all(share=0.1))

    def test_a_long_pause_forgets_everything(self):
        self.call(1000)
        self.clock.time += 1e9
        self.assertEqual(FLOOR, self.spend_all())

    def test_a_clock_that_was_read_earlier_by_a_slower_thread_moves_nothing_back(self):
        self.clock.time += 5
        self.call(10)
        self.clock.time -= 1
        self.call(10)
        self.clock.time += 1
        self.assertEqual(FLOOR + 20, self.spend_all(share=1.0))

    def test_all_threads_share_it(self):
        def work(number):
            self.call(500)
            return sum(self.budget.spend(False, 0.0) for _ in range(FLOOR))

        self.assertEqual(FLOOR, sum(at_once(4, work)))
        self.assertEqual(2000, self.budget.calls)


class TestRetryCounters(testtools.TestCase):
    def test_conflicts_and_overload_are_counted_apart(self):
        counters = RetryCounters()
        for kind, gave_up in (
            (Kind.CONFLICT, None),
            (Kind.SERIALIZATION, None),
            (Kind.CONFLICT, GaveUp.EXHAUSTED),
            (Kind.OVERLOAD, GaveUp.BUDGET),
            (Kind.CONNECTION, GaveUp.DEADLINE),
            (None, GaveUp.OTHER_ERROR),
        ):
            error = DBDeadlock() if kind is not None and kind.is_conflict else PoolTimeout()
            counters.note(RetryEvent("work", 1, error, kind, 0.0 if gave_up is None else None, gave_up))
        counters.note_recovery()
        read = counters.read(calls=9)
        self.assertEqual((3, 2, 9, 1), (read.conflicts, read.overloads, read.calls, read.succeeded_after_retry))
        self.assertEqual((1, 1), (read.exhausted, read.out_of_time))
        self.assertEqual({Kind.CONFLICT: 1, Kind.SERIALIZATION: 1}, {k: n for k, n in read.retried.items() if n})
        self.assertEqual({Kind.OVERLOAD: 1}, {k: n for k, n in read.refused_by_budget.items() if n})
