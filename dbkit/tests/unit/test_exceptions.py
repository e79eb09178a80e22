"""Errors keep what they carry: through pickle, through copy, and under oslo.db's constructors."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import testtools

import dbkit.exceptions
from dbkit.exceptions import (
    CommitUnknown,
    DBConstraintError,
    DBDeadlock,
    DBDuplicateEntry,
    DBError,
    DBNonExistentConstraint,
    DBNonExistentDatabase,
    DBNonExistentTable,
    DBReferenceError,
    DriverError,
    ModeConflict,
    Outcome,
    RetryRequest,
    TransactionDoomed,
    UsageError,
)

_PAGES = Path(__file__).parents[3] / "doc" / "source" / "errors"


class Unpicklable(Exception):
    """A driver's exception that cannot be pickled, as those that hold a connection."""

    def __reduce__(self):
        raise TypeError("it holds a connection")


class Stubborn(Exception):
    """A driver's exception that can be pickled and not be read again."""

    def __init__(self, number, text):
        super().__init__(f"{number}: {text}")


def errors():
    """Return every public class of errors, aliases aside."""
    named = [(name, getattr(dbkit.exceptions, name)) for name in dbkit.exceptions.__all__]
    return [cls for name, cls in named if issubclass(cls, DBError) and cls.__name__ == name]


def filled(cls, orig):
    """Return an error of the class in which every field is set."""
    fields = {name: f"the {name}" for name in cls.fields()}
    fields |= {"inner_exception": orig, "cause": KeyError("first"), "columns": ["a", "b"], "errno": 7}
    fields |= {"outcome": Outcome.ABORTED, "transient": True}
    error = cls.classify("what happened", **fields)
    error.__cause__ = orig
    return error


class PickleTest(testtools.TestCase):
    def assert_same(self, cls, error, twin):
        self.assertIs(cls, type(twin))
        self.assertEqual(str(error), str(twin))
        for name in cls.fields() - {"inner_exception", "cause"}:
            self.assertEqual(getattr(error, name), getattr(twin, name), f"{cls.__name__}.{name}")

    def test_every_class_survives_pickling_with_all_its_fields(self):
        for cls in errors():
            error = filled(cls, ValueError("orig"))
            twin = pickle.loads(pickle.dumps(error))
            self.assert_same(cls, error, twin)
            self.assertEqual("orig", str(twin.orig))
            self.assertIs(twin.orig, twin.__cause__)
            self.assertEqual(("first",), twin.cause.args)

    def test_every_class_survives_pickling_when_the_drivers_exception_does_not(self):
        for cls in errors():
            for orig in (Unpicklable("no way"), Stubborn(1, "no way")):
                error = filled(cls, orig)
                twin = pickle.loads(pickle.dumps(error))
                self.assert_same(cls, error, twin)
                self.assertIsInstance(twin.orig, DriverError)
                self.assertIn("no way", str(twin.orig))
                self.assertIn(type(orig).__name__, str(twin.orig))
                self.assertIs(twin.orig, twin.__cause__)

    def test_every_class_survives_as_it_is_made_by_hand(self):
        for cls in errors():
            error = cls()
            self.assert_same(cls, error, pickle.loads(pickle.dumps(error)))

    def test_what_was_added_later_is_kept(self):
        error = CommitUnknown()
        error.token = "8c1f"
        self.assertEqual("8c1f", pickle.loads(pickle.dumps(error)).token)

    def test_a_cause_that_is_not_the_drivers_exception_is_kept_as_the_cause(self):
        error = TransactionDoomed()
        error.__cause__ = DBDeadlock(Unpicklable("no way"))
        twin = pickle.loads(pickle.dumps(error))
        self.assertIsNone(twin.orig)
        self.assertIsInstance(twin.__cause__, DBDeadlock)
        self.assertIsInstance(twin.__cause__.orig, DriverError)

    def test_a_chain_of_errors_is_pickled_in_a_time_that_grows_with_its_length(self):
        error = DBError()
        for _ in range(60):
            outer = TransactionDoomed()
            outer.__cause__ = error
            error = outer
        self.assertIsInstance(pickle.loads(pickle.dumps(error)), TransactionDoomed)

    def test_pickled_under_its_public_name(self):
        self.assertIn(b"dbkit.exceptions\n", pickle.dumps(DBDeadlock(), protocol=0))


