"""What reading may cost: counts, the same at every run, of the operations of ``python -m benchmarks reads``."""

from __future__ import annotations

import functools
import importlib.util
import unittest
from datetime import datetime

if importlib.util.find_spec("benchmarks") is None:
    raise unittest.SkipTest("the benchmarks are not installed with dbkit; run this test from a checkout")

from benchmarks import counting
from benchmarks.driving import Course, Numbers
from benchmarks.places import BACKENDS, Backend, prepared
from benchmarks.reads.command import SUBJECTS
from benchmarks.reads.operations import MANY, ONE, NotRead, by_place, checked
from benchmarks.reads.schema import populate
from benchmarks.subjects.catalogue import missing
from benchmarks.subjects.subject import Opened

ROWS = 500
MEMORY, FILE = (next(each for each in BACKENDS if each.name == name) for name in ("sqlite-memory", "sqlite-file"))


@functools.cache
def calls_of(name: str, operation: str, backend: Backend = MEMORY) -> float:
    """Count the calls of one operation."""
    subject = next(each for each in SUBJECTS if each.name == name)
    with (
        prepared(backend, ROWS, populate) as grounds,
        Course(subject, grounds.straight(), Numbers()) as course,
    ):
        return counting.count_calls(course, operation, 10, 3)


class TestReads(unittest.TestCase):
    def test_who_is_installed_brings_back_all_rows_with_their_types(self) -> None:
        for subject in SUBJECTS:
            if missing(subject.modules):
                continue
            with self.subTest(subject=subject.name), prepared(MEMORY, ROWS, populate) as grounds:
                subject.open(grounds.straight()).close()  # each looks at its rows when it is opened

    def test_a_row_costs_a_few_calls_where_an_object_costs_ten(self) -> None:
        self.assertLess(calls_of("dbkit rows", MANY), 0.6 * calls_of("sqlalchemy orm", MANY))

    def test_a_lookup_costs_a_quarter_of_the_calls_of_a_bare_session(self) -> None:
        for name in ("dbkit rows", "dbkit lookup"):
            with self.subTest(name=name):
                self.assertLess(4 * calls_of(name, ONE), calls_of("sqlalchemy orm", ONE))

    def test_a_lookup_by_itself_costs_less_than_one_in_a_block(self) -> None:
        alone, inside = (calls_of(name, ONE, FILE) for name in ("dbkit lookup alone", "dbkit lookup"))
        self.assertLessEqual(alone, 50)
        self.assertLess(alone, 0.7 * inside)

    def test_who_brings_back_something_else_fails(self) -> None:
        made = datetime(2020, 1, 1)
        right = (made, None, None, 0, 1, "10.0.0.0", None, "project", "host", False, "public", None)
        for rows in ([right, right], [(*right[:9], 0, *right[10:])], [("2020-01-01", *right[1:])]):
            with self.subTest(rows=rows), self.assertRaises(NotRead):
                checked(Opened({MANY: lambda number, rows=rows: rows}, lambda: None), 1, by_place)
        checked(Opened({MANY: lambda number: [right]}, lambda: None), 1, by_place)
