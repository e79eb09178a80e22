"""What the test kit may cost: counts, which are the same at every run, never times.

The operations are those of ``python -m benchmarks kit``, whose tables show the same counts.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import subprocess
import tempfile
import unittest
from pathlib import Path

if importlib.util.find_spec("benchmarks") is None:
    raise unittest.SkipTest("the benchmarks are not installed with dbkit; run this test from a checkout")

from benchmarks.counting import Traffic
from benchmarks.driving import Numbers
from benchmarks.kit import contenders
from benchmarks.kit.command import counted
from benchmarks.kit.operations import DATABASE, TEST
from benchmarks.kit.report import Row, targets_of
from benchmarks.kit.timing import Times
from benchmarks.places import BACKENDS, administered
from benchmarks.subjects.catalogue import missing
from dbkit.testing import servers
from dbkit.tests import warm

ROOT = Path(__file__).parents[3]


@functools.cache
def traffic_on(backend_name: str, operation: str, name: str) -> Traffic | None:
    """Count what a contender sends, once a process."""
    backend = next(each for each in BACKENDS if each.name == backend_name)
    subjects = contenders.TESTS if operation == TEST else contenders.DATABASES
    subject = next(each for each in subjects if each.name == name and each.measures(backend))
    with administered(backend) as grounds:
        return counted(subject, grounds, operation, Numbers())


class Case(unittest.TestCase):
    """A backend on which the kit's statements are counted.

    :cvar rollback_adds: what ``rollback`` may add to a test of three blocks: the opening of the test's transaction and
        its savepoint, what a savepoint takes beyond BEGIN and COMMIT, and the end of both.
    """

    backend: str
    rollback_adds: int
    server: str | None = None
    needs: tuple[str, ...] = ()

    def setUp(self) -> None:
        super().setUp()
        lacking = missing(self.needs)
        if lacking:
            self.skipTest(f"not installed: {', '.join(lacking)}")
        if self.server is not None:
            servers.require_or_skip(self.server)

    def traffic(self, name: str, operation: str = TEST) -> Traffic:
        """Return what a contender sends each time."""
        found = traffic_on(self.backend, operation, name)
        assert found is not None
        return found

    def needs_oslo(self) -> None:
        """Skip the test where oslo.db's fixtures are not installed."""
        lacking = missing(contenders.FIXTURES)
        if lacking:
            self.skipTest(f"not installed: {', '.join(lacking)}")


class EveryBackend:
    """What must hold on every backend; mixed into a :class:`Case`."""

    def test_none_sends_nothing_of_its_own(self: Case) -> None:
        self.assertEqual(self.traffic(contenders.BARE), self.traffic(contenders.NONE))

    def test_rollback_adds_a_handful_of_statements(self: Case) -> None:
        added = self.traffic(contenders.ROLLBACK).statements - self.traffic(contenders.BARE).statements
        self.assertLessEqual(added, self.rollback_adds)


class OnAServer:
    """What must hold on every server; mixed into a :class:`Case`."""

    def test_each_statement_of_rollback_is_one_trip_at_most(self: Case) -> None:
        rolled, bare = self.traffic(contenders.ROLLBACK), self.traffic(contenders.BARE)
        assert rolled.trips is not None and bare.trips is not None
        self.assertLessEqual(rolled.trips - bare.trips, rolled.statements - bare.statements)

    def test_truncate_takes_fewer_trips_than_a_delete_from_each_table(self: Case) -> None:
        truncated, bare = self.traffic(contenders.TRUNCATE), self.traffic(contenders.BARE)
        assert truncated.trips is not None and bare.trips is not None
        self.assertLess(truncated.trips - bare.trips, 60)


class BesideOslo:
    """What must hold beside oslo.db's fixtures, on every blocking backend; mixed into a :class:`Case`."""

    def test_rollback_sends_less_than_the_quickest_fixture_of_oslo_db(self: Case) -> None:
        self.needs_oslo()
        rolled = self.traffic(contenders.ROLLBACK).statements
        self.assertLess(rolled, self.traffic(contenders.OSLO_DELETES).statements)


