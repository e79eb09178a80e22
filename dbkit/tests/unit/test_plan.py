"""Plans: one order of calls, driven in both colours."""

from __future__ import annotations

import asyncio

import testtools

from dbkit.plan import adrive, drive


class Stop(BaseException):
    """What is no Exception."""


def blocking(call):
    """Drive a plan whose steps are plain functions."""
    return drive(call)


def in_asyncio(plan):
    """Drive the same plan in asyncio, its steps made coroutine functions."""

    def awaitable():
        resume, value = plan.send, None
        while True:
            try:
                step = resume(value)
            except StopIteration as done:
                return done.value

            async def call(step=step):
                await asyncio.sleep(0)
                return step()

            try:
                resume, value = plan.send, (yield call)
            except BaseException as error:
                resume, value = plan.throw, error

    return asyncio.run(adrive(awaitable()))


class TestPlans(testtools.TestCase):
    def each_colour(self):
        return (blocking, in_asyncio)

    def test_the_value_of_a_plan_is_what_it_returns(self):
        def plan():
            return (yield lambda: 1) + (yield lambda: 2)

        for run in self.each_colour():
            self.assertEqual(3, run(plan()))

    def test_a_plan_without_steps_is_one(self):
        def plan():
            return 5
            yield

        for run in self.each_colour():
            self.assertEqual(5, run(plan()))

    def test_steps_are_made_in_order(self):
        for run in self.each_colour():
            calls = []

            def plan(calls=calls):
                for number in range(3):
                    yield lambda number=number: calls.append(number)

            run(plan())
            self.assertEqual([0, 1, 2], calls)

    def test_the_error_of_a_step_arrives_in_the_plan(self):
        def fail():
            raise KeyError("step")

        def plan():
            try:
                yield fail
            except KeyError as error:
                caught = error.args
            return (yield lambda: caught)

        for run in self.each_colour():
            self.assertEqual(("step",), run(plan()))

    def test_an_error_that_the_plan_does_not_handle_reaches_the_caller(self):
        for run in self.each_colour():
            for kind in (ValueError, Stop):
                calls = []

                def fail(kind=kind):
                    raise kind("step")

                def plan(calls=calls, fail=fail):
                    try:
                        yield fail
                    finally:
                        yield lambda: calls.append("tidied")

                error = self.assertRaises(kind, run, plan())
                self.assertEqual(("step",), error.args)
                self.assertEqual(["tidied"], calls)

    def test_an_error_of_the_plan_itself_reaches_the_caller(self):
        def plan():
            yield lambda: None
            raise ValueError("plan")

        for run in self.each_colour():
            self.assertEqual(("plan",), self.assertRaises(ValueError, run, plan()).args)

    def test_cancellation_runs_the_plans_finally(self):
        calls = []

        async def wait():
            await asyncio.get_running_loop().create_future()

        async def tidy():
            await asyncio.sleep(0)
            calls.append("tidied")

        def plan():
            try:
                yield wait
            finally:
                yield tidy

        async def work():
            task = asyncio.ensure_future(adrive(plan()))
            await asyncio.sleep(0)
            task.cancel()
            await task

        self.assertRaises(asyncio.CancelledError, asyncio.run, work())
        self.assertEqual(["tidied"], calls)
