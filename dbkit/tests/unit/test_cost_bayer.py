"""Whether Mike Bayer's table tells the truth: counts, which are the same at every run, and rows that were stored.

The operations are those of ``python -m benchmarks bayer``.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import sqlite3
import subprocess
import tempfile
import unittest
from collections.abc import Callable
from pathlib import Path

if importlib.util.find_spec("benchmarks") is None:
    raise unittest.SkipTest("the benchmarks are not installed with dbkit; run this test from a checkout")

from sqlalchemy import StaticPool, create_engine

from benchmarks.bayer import report
from benchmarks.bayer.bodies import address_of
from benchmarks.bayer.catalogue import CONTENDERS, DBKIT, HAND, ORM, OSLO, RAW
from benchmarks.bayer.checking import NotStored, check
from benchmarks.bayer.measuring import Extent, measured_on
from benchmarks.bayer.scenario import SCENARIO
from benchmarks.bayer.schema import populate
from benchmarks.bayer.variants import BOTH, DEFAULT, PLAIN, PREPARED, VARIANTS
from benchmarks.driving import Course, Numbers
from benchmarks.places import BACKENDS, Place, prepared
from benchmarks.report import Row
from benchmarks.subjects.catalogue import missing
from benchmarks.subjects.subject import Opened, Subject, blocking
from dbkit.tests import warm

ROOT = Path(__file__).parents[3]
ROWS = 3_000
MEMORY = next(each for each in BACKENDS if each.name == "sqlite-memory")


@functools.cache
def rows_in_memory() -> tuple[Row, ...]:
    """Measure whoever is installed, as shortly as can be, once a process."""
    subjects = [each.subject() for each in CONTENDERS if not missing(each.modules)]
    with prepared(MEMORY, ROWS, populate) as grounds:
        return tuple(measured_on(grounds, subjects, Extent(operations=2, counted=10)))


def calls_of(library: str, variant: str) -> float:
    """Return the calls of one operation."""
    return next(row.calls for row in rows_in_memory() if row.subject == f"{library}: {variant}")


class TestCounts(unittest.TestCase):
    def test_all_that_are_installed_are_measured(self) -> None:
        expected = [each.name for each in CONTENDERS if not missing(each.modules)]
        self.assertEqual(expected, [row.subject for row in rows_in_memory()])
        self.assertLessEqual({f"{DBKIT}: {PLAIN}", f"{ORM}: {BOTH}", RAW}, set(expected))

    def test_dbkit_sends_what_the_driver_does(self) -> None:
        for row in rows_in_memory():
            if row.subject.startswith((DBKIT, ORM, HAND, RAW)):
                with self.subTest(subject=row.subject):
                    self.assertEqual(4, row.traffic.statements)

    def test_a_filtered_statement_takes_fewer_calls_than_one_that_asks_by_itself_without_dbkit(self) -> None:
        for variant in (DEFAULT, PLAIN):
            with self.subTest(variant=variant):
                self.assertLess(calls_of(DBKIT, variant), calls_of(ORM, variant))

    def test_on_the_fast_path_the_operation_takes_at_most_120_calls(self) -> None:
        self.assertLess(calls_of(DBKIT, PREPARED), calls_of(DBKIT, PLAIN))
        # and one that is the benchmark's own: each form is a function
        self.assertLessEqual(round(calls_of(DBKIT, BOTH)), 121)

    def test_the_published_table_has_a_line_for_each_variant_and_a_dash_for_what_was_not_measured(self) -> None:
        lines = report.beside_published(rows_in_memory())
        self.assertEqual(len(VARIANTS), len(lines))
        self.assertIn("24,543,047 (13.04)", lines[0])
        self.assertEqual(missing(("oslo_db",)) != [], lines[0][report.BESIDE_HEADER.index(OSLO)] == "–")


def opened_by(operation: Callable[[sqlite3.Connection, int], object]) -> Callable[[Place], Opened]:
    """Return what opens an operation on the sqlite3 module."""

    def opened(place: Place) -> Opened:
        connection = sqlite3.connect(":memory:", isolation_level=None)
        place.opened(connection)
        place.fill(create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool))
        return Opened({SCENARIO.name: lambda number: operation(connection, number)}, connection.close)

    return opened


CHANGE = (
    "UPDATE floating_ips SET host = 'host-{0}', project_id = 'project-{0}', updated_at = '2020-01-01 00:00:00.000000'"
    " WHERE address = '{1}'"
)


class TestChecks(unittest.TestCase):
    """A subject that stores nothing must fail: each way to cheat is noticed, and honesty is not."""

    def check(self, operation: Callable[[sqlite3.Connection, int], object], first: int = 1) -> None:
        numbers = Numbers()
        numbers.take(first - 1)
        with (
            prepared(MEMORY, ROWS, populate) as grounds,
            Course(Subject("somebody", opened_by(operation), blocking), grounds.straight(), numbers) as course,
        ):
            check(course, SCENARIO.name, numbers)

    def test_who_stores_the_row_passes(self) -> None:
        self.check(lambda to, number: to.execute(CHANGE.format(number, address_of(number)) + " AND deleted = 0"))

    def test_who_does_nothing_fails(self) -> None:
        with self.assertRaisesRegex(NotStored, "somebody on sqlite-memory: the row has other values"):
            self.check(lambda to, number: None)

    def test_who_does_not_commit_fails(self) -> None:
        def left_open(to: sqlite3.Connection, number: int) -> None:
            to.execute("BEGIN")
            to.execute(CHANGE.format(number, address_of(number)) + " AND deleted = 0")

        with self.assertRaisesRegex(NotStored, "a transaction was left open"):
            self.check(left_open)

    def test_who_forgets_updated_at_fails(self) -> None:
        def forgetful(to: sqlite3.Connection, number: int) -> None:
            change = CHANGE.replace("'2020-01-01 00:00:00.000000'", "NULL")
            to.execute(change.format(number, address_of(number)) + " AND deleted = 0")

        with self.assertRaisesRegex(NotStored, "a column is empty"):
            self.check(forgetful)

    def test_who_changes_the_deleted_row_too_fails(self) -> None:
        with self.assertRaisesRegex(NotStored, "the deleted row was changed"):
            # the tenth address has one
            self.check(lambda to, number: to.execute(CHANGE.format(number, address_of(number))), first=10)


class TestCommand(unittest.TestCase):
    def run_bayer(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        # in a process of its own: the command keeps itself on one processor
        return warm.run("-m", "benchmarks", "bayer", *arguments, cwd=ROOT)

    def test_it_prints_both_tables_and_writes_them_as_json_and_rest(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            written, document = Path(folder) / "bayer.json", Path(folder) / "bayer.inc"
            libraries = ("--library", DBKIT, "--library", RAW, "--library", "django")
            files = ("--json", str(written), "--rst", str(document))
            done = self.run_bayer("--backend", "sqlite-memory", "--quick", *libraries, *files)
            self.assertEqual(0, done.returncode, done.stderr)
            results = json.loads(written.read_text(encoding="utf-8"))
            text = document.read_text(encoding="utf-8")
        self.assertIn("published 2014", done.stdout)
        self.assertLessEqual({DBKIT, RAW}, {each["library"] for each in results["results"]})
        self.assertEqual(24_543_047, results["published"][DEFAULT]["calls_1000"])
        self.assertIn("python -m benchmarks bayer --backend sqlite-memory --quick", text)
        self.assertIn(".. csv-table:: sqlite-memory", text)
        if missing(("django",)):
            self.assertIn(f"left out: django: {DEFAULT}: install Django", done.stderr)

    def test_if_nothing_can_be_measured_the_status_says_so(self) -> None:
        if not missing(("django",)):
            self.skipTest("Django is installed")
        done = self.run_bayer("--backend", "sqlite-memory", "--quick", "--library", "django")
        self.assertEqual(1, done.returncode, done.stderr)
