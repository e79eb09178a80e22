"""Hooks: the order in which they run, and what one that fails does to the others."""

from __future__ import annotations

import asyncio
import logging

import fixtures
import testtools

from dbkit.plan import adrive, drive
from dbkit.transaction.hooks import Hooks, call, call_or_await


class TestHooks(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.logs = self.useFixture(fixtures.FakeLogger(level=logging.ERROR))
        self.hooks = Hooks()
        self.calls = []

    def hook(self, name):
        return lambda: self.calls.append(name)

    def failing(self, message):
        def hook():
            raise ValueError(message)

        return hook

    def run_hooks(self, committed):
        drive(self.hooks.running(committed, call))

    def test_those_of_the_end_that_came_run_and_the_others_do_not(self):
        for committed, expected in ((True, ["commit"]), (False, ["rollback"])):
            self.hooks, self.calls = Hooks(), []
            self.hooks.after_commit(self.hook("commit"))
            self.hooks.after_rollback(self.hook("rollback"))
            self.run_hooks(committed)
            self.assertEqual(expected, self.calls)

    def test_they_run_in_order_and_once(self):
        for number in range(5):
            self.hooks.after_commit(self.hook(number))
        self.run_hooks(True)
        self.run_hooks(True)
        self.assertEqual([0, 1, 2, 3, 4], self.calls)

    def test_the_same_function_registered_twice_runs_twice(self):
        hook = self.hook("same")
        self.hooks.after_commit(hook)
        self.hooks.after_commit(hook)
        self.run_hooks(True)
        self.assertEqual(["same", "same"], self.calls)

    def test_one_that_fails_is_logged_and_the_others_run(self):
        self.hooks.after_commit(self.hook(1))
        self.hooks.after_commit(self.failing("of mine"))
        self.hooks.after_commit(self.hook(2))
        self.run_hooks(True)
        self.assertEqual([1, 2], self.calls)
        self.assertIn("a hook after COMMIT failed", self.logs.output)
        self.assertIn("of mine", self.logs.output)

    def test_what_is_no_exception_is_not_held_back(self):
        def interrupt():
            raise KeyboardInterrupt

        self.hooks.after_rollback(interrupt)
        self.assertRaises(KeyboardInterrupt, self.run_hooks, False)

    def test_those_since_a_mark_are_forgotten(self):
        self.hooks.after_commit(self.hook("before"))
        mark = self.hooks.mark()
        self.hooks.after_commit(self.hook("since"))
        self.hooks.after_rollback(self.hook("rollback"))
        self.hooks.forget_since(mark)
        self.hooks.after_commit(self.hook("after"))
        self.run_hooks(True)
        self.assertEqual(["before", "after"], self.calls)
        self.run_hooks(False)
        self.assertEqual(["before", "after", "rollback"], self.calls)

    def test_marks_nest(self):
        outer = self.hooks.mark()
        self.hooks.after_commit(self.hook("outer"))
        inner = self.hooks.mark()
        self.hooks.after_commit(self.hook("inner"))
        self.hooks.forget_since(inner)
        self.hooks.forget_since(outer)
        self.run_hooks(True)
        self.assertEqual([], self.calls)

    def test_in_asyncio_coroutines_are_awaited_one_after_the_other(self):
        async def slow():
            self.calls.append("slow begins")
            await asyncio.sleep(0)
            self.calls.append("slow ends")

        async def fails():
            await asyncio.sleep(0)
            raise ValueError("of mine")

        self.hooks.after_commit(slow)
        self.hooks.after_commit(fails)
        self.hooks.after_commit(self.hook("plain"))
        asyncio.run(adrive(self.hooks.running(True, call_or_await)))
        self.assertEqual(["slow begins", "slow ends", "plain"], self.calls)
        self.assertIn("of mine", self.logs.output)
