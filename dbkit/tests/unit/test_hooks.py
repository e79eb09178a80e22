"""Hooks: the order in which they run, and what one that fails does to the others."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

import fixtures
import testtools

from dbkit.ambient import CURRENT, Frame, innermost
from dbkit.deadline import Deadline
from dbkit.exceptions import UsageError
from dbkit.plan import adrive, drive
from dbkit.transaction.hooks import Hooks, call, call_or_await, running
from dbkit.transaction.state import State


class TestHooks(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.logs = self.useFixture(fixtures.FakeLogger(level=logging.WARNING))
        self.hooks = Hooks()
        self.calls = []

    def hook(self, name):
        return lambda: self.calls.append(name)

    def failing(self, message):
        def hook():
            raise ValueError(message)

        return hook

    def run_hooks(self, committed):
        outcome = State.COMMITTED if committed else State.ROLLED_BACK
        drive(running(self.hooks.of(outcome, None), "COMMIT" if committed else "ROLLBACK", call))

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

    def test_what_is_no_exception_is_not_held_back_and_does_not_stop_the_others(self):
        class Another(BaseException):
            pass

        def interrupt(error):
            self.calls.append(error)
            raise error

        self.hooks.after_commit(lambda: interrupt(KeyboardInterrupt("first")))
        self.hooks.after_commit(self.hook("between"))
        self.hooks.after_commit(lambda: interrupt(Another()))
        self.hooks.after_commit(self.hook("last"))
        raised = self.assertRaises(KeyboardInterrupt, self.run_hooks, True)
        self.assertEqual(("first",), raised.args)
        self.assertEqual("between", self.calls[1])
        self.assertEqual("last", self.calls[3])
        self.assertIn("a hook after COMMIT was cut off by KeyboardInterrupt", self.logs.output)

    def test_those_of_an_unknown_end_are_given_the_token_and_no_others_run(self):
        self.hooks.after_commit(self.hook("commit"))
        self.hooks.after_rollback(self.hook("rollback"))
        self.hooks.after_unknown(self.calls.append)
        self.hooks.after_unknown(lambda token: self.calls.append((token, "again")))
        for _ in range(2):
            drive(running(self.hooks.of(State.UNKNOWN, "a token"), "an unknown COMMIT", call))
        self.assertEqual(["a token", ("a token", "again")], self.calls)

    def test_one_that_fails_is_named_as_it_was_registered(self):
        def ask_later(token):
            raise ValueError

        self.hooks.after_unknown(ask_later)
        drive(running(self.hooks.of(State.UNKNOWN, None), "an unknown COMMIT", call))
        self.assertIn("ask_later", self.logs.output)

    def test_what_is_no_function_is_refused_when_it_is_registered(self):
        async def notify():
            raise AssertionError("it was run")

        for register in (self.hooks.after_commit, self.hooks.after_rollback, self.hooks.after_unknown):
            for given in (None, "notify", notify()):
                error = self.assertRaises(UsageError, register, given)
                self.assertIn(f"{register.__name__}() takes a function", str(error))
                self.assertIn(type(given).__name__, str(error))

    def test_one_for_an_unknown_end_that_cannot_take_the_token_is_refused(self):
        def ask():
            raise AssertionError("it was run")

        self.assertIn("ask", str(self.assertRaises(UsageError, self.hooks.after_unknown, ask)))
        self.assertRaises(UsageError, self.hooks.after_unknown, lambda: None)
        for hook in (self.calls.append, lambda token: None, lambda *args: None, lambda token=None: None, partial(int)):
            self.hooks.after_unknown(hook)

    def test_while_they_run_no_block_stands_around_them_but_its_deadline_does(self):
        class Block(Frame):
            pass

        block = Block()
        block.key, block.source, block.owner, block.outer, block.is_open = "key", "source", 1, None, True
        block.deadline = Deadline(5.0, 5.0)
        self.hooks.after_commit(lambda: self.calls.append(innermost()))
        token = CURRENT.set(block)
        try:
            self.run_hooks(True)
            self.assertIs(block, innermost())
        finally:
            CURRENT.reset(token)
        (seen,) = self.calls
        self.assertEqual((None, None, block.deadline), (seen.key, seen.outer, seen.deadline))

    def test_a_coroutine_in_blocking_code_is_a_failure_that_is_told(self):
        async def hook():
            self.calls.append("never")

        self.hooks.after_commit(hook)
        self.run_hooks(True)
        self.assertEqual([], self.calls)
        self.assertIn("the block is a blocking one, which awaits nothing", self.logs.output)

    def test_those_since_a_mark_are_forgotten(self):
        self.hooks.after_commit(self.hook("before"))
        mark = self.hooks.mark()
        self.hooks.after_commit(self.hook("since"))
        self.hooks.after_rollback(self.hook("rollback"))
        self.hooks.after_unknown(self.calls.append)
        self.hooks.forget_since(mark)
        self.hooks.after_commit(self.hook("after"))
        self.run_hooks(True)
        self.assertEqual(["before", "after"], self.calls)
        self.run_hooks(False)
        self.assertEqual(["before", "after", "rollback"], self.calls)
        self.assertEqual([], self.hooks.of(State.UNKNOWN, None))

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
        asyncio.run(adrive(running(self.hooks.of(State.COMMITTED, None), "COMMIT", call_or_await)))
        self.assertEqual(["slow begins", "slow ends", "plain"], self.calls)
        self.assertIn("of mine", self.logs.output)
