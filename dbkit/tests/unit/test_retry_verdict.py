"""Which errors are worth another run: the table, and what no table may overrule."""

from __future__ import annotations

import testtools

import dbkit.exceptions
from dbkit.exceptions import (
    CommitUnknown,
    DBConnectionError,
    DBConsistencyError,
    DBDeadlock,
    DBDuplicateEntry,
    DBError,
    DBLockTimeout,
    DBNotPrimary,
    DBQueryCanceled,
    DBReadOnly,
    DBSerializationFailure,
    DBTooManyConnections,
    DeadlineExceeded,
    ModeConflict,
    Outcome,
    PoolOverloaded,
    PoolTimeout,
    ReplayDiverged,
    RetryRequest,
    StaleRow,
    TransactionDoomed,
)
from dbkit.retry.verdict import Kind, has_given_up, judge

EXPECTED = {
    DBSerializationFailure: Kind.SERIALIZATION,
    StaleRow: Kind.SERIALIZATION,
    DBConsistencyError: Kind.SERIALIZATION,
    DBDeadlock: Kind.CONFLICT,
    DBLockTimeout: Kind.CONFLICT,
    ReplayDiverged: Kind.CONFLICT,
    DBConnectionError: Kind.CONNECTION,
    DBNotPrimary: Kind.CONNECTION,
    DBTooManyConnections: Kind.OVERLOAD,
    PoolTimeout: Kind.OVERLOAD,
    PoolOverloaded: Kind.OVERLOAD,
}


class Mine(Exception):
    """An error of the application."""


def doomed(cause, **fields):
    """Return what is raised in a transaction that was lost to something."""
    error = TransactionDoomed(**fields)
    error.__cause__ = error.orig = cause
    return error


def raised_while(handled, error, hides=False):
    """Return an error as it is when it was raised while another one was handled."""
    try:
        try:
            raise handled
        except BaseException:
            if hides:
                raise error from None
            raise error  # noqa: B904 - a careless handler is what is meant
    except BaseException as caught:
        return caught


class TestTheTable(testtools.TestCase):
    def test_every_class_has_the_kind_that_is_expected(self):
        for name in dbkit.exceptions.__all__:
            cls = getattr(dbkit.exceptions, name)
            if issubclass(cls, DBError):
                with self.subTest(name):
                    self.assertEqual(EXPECTED.get(cls), judge(cls()))

    def test_every_transient_class_is_worth_another_run_and_no_other(self):
        for name in dbkit.exceptions.__all__:
            cls = getattr(dbkit.exceptions, name)
            if issubclass(cls, DBError):
                self.assertEqual(cls.transient, judge(cls()) is not None, name)

    def test_a_code_that_passes_is_a_conflict_whatever_its_class(self):
        self.assertEqual(Kind.CONFLICT, judge(DBError(transient=True)))

    def test_a_code_that_does_not_pass_is_none_whatever_its_class(self):
        self.assertIsNone(judge(DBDeadlock(transient=False)))

    def test_conflicts_and_overload_are_told_apart(self):
        self.assertEqual({Kind.CONNECTION, Kind.OVERLOAD}, {kind for kind in Kind if not kind.is_conflict})

    def test_a_request_is_followed(self):
        self.assertEqual(Kind.REQUESTED, judge(RetryRequest(Mine())))

    def test_what_is_no_error_of_a_database_is_none(self):
        for error in (Mine(), KeyboardInterrupt(), GeneratorExit(), ModeConflict()):
            self.assertIsNone(judge(error))


class TestUnknownOutcomes(testtools.TestCase):
    def test_an_unknown_outcome_is_never_run_again(self):
        for error in (CommitUnknown(), CommitUnknown(transient=True), DBDeadlock(outcome=Outcome.UNKNOWN)):
            self.assertIsNone(judge(error))
            self.assertIsNone(judge(error, also=(Exception,)))

    def test_nor_is_one_that_is_committed(self):
        self.assertIsNone(judge(DBConnectionError(outcome=Outcome.COMMITTED)))

    def test_nor_is_an_error_that_came_of_one(self):
        for hides in (False, True):
            self.assertIsNone(judge(raised_while(CommitUnknown(), DBDeadlock(), hides)))
            self.assertIsNone(judge(raised_while(CommitUnknown(), Mine(), hides), also=(Mine,)))

    def test_in_a_group_of_errors_it_is_found(self):
        group = ExceptionGroup("tasks", [Mine(), ExceptionGroup("more", [CommitUnknown()])])
        self.assertIsNone(judge(group, also=(ExceptionGroup,)))

    def test_one_that_was_handled_before_the_call_does_not_count(self):
        before = CommitUnknown()
        self.assertEqual(Kind.CONFLICT, judge(raised_while(before, DBDeadlock()), outside=before))

    def test_without_time_there_is_no_further_run(self):
        self.assertIsNone(judge(DeadlineExceeded(transient=True)))
        self.assertIsNone(judge(DBQueryCanceled(transient=True)))


class TestOptingIn(testtools.TestCase):
    def test_a_class_that_is_named_is_worth_another_run(self):
        self.assertEqual(Kind.OPTED_IN, judge(DBDuplicateEntry(), also=(DBDuplicateEntry,)))
        self.assertEqual(Kind.OPTED_IN, judge(Mine(), also=(DBReadOnly, Mine)))
        self.assertIsNone(judge(DBDuplicateEntry(), also=(Mine,)))


class TestDoom(testtools.TestCase):
    def test_a_doomed_transaction_is_judged_by_what_it_was_lost_to(self):
        self.assertEqual(Kind.SERIALIZATION, judge(doomed(DBSerializationFailure())))
        self.assertEqual(Kind.CONNECTION, judge(doomed(doomed(DBConnectionError()))))
        self.assertIsNone(judge(doomed(DBDuplicateEntry(), transient=True)))
        self.assertIsNone(judge(doomed(None, transient=True)))

    def test_an_error_of_the_callers_that_came_of_it_is_judged_by_it(self):
        doom = DBDeadlock()
        for hides in (False, True):
            self.assertEqual(Kind.CONFLICT, judge(raised_while(doom, Mine(), hides), doom=doom))

    def test_one_in_a_group_is_found(self):
        doom = DBDeadlock()
        self.assertEqual(Kind.CONFLICT, judge(ExceptionGroup("tasks", [doom, Mine()]), doom=doom))

    def test_one_that_did_not_come_of_it_is_not(self):
        self.assertIsNone(judge(Mine(), doom=DBDeadlock()))
        self.assertIsNone(judge(raised_while(DBDeadlock(), Mine()), doom=DBDeadlock()))
        self.assertIsNone(judge(raised_while(DBDeadlock(), Mine())))

    def test_a_deadline_that_has_passed_is_final(self):
        doom = DBDeadlock()
        self.assertIsNone(judge(raised_while(doom, DeadlineExceeded()), doom=doom))


class TestGivingUp(testtools.TestCase):
    def test_what_was_retried_in_vain_is_not_retried_around_it(self):
        for name in ("retries_exhausted", "retry_budget_exhausted"):
            error = DBDeadlock()
            self.assertFalse(has_given_up(error))
            setattr(error, name, True)
            self.assertTrue(has_given_up(error))
            self.assertIsNone(judge(error, also=(DBDeadlock,)))
