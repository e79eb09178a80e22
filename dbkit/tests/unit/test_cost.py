"""What a block may cost: counts, which are the same at every run, never times.

The operations are those of ``python -m benchmarks``, whose tables show the same counts.
"""

from __future__ import annotations

import functools
import importlib.util
import unittest
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

if importlib.util.find_spec("benchmarks") is None:
    raise unittest.SkipTest("the benchmarks are not installed with dbkit; run this test from a checkout")

from benchmarks import counting, scenarios
from benchmarks.driving import Course, Numbers
from benchmarks.places import BACKENDS, prepared
from benchmarks.subjects.catalogue import missing, subjects_for
from dbkit.testing import servers

SESSION_FACES = ("dbkit context", "dbkit database")
BLOCKING_FACES = (*SESSION_FACES, "dbkit connection")
FAST = "dbkit fast"
BARE = "sqlalchemy orm"
WARM_UP = 12
"""Operations before the first that counts: drivers have prepared by then what they prepare."""
COUNTED = 20
ROWS = 200

EMPTY_WRITER_CALLS = 12
JOINED_BLOCK_CALLS = 15
FAST_UPDATE_CALLS = 100
FAST_LOOKUP_CALLS = 75


@dataclass(frozen=True)
class Costs:
    """The costs of each subject's operations, by the names of the subject and the scenario."""

    calls: Mapping[tuple[str, str], float]
    traffic: Mapping[tuple[str, str], counting.Traffic]


@functools.cache
def costs_on(name: str) -> Costs:
    """Measure dbkit and bare SQLAlchemy on a backend, once a process."""
    backend = next(each for each in BACKENDS if each.name == name)
    names = (*BLOCKING_FACES, FAST, BARE, "dbkit asyncio")
    calls: dict[tuple[str, str], float] = {}
    traffic: dict[tuple[str, str], counting.Traffic] = {}
    numbers = Numbers(ROWS)
    with prepared(backend, ROWS) as grounds, ExitStack() as stack:
        subjects = [each for each in subjects_for(backend) if each.name in names]
        # traffic first, as in the benchmarks: see benchmarks.command
        for subject in subjects:
            course = stack.enter_context(Course(subject, grounds.counting(), numbers))
            for scenario in (each for each in scenarios.SCENARIOS if course.has(each.name)):
                traffic[subject.name, scenario.name] = counting.count_traffic(course, scenario.name, COUNTED, WARM_UP)
        for subject in subjects:
            course = stack.enter_context(Course(subject, grounds.straight(), numbers))
            for scenario in (each for each in scenarios.SCENARIOS if course.has(each.name)):
                calls[subject.name, scenario.name] = counting.count_calls(course, scenario.name, COUNTED, WARM_UP)
    return Costs(calls, traffic)


class Case(unittest.TestCase):
    """A backend whose costs are looked at."""

    backend: str
    server: str | None = None
    needs: tuple[str, ...] = ()

    def setUp(self) -> None:
        super().setUp()
        lacking = missing(self.needs)
        if lacking:
            self.skipTest(f"not installed: {', '.join(lacking)}")
        if self.server is not None:
            servers.require_or_skip(self.server)
        self.costs = costs_on(self.backend)

    def calls(self, subject: str, scenario: str) -> float:
        """Return the function calls of one operation, without the share of what happens once a batch."""
        return round(self.costs.calls[subject, scenario])

    def trips(self, subject: str, scenario: str) -> float | None:
        """Return the round trips of one operation."""
        trips = self.costs.traffic[subject, scenario].trips
        return None if trips is None else round(trips, 1)

    def statements(self, subject: str, scenario: str) -> float:
        """Return the statements of one operation, BEGIN and COMMIT included."""
        return round(self.costs.traffic[subject, scenario].statements, 1)


class BlockingCase:
    """What must hold on every blocking backend; mixed into a :class:`Case`."""

    def test_an_empty_block_takes_at_most_twelve_calls(self: Case) -> None:
        for face in BLOCKING_FACES:
            for scenario in (scenarios.EMPTY_WRITER, scenarios.EMPTY_READER):
                with self.subTest(face=face, scenario=scenario):
                    self.assertLessEqual(self.calls(face, scenario), EMPTY_WRITER_CALLS)

    def test_an_empty_block_sends_nothing(self: Case) -> None:
        for face in BLOCKING_FACES:
            for scenario in (scenarios.EMPTY_WRITER, scenarios.EMPTY_READER, scenarios.NESTED_EMPTY):
                with self.subTest(face=face, scenario=scenario):
                    self.assertEqual(0, self.statements(face, scenario))

    def test_one_select_takes_no_more_calls_than_a_bare_session(self: Case) -> None:
        bare = self.calls(BARE, scenarios.SELECT_WRITER)
        for face in BLOCKING_FACES:
            for scenario in (scenarios.SELECT_WRITER, scenarios.SELECT_READER):
                with self.subTest(face=face, scenario=scenario):
                    self.assertLessEqual(self.calls(face, scenario), bare)

    def test_one_update_takes_no_more_calls_than_a_bare_session(self: Case) -> None:
        bare = self.calls(BARE, scenarios.UPDATE)
        for face in BLOCKING_FACES:
            with self.subTest(face=face):
                self.assertLessEqual(self.calls(face, scenarios.UPDATE), bare)

    def test_the_floating_ip_update_takes_fewer_calls_than_a_bare_session(self: Case) -> None:
        bare = self.calls(BARE, scenarios.FLOATING_IP_UPDATE)
        for face in SESSION_FACES:
            with self.subTest(face=face):
                self.assertLess(self.calls(face, scenarios.FLOATING_IP_UPDATE), bare)

    def test_a_block_that_joins_costs_little(self: Case) -> None:
        pairs = (
            (scenarios.NESTED_EMPTY, scenarios.EMPTY_WRITER),
            (scenarios.NESTED_SELECT, scenarios.SELECT_WRITER),
        )
        for face in BLOCKING_FACES:
            for nested, alone in pairs:
                with self.subTest(face=face, scenario=nested):
                    joined = self.calls(face, nested) - self.calls(face, alone)
                    self.assertLessEqual(joined, 2 * JOINED_BLOCK_CALLS)

    def test_the_fast_path_takes_a_small_part_of_a_sessions_calls(self: Case) -> None:
        for scenario in (scenarios.SELECT_READER, scenarios.SELECT_WRITER, scenarios.FLOATING_IP_UPDATE):
            with self.subTest(scenario=scenario):
                self.assertLess(self.calls(FAST, scenario), self.calls(BARE, scenario))

    def test_blocks_that_join_send_nothing_of_their_own(self: Case) -> None:
        for face in BLOCKING_FACES:
            with self.subTest(face=face):
                alone = self.statements(face, scenarios.SELECT_WRITER)
                self.assertEqual(alone, self.statements(face, scenarios.NESTED_SELECT))


