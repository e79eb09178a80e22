"""How long to wait before a function is run again."""

from __future__ import annotations

import random

import testtools

from dbkit.retry.policy import Policy, decorrelated, doubling
from dbkit.retry.verdict import Kind


def lowest(low, high):
    return low


def highest(low, high):
    return high


class TestDecorrelatedJitter(testtools.TestCase):
    def test_the_first_wait_is_spread_over_the_whole_interval(self):
        self.assertEqual((0.01, 1.0), (decorrelated(1.0, 10, None, lowest), decorrelated(1.0, 10, None, highest)))

    def test_the_next_ones_grow_out_of_the_one_before(self):
        self.assertEqual((0.01, 1.5), (decorrelated(1.0, 10, 0.5, lowest), decorrelated(1.0, 10, 0.5, highest)))

    def test_none_exceeds_the_bound(self):
        self.assertEqual(10, decorrelated(1.0, 10, 9.0, highest))

    def test_those_who_failed_together_come_back_apart(self):
        chance = random.Random(7)
        waits = [decorrelated(1.0, 10, None, chance.uniform) for _ in range(1000)]
        fullest = max(sum(1 for each in waits if tenth <= each * 10 < tenth + 1) for tenth in range(10))
        self.assertLess(fullest, 150)


class TestDoubling(testtools.TestCase):
    def test_the_step_doubles_up_to_the_bound(self):
        steps = [doubling(1, 10, retry, True, 0.5, highest) for retry in range(1, 7)]
        self.assertEqual([1, 2, 4, 8, 10, 10], steps)

    def test_it_need_not(self):
        self.assertEqual([1, 1], [doubling(1, 10, retry, False, 0.5, highest) for retry in (1, 9)])

    def test_a_part_of_it_is_always_waited(self):
        self.assertEqual([0.5, 1], [doubling(1, 10, retry, True, 0.5, lowest) for retry in (1, 2)])

    def test_no_number_of_runs_is_too_many(self):
        self.assertEqual(10, doubling(1, 10, 10**9, True, 0.5, highest))


class TestPolicy(testtools.TestCase):
    def test_there_are_as_many_runs_as_it_says(self):
        self.assertEqual([True, True, False], [Policy(max_retries=2).allows(retries) for retries in (1, 2, 3)])
        self.assertFalse(Policy(max_retries=0).allows(1))
        self.assertTrue(Policy(max_retries=-1).allows(10**9))

    def test_a_serialization_failure_is_answered_at_once_the_first_time(self):
        policy = Policy()
        self.assertEqual(0.0, policy.wait_s(Kind.SERIALIZATION, 1, None, highest))
        self.assertEqual(0.02, policy.wait_s(Kind.SERIALIZATION, 2, None, highest))

    def test_each_kind_has_its_interval(self):
        policy = Policy(interval_s=3, conflict_interval_s=0.5)
        found = {kind: policy.wait_s(kind, 2, None, highest) for kind in Kind}
        self.assertEqual({kind: 3 if kind in (Kind.CONNECTION, Kind.OVERLOAD) else 0.5 for kind in Kind}, found)

    def test_waits_need_not_grow(self):
        self.assertEqual(1.0, Policy(grows=False).wait_s(Kind.CONNECTION, 5, 8.0, highest))