class CopyTest(testtools.TestCase):
    def test_a_copy_has_the_same_fields_and_the_drivers_exception_itself(self):
        for cls in errors():
            orig = Unpicklable("no way")
            error = filled(cls, orig)
            twin = copy.copy(error)
            self.assertEqual(vars(error), vars(twin))
            self.assertIs(orig, twin.orig)
            self.assertIs(orig, twin.__cause__)
            self.assertEqual(str(error), str(twin))

    def test_a_copys_columns_are_its_own(self):
        error = DBDuplicateEntry(["a"])
        copy.copy(error).columns.append("b")
        self.assertEqual(["a"], error.columns)


class ConstructorsTest(testtools.TestCase):
    """Code written for oslo.db builds errors by hand, in its tests above all."""

    def test_error_around_an_exception_has_its_text(self):
        orig = ValueError("boom")
        error = DBError(orig)
        self.assertEqual("boom", str(error))
        self.assertIs(orig, error.inner_exception)
        self.assertIsNone(error.cause)

    def test_error_with_a_cause(self):
        cause = KeyError()
        self.assertIs(cause, DBError(ValueError(), cause=cause).cause)

    def test_duplicate_entry(self):
        error = DBDuplicateEntry(columns=["a"], value="x")
        self.assertEqual((["a"], "x", None), (error.columns, error.value, error.inner_exception))
        self.assertEqual(["a"], DBDuplicateEntry(["a"], ValueError()).columns)
        self.assertEqual([], DBDuplicateEntry().columns)

    def test_reference_error(self):
        error = DBReferenceError("t", "fk", "k", "kt")
        self.assertEqual(("t", "fk", "k", "kt"), (error.table, error.constraint, error.key, error.key_table))

    def test_constraint_error(self):
        error = DBConstraintError("t", "ck")
        self.assertEqual(("t", "ck"), (error.table, error.check_name))

    def test_errors_about_what_does_not_exist(self):
        self.assertEqual("t", DBNonExistentTable("t").table)
        self.assertEqual("d", DBNonExistentDatabase("d").database)
        self.assertEqual(
            ("t", "c"), (DBNonExistentConstraint("t", "c").table, DBNonExistentConstraint("t", "c").constraint)
        )

    def test_deadlock_without_arguments(self):
        self.assertTrue(DBDeadlock().transient)
        self.assertIs(Outcome.ROLLED_BACK, DBDeadlock().outcome)

    def test_no_text_made_from_fields_holds_a_value(self):
        self.assertNotIn("secret", str(DBDuplicateEntry(["a"], value="secret")))

    def test_errors_of_use_are_builtin_errors_too(self):
        self.assertIsInstance(ModeConflict("no"), TypeError)
        self.assertEqual("no", str(ModeConflict("no")))

    def test_a_request_for_another_run_takes_an_exception(self):
        for wrong in ("in use", ValueError, None):
            error = self.assertRaises(UsageError, RetryRequest, wrong)
            self.assertIn("RetryRequest takes the exception", str(error))
        inner = ValueError()
        self.assertIs(inner, RetryRequest(inner).inner_exc)

    def test_a_field_that_the_class_does_not_have_is_refused(self):
        self.assertRaises(TypeError, DBDeadlock.classify, "text", value="x")


class PagesTest(testtools.TestCase):
    def test_every_class_has_a_page(self):
        index = (_PAGES / "index.rst").read_text(encoding="utf-8")
        for cls in [*errors(), DriverError, RetryRequest]:
            page = _PAGES / f"{cls.__name__}.rst"
            self.assertTrue(page.exists(), page)
            self.assertIn(f"   {cls.__name__}\n", index)
            for heading in ("What happened", "The transaction", "What to do", "Example"):
                self.assertIn(f"\n{heading}\n=", page.read_text(encoding="utf-8"), page)

    def test_every_page_has_a_class(self):
        names = {cls.__name__ for cls in [*errors(), DriverError, RetryRequest]}
        self.assertEqual(names, {page.stem for page in _PAGES.glob("*.rst")} - {"index"})

    def test_every_class_says_what_happened_and_what_to_do(self):
        for cls in errors():
            self.assertTrue(cls.summary and cls.advice, cls.__name__)
            if not issubclass(cls, UsageError):
                self.assertFalse(cls.summary.endswith("."), cls.__name__)