class TestCostOnSQLiteInMemory(BlockingCase, Case):
    backend = "sqlite-memory"

    def test_only_begin_and_commit_are_added(self) -> None:
        for face in BLOCKING_FACES:
            self.assertEqual(3, self.statements(face, scenarios.SELECT_READER))
            self.assertEqual(4, self.statements(face, scenarios.FLOATING_IP_UPDATE))

    def test_the_fast_path_has_its_bounds(self) -> None:
        self.assertLessEqual(self.calls(FAST, scenarios.FLOATING_IP_UPDATE), FAST_UPDATE_CALLS)
        self.assertLessEqual(self.calls(FAST, scenarios.SELECT_READER), FAST_LOOKUP_CALLS)


class TestCostOnSQLiteFile(BlockingCase, Case):
    backend = "sqlite-file"

    def test_only_begin_and_commit_are_added(self) -> None:
        for face in BLOCKING_FACES:
            self.assertEqual(3, self.statements(face, scenarios.SELECT_READER))
            self.assertEqual(3, self.statements(face, scenarios.UPDATE))
            self.assertEqual(4, self.statements(face, scenarios.FLOATING_IP_UPDATE))


class TestCostOnPostgreSQL(BlockingCase, Case):
    backend = "postgresql"
    server = "postgresql"
    needs = ("psycopg",)

    def test_a_reader_of_one_statement_takes_one_trip(self) -> None:
        for face in BLOCKING_FACES:
            with self.subTest(face=face):
                self.assertEqual(1, self.trips(face, scenarios.SELECT_READER))

    def test_a_writer_adds_begin_and_commit(self) -> None:
        for face in BLOCKING_FACES:
            with self.subTest(face=face):
                self.assertEqual(3, self.trips(face, scenarios.UPDATE))
                self.assertEqual(4, self.trips(face, scenarios.FLOATING_IP_UPDATE))

    def test_the_fast_path_takes_no_trip_more(self) -> None:
        self.assertEqual(1, self.trips(FAST, scenarios.SELECT_READER))
        self.assertEqual(4, self.trips(FAST, scenarios.FLOATING_IP_UPDATE))


class TestCostOnMariaDB(BlockingCase, Case):
    backend = "mariadb"
    server = "mysql"
    needs = ("pymysql",)

    def test_a_reader_adds_the_end_of_its_snapshot(self) -> None:
        for face in BLOCKING_FACES:
            with self.subTest(face=face):
                self.assertEqual(2, self.trips(face, scenarios.SELECT_READER))

    def test_a_writer_adds_commit_alone(self) -> None:
        for face in BLOCKING_FACES:
            with self.subTest(face=face):
                self.assertEqual(2, self.trips(face, scenarios.UPDATE))
                self.assertEqual(3, self.trips(face, scenarios.FLOATING_IP_UPDATE))

    def test_the_fast_path_takes_no_trip_more(self) -> None:
        self.assertEqual(2, self.trips(FAST, scenarios.SELECT_READER))
        self.assertEqual(3, self.trips(FAST, scenarios.FLOATING_IP_UPDATE))


class TestCostInAsyncio(Case):
    backend = "postgresql-asyncio"
    server = "postgresql"
    needs = ("psycopg", "greenlet")

    def test_an_empty_block_takes_at_most_twelve_calls(self) -> None:
        self.assertLessEqual(self.calls("dbkit asyncio", scenarios.EMPTY_WRITER), EMPTY_WRITER_CALLS)

    def test_blocks_take_as_many_trips_as_blocking_ones(self) -> None:
        self.assertEqual(1, self.trips("dbkit asyncio", scenarios.SELECT_READER))
        self.assertEqual(3, self.trips("dbkit asyncio", scenarios.UPDATE))
        self.assertEqual(4, self.trips("dbkit asyncio", scenarios.FLOATING_IP_UPDATE))
