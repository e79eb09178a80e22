"""``wrap_db_retry``: oslo.db's decorator with its faults mended, each beside oslo.db's own.

The controls run the same function under oslo.db, where that is installed.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import inspect
from unittest import mock

import testtools

import dbkit
from dbkit.ambient import CURRENT, Frame
from dbkit.exceptions import (
    ArgumentNotRepeatable,
    CommitUnknown,
    DBConnectionError,
    DBDeadlock,
    DBDuplicateEntry,
    DBLockTimeout,
    DBSerializationFailure,
    DBTooManyConnections,
    DeadlineExceeded,
    InvalidDecoration,
    InvalidSetting,
    PoolTimeout,
    RetryRequest,
    TransactionDoomed,
)
from dbkit.retry import GaveUp, Kind, wrap_db_retry
from dbkit.tests.steering import SteeredClock

HAS_OSLO = importlib.util.find_spec("oslo_db") is not None
needs_oslo = testtools.skipUnless(HAS_OSLO, "oslo.db is not installed: pip install oslo.db")


class Mine(Exception):
    """An error of the application."""


class Case(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.clock = SteeredClock()
        self.runs = 0
        self.addCleanup(CURRENT.set, CURRENT.get())

    def retry(self, **arguments):
        return wrap_db_retry(clock=self.clock, **arguments)

    def failing(self, *errors):
        """Return a function that raises these, one a run, and then returns how often it was run."""

        def work():
            self.runs += 1
            if self.runs <= len(errors):
                raise errors[self.runs - 1]
            return self.runs

        return work


class TestWhatIsRetried(Case):
    def test_nothing_is_but_requests(self):
        for error in (DBDeadlock(), DBConnectionError(), PoolTimeout(), Mine()):
            self.runs = 0
            self.assertRaises(type(error), self.retry()(self.failing(error)))
            self.assertEqual(1, self.runs)
        self.runs = 0
        self.assertEqual(2, self.retry()(self.failing(RetryRequest(Mine())))())

    def test_conflicts_are_if_it_is_asked_for(self):
        for error in (DBDeadlock(), DBSerializationFailure(), DBLockTimeout()):
            self.runs = 0
            self.assertEqual(2, self.retry(retry_on_deadlock=True)(self.failing(error))())
        self.runs = 0
        self.assertRaises(DBConnectionError, self.retry(retry_on_deadlock=True)(self.failing(DBConnectionError())))

    def test_lost_connections_are_if_it_is_asked_for(self):
        for error in (DBConnectionError(), DBTooManyConnections()):
            self.runs = 0
            self.assertEqual(2, self.retry(retry_on_disconnect=True)(self.failing(error))())
        for error in (DBDeadlock(), PoolTimeout()):
            self.runs = 0
            self.assertRaises(type(error), self.retry(retry_on_disconnect=True)(self.failing(error)))

    def test_others_are_if_the_checker_says_so(self):
        def checker(error):
            return isinstance(error, DBDuplicateEntry)

        self.assertEqual(2, self.retry(exception_checker=checker)(self.failing(DBDuplicateEntry()))())
        self.runs = 0
        self.assertRaises(Mine, self.retry(exception_checker=checker)(self.failing(Mine())))

    def test_a_doomed_transaction_is_judged_by_its_cause(self):
        error = TransactionDoomed()
        error.__cause__ = DBDeadlock()
        self.assertEqual(2, self.retry(retry_on_deadlock=True)(self.failing(error))())

    def test_an_unknown_commit_never_is(self):
        wrapped = self.retry(retry_on_disconnect=True, exception_checker=lambda error: True)
        self.assertRaises(CommitUnknown, wrapped(self.failing(CommitUnknown())))
        self.assertEqual(1, self.runs)

    @needs_oslo
    def test_oslo_db_retries_one(self):
        # it has no class for it: a COMMIT whose reply was lost is a connection that was lost
        from oslo_db import api, exception

        with mock.patch("oslo_db.api.time.sleep"):
            api.wrap_db_retry(retry_on_disconnect=True)(self.failing(exception.DBConnectionError()))()
        self.assertEqual(2, self.runs)


class TestHowOften(Case):
    def always(self, error=None):
        def work():
            self.runs += 1
            raise error or DBDeadlock

        return work

    def test_there_are_twenty_runs_after_the_first(self):
        error = self.assertRaises(DBDeadlock, self.retry(retry_on_deadlock=True)(self.always()))
        self.assertEqual(21, self.runs)
        self.assertIn("work() was run 21 times", error.__notes__[0])

    def test_none_is_none(self):
        error = self.assertRaises(DBDeadlock, self.retry(retry_on_deadlock=True, max_retries=0)(self.always()))
        self.assertEqual(1, self.runs)
        self.assertFalse(error.retries_exhausted)

    def test_minus_one_sets_no_limit(self):
        errors = [DBDeadlock()] * 100
        self.assertEqual(101, self.retry(retry_on_deadlock=True, max_retries=-1)(self.failing(*errors))())

    @needs_oslo
    def test_minus_one_means_no_retry_to_oslo_db(self):
        from oslo_db import api, exception

        wrapped = api.wrap_db_retry(retry_on_deadlock=True, max_retries=-1)(self.failing(exception.DBDeadlock()))
        self.assertRaises(exception.DBDeadlock, wrapped)

    def test_a_request_gives_its_error_to_the_caller_in_the_end(self):
        error = self.assertRaises(Mine, self.retry(max_retries=2)(self.always(RetryRequest(Mine("no")))))
        self.assertEqual((3, ("no",)), (self.runs, error.args))

    def test_retries_around_retries_do_not_multiply(self):
        inner = self.retry(retry_on_deadlock=True, max_retries=2)(self.always())
        self.assertRaises(DBDeadlock, self.retry(retry_on_deadlock=True, exception_checker=bool)(inner))
        self.assertEqual(3, self.runs)

    def test_wrong_numbers_are_refused(self):
        for wrong in ({"max_retries": -2}, {"max_retries": "3"}, {"retry_interval": -1}, {"max_retry_interval": None}):
            self.assertRaises(InvalidSetting, wrap_db_retry, **wrong)

    def test_a_checker_that_is_no_function_is_refused(self):
        error = self.assertRaises(InvalidSetting, wrap_db_retry, exception_checker=DBDeadlock())
        self.assertIn("exception_checker is a function", str(error))


class TestWaits(Case):
    def waits(self, chance, **arguments):
        self.clock.uniform = chance
        error = arguments.pop("error", DBConnectionError)
        flags = {"retry_on_disconnect": True, "retry_on_deadlock": True, "max_retries": 6}
        self.assertRaises(error, self.retry(**{**flags, **arguments})(self.failing(*[error()] * 7)))
        return self.clock.slept

    def test_steps_double_up_to_the_bound(self):
        self.assertEqual([1, 2, 4, 8, 10, 10], self.waits(lambda low, high: high))

    def test_half_of_a_step_is_waited_at_least_and_the_first_is_jittered_too(self):
        self.assertEqual([0.5, 1, 2, 4, 5, 5], self.waits(lambda low, high: low))

    def test_nearly_nothing_with_full_jitter(self):
        self.assertEqual([0.01, 0.02], self.waits(lambda low, high: low, jitter=True)[:2])

    def test_or_after_a_conflict(self):
        self.assertEqual([0.01, 0.02], self.waits(lambda low, high: low, error=DBDeadlock)[:2])

    def test_steps_need_not_double(self):
        self.assertEqual([1] * 6, self.waits(lambda low, high: high, inc_retry_interval=False))

    @needs_oslo
    def test_all_first_waits_are_the_same_in_oslo_db(self):
        from oslo_db import api, exception

        with mock.patch("oslo_db.api.time.sleep") as sleep:
            api.wrap_db_retry(retry_on_deadlock=True)(self.failing(exception.DBDeadlock()))()
        sleep.assert_called_once_with(1)


class TestInsideABlock(Case):
    def enter(self):
        frame = Frame()
        frame.is_open, frame.outer = True, None
        CURRENT.set(frame)
        return frame

    def test_it_steps_aside(self):
        self.enter()
        given = [1]
        wrapped = self.retry(retry_on_deadlock=True)(self.failing(DBDeadlock()))
        self.assertRaises(DBDeadlock, wrapped)
        self.assertEqual((1, []), (self.runs, self.clock.slept))
        self.assertIs(given, self.retry()(lambda value: value)(given))

    def test_no_run_begins_after_a_deadline(self):
        with dbkit.within(0.001):
            wrapped = self.retry(retry_on_deadlock=True, retry_interval=10)(self.failing(DBDeadlock()))
            error = self.assertRaises(DeadlineExceeded, wrapped)
        self.assertIsInstance(error.__cause__, DBDeadlock)
        self.assertEqual((1, []), (self.runs, self.clock.slept))

    def test_a_block_that_has_ended_is_none(self):
        self.enter().is_open = False
        self.assertEqual(2, self.retry(retry_on_deadlock=True)(self.failing(DBDeadlock()))())


class TestColours(Case):
    def test_coroutine_functions_are_run_again(self):
        async def work(names):
            self.runs += 1
            names.append(1)
            if self.runs < 3:
                raise DBDeadlock
            return names

        wrapped = self.retry(retry_on_deadlock=True)(work)
        self.assertTrue(inspect.iscoroutinefunction(wrapped))
        given = []
        self.assertEqual([1], asyncio.run(wrapped(given)))
        self.assertEqual((3, 2, []), (self.runs, len(self.clock.slept), given))

    @needs_oslo
    def test_oslo_db_does_not_run_them_again(self):
        from oslo_db import api, exception

        async def work():
            self.runs += 1
            raise exception.DBDeadlock

        self.assertRaises(exception.DBDeadlock, asyncio.run, api.wrap_db_retry(retry_on_deadlock=True)(work)())
        self.assertEqual(1, self.runs)

    def test_a_task_that_is_cancelled_while_it_waits_ends(self):
        async def work():
            self.runs += 1
            raise DBDeadlock

        async def main():
            waiting = asyncio.Event()

            class Clock(SteeredClock):
                async def asleep(self, seconds):
                    waiting.set()
                    await asyncio.Event().wait()

            task = asyncio.ensure_future(wrap_db_retry(retry_on_deadlock=True, clock=Clock())(work)())
            await waiting.wait()
            task.cancel()
            await task

        self.assertRaises(asyncio.CancelledError, asyncio.run, main())
        self.assertEqual(1, self.runs)

    def test_generator_functions_are_refused(self):
        def numbers():
            yield 1

        async def anumbers():
            yield 1

        for function in (numbers, anumbers, contextlib.contextmanager(numbers)):
            self.assertIn(
                "is a generator function", str(self.assertRaises(InvalidDecoration, wrap_db_retry(), function))
            )
        self.assertRaises(InvalidDecoration, wrap_db_retry(), Mine)
        self.assertRaises(InvalidDecoration, wrap_db_retry(), 1)

    def test_a_decorator_without_its_brackets_is_refused_with_what_to_write(self):
        error = self.assertRaises(InvalidDecoration, wrap_db_retry, self.test_generator_functions_are_refused)
        self.assertIn("was given to wrap_db_retry() as its argument; write the decorator with the brackets", str(error))

    def test_objects_that_can_be_called_are_functions(self):
        class Work:
            runs = 0

            async def __call__(self):
                self.runs += 1
                if self.runs == 1:
                    raise DBDeadlock
                return self.runs

        self.assertEqual(2, asyncio.run(self.retry(retry_on_deadlock=True)(Work())()))


class TestArguments(Case):
    def spoiling(self, options, names):
        """Change what it was given, and fail the first time."""
        self.runs += 1
        options.pop("size")
        names.append("b")
        if self.runs == 1:
            raise self.error
        return options, names

    def test_each_run_gets_them_as_they_were_given(self):
        self.error = DBDeadlock()
        options, names = {"size": 1}, ["a"]
        wrapped = self.retry(retry_on_deadlock=True)(self.spoiling)
        self.assertEqual(({}, ["a", "b"]), wrapped(options, names))
        self.assertEqual(({"size": 1}, ["a"]), (options, names))

    @needs_oslo
    def test_oslo_db_gives_the_second_run_what_the_first_has_left(self):
        from oslo_db import api, exception

        self.error = exception.DBDeadlock()
        with mock.patch("oslo_db.api.time.sleep"):
            wrapped = api.wrap_db_retry(retry_on_deadlock=True)(self.spoiling)
            self.assertRaises(KeyError, wrapped, {"size": 1}, ["a"])

    def test_what_can_be_given_only_once_is_refused(self):
        self.assertRaises(ArgumentNotRepeatable, self.retry()(lambda rows: list(rows)), iter([1]))
        self.assertEqual(0, self.runs)


class TestHooks(Case):
    def test_each_run_that_failed_is_told(self):
        events = []
        self.retry(retry_on_deadlock=True, on_retry=events.append)(
            self.failing(DBDeadlock(), DBSerializationFailure())
        )()
        self.assertEqual([(1, Kind.CONFLICT), (2, Kind.SERIALIZATION)], [(each.attempt, each.kind) for each in events])
        self.assertEqual(self.clock.slept, [each.delay_s for each in events])
        self.assertTrue(events[0].function.endswith("work"))

    def test_the_end_is_told(self):
        events = []
        wrapped = self.retry(retry_on_deadlock=True, max_retries=1, on_retry=[events.append])
        self.assertRaises(DBDeadlock, wrapped(self.failing(*[DBDeadlock()] * 3)))
        self.assertEqual([None, GaveUp.EXHAUSTED], [each.gave_up for each in events])
        self.assertRaises(Mine, wrapped(self.failing(*[DBDeadlock()] * 2, DBDeadlock(), Mine())))
        self.assertEqual((GaveUp.OTHER_ERROR, None), (events[-1].gave_up, events[-1].kind))

    def test_it_is_found_at_the_front_door(self):
        self.assertIs(wrap_db_retry, dbkit.wrap_db_retry)
