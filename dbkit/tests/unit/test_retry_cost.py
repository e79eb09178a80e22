"""What it costs that a function may be run again: calls, counted, when nothing fails."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any

import testtools

import dbkit

PLAIN_CALLS = 12
RETRIED_CALLS = 40


def calls_of(function: Callable[..., Any], *args: Any) -> int:
    """Return how many functions a call of this one calls, itself included.

    It is the least of some counts, because the first call in a second also moves the budget on.
    """
    function(*args)
    gc.disable()  # the finalisers of what other tests have left are no part of the call
    try:
        return min(_counted(function, *args) for _ in range(5))
    finally:
        gc.enable()


def _counted(function: Callable[..., Any], *args: Any) -> int:
    count = 0

    def note(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        function(*args)
    finally:
        sys.setprofile(None)
    return count - 1  # setprofile


class TestCost(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.db = dbkit.Database("sqlite://")
        self.addCleanup(self.db.dispose)

    def make(self, manager):
        @manager
        def work(first, second):
            """Do nothing."""

        return work

    def test_a_plain_function_pays_nothing(self):
        self.assertLessEqual(calls_of(self.make(self.db.writer), 1, "a"), PLAIN_CALLS)

    def test_one_that_may_be_run_again_pays_little(self):
        self.assertLessEqual(calls_of(self.make(self.db.writer.retrying()), 1, "a"), RETRIED_CALLS)

    def test_inside_a_block_it_pays_a_look_at_the_chain(self):
        work = self.make(self.db.writer.retrying())
        plain = self.make(self.db.writer)

        def inside(function):
            with self.db.writer():
                return calls_of(function, 1, "a")

        self.assertLessEqual(inside(work) - inside(plain), 8)

    def test_what_cannot_change_is_not_looked_into(self):
        work = self.make(self.db.writer.retrying())
        self.assertEqual(calls_of(work, 1, "a"), calls_of(work, "a" * 1000, b"b"))
        self.assertEqual(calls_of(work, [1, 2, 3], 1), calls_of(work, ["a"] * 1000, 1))
        self.assertGreater(calls_of(work, [[1]] * 1000, 1), 1000)

    def test_a_call_that_needs_no_database_resolves_no_settings(self):
        self.make(self.db.writer.retrying())(1, 2)
        self.assertFalse(self.db.is_started)