class BesideOsloOnAServer(BesideOslo):
    """What must hold beside them where a clone sends statements; mixed into a :class:`Case`."""

    def test_a_clone_takes_a_tenth_of_the_trips_of_building_anew(self: Case) -> None:
        # not of the statements: on MariaDB several of them travel in one message
        self.needs_oslo()
        cloned, rebuilt = (self.traffic(each, DATABASE).trips for each in (contenders.CLONED, contenders.OSLO_REBUILT))
        assert cloned is not None and rebuilt is not None
        self.assertLess(cloned, rebuilt / 10)


class TestKitCostOnSQLiteInMemory(EveryBackend, BesideOslo, Case):
    backend = "sqlite-memory"
    rollback_adds = 3


class TestKitCostOnSQLite(EveryBackend, BesideOslo, Case):
    backend = "sqlite-file"
    rollback_adds = 5


class TestKitCostOnPostgreSQL(EveryBackend, OnAServer, BesideOsloOnAServer, Case):
    backend = "postgresql"
    server = "postgresql"
    needs = ("psycopg",)
    rollback_adds = 6


class TestKitCostOnMariaDB(EveryBackend, OnAServer, BesideOsloOnAServer, Case):
    backend = "mariadb"
    server = "mysql"
    needs = ("pymysql",)
    rollback_adds = 6


class TestKitCostOnSQLiteInAsyncio(EveryBackend, Case):
    backend = "sqlite-asyncio"
    needs = ("aiosqlite", "greenlet")
    rollback_adds = 5


class TestKitCostOnPostgreSQLInAsyncio(EveryBackend, OnAServer, Case):
    backend = "postgresql-asyncio"
    server = "postgresql"
    needs = ("psycopg", "greenlet")
    rollback_adds = 6


class TestKitCostOnMariaDBInAsyncio(EveryBackend, OnAServer, Case):
    backend = "mariadb-asyncio"
    server = "mysql"
    needs = ("asyncmy", "pymysql", "greenlet")
    rollback_adds = 6


class TestTargets(unittest.TestCase):
    """Whether the tables say rightly what was met; on invented times."""

    def row(self, subject: str, *milliseconds: float, operation: str = TEST, backend: str = "postgresql") -> Row:
        return Row(backend, "15", operation, subject, Times([each / 1000 for each in milliseconds]), None)

    def test_the_medians_decide_what_rollback_adds(self) -> None:
        bare = self.row(contenders.BARE, 1, 2, 9)
        (near,) = targets_of([bare, self.row(contenders.ROLLBACK, 1, 3.9, 90)])
        (far,) = targets_of([bare, self.row(contenders.ROLLBACK, 1, 4.1, 4.2)])
        self.assertEqual((True, False), (near.is_met, far.is_met))
        self.assertAlmostEqual(1.9, near.median)
        self.assertIn("NOT MET", str(far))

    def test_a_clone_must_be_twice_as_fast_as_building_anew(self) -> None:
        rebuilt = self.row(contenders.OSLO_REBUILT, 100, 100, operation=DATABASE)
        for cloned_ms, is_met in ((49, True), (51, False)):
            (found,) = targets_of([self.row(contenders.CLONED, cloned_ms, operation=DATABASE), rebuilt])
            self.assertEqual(is_met, found.is_met)

    def test_what_was_left_out_has_no_target(self) -> None:
        self.assertEqual([], list(targets_of([self.row(contenders.BARE, 1)])))


class TestCommand(unittest.TestCase):
    def run_kit(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        # in a process of its own: the command keeps itself on one processor
        return warm.run("-m", "benchmarks", "kit", *arguments, cwd=ROOT)

    def test_it_prints_a_table_with_its_target_and_writes_the_same_as_json(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "kit.json"
            done = self.run_kit("--backend", "sqlite-memory", "--only", "test", "--rounds", "1", "--json", str(file))
            self.assertEqual((0, ""), (done.returncode, done.stderr if not missing(contenders.FIXTURES) else ""))
            written = json.loads(file.read_text(encoding="utf-8"))
        self.assertIn("target: rollback adds at most 2 ms", done.stdout)
        self.assertIn("dbkit rollback", done.stdout)
        self.assertEqual(["sqlite-memory"], [each["backend"] for each in written["targets"]])
        self.assertLessEqual({"dbkit rollback", "dbkit clone"}, {each["subject"] for each in written["results"]})

    def test_a_backend_that_there_is_not_is_refused(self) -> None:
        done = self.run_kit("--backend", "oracle")
        self.assertEqual(2, done.returncode)
        self.assertIn("invalid choice", done.stderr)
