"""Locks that another thread holds while the process forks: that thread is not in the child, which must not wait."""

from __future__ import annotations

import testtools

from dbkit.retry.budget import RetryBudget
from dbkit.retry.statistics import RetryCounters
from dbkit.tests.behaviours.forks import Child
from dbkit.transaction.replay.counts import Replays


class TestLocks(testtools.TestCase):
    def in_child(self, counter, work):
        """Return what the work returns in a child that was forked while the counter's lock was held."""
        with counter._lock:
            return Child(work).report()

    def test_the_retry_budget_is_free(self):
        budget = RetryBudget()
        budget.note_call()

        def work():
            budget.note_call()
            return budget.calls, budget.spend(True, 1.0)

        self.assertEqual((2, True), self.in_child(budget, work))

    def test_the_retry_counters_are(self):
        counters = RetryCounters()
        counters.note_recovery()
        self.assertEqual(1, self.in_child(counters, lambda: counters.read(0).succeeded_after_retry))

    def test_the_replay_counters_are(self):
        replays = Replays()
        replays.replayed()
        self.assertEqual(1, self.in_child(replays, lambda: replays.counts.replayed))
