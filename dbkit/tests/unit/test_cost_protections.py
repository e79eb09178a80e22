"""What the protections of a block may cost: counts, which are the same at every run, never times.

The operations are those of ``python -m benchmarks protections``, whose tables show the same counts.
"""

from __future__ import annotations

import functools
import importlib.util
import unittest
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

if importlib.util.find_spec("benchmarks") is None:
    raise unittest.SkipTest("the benchmarks are not installed with dbkit; run this test from a checkout")

from benchmarks import counting, scenarios
from benchmarks.driving import Course, Numbers
from benchmarks.places import BACKENDS, prepared
from benchmarks.protections.scenarios import FLOATING_IP_READ, SCENARIOS
from benchmarks.protections.subjects import (
    ALL,
    BY_STATUS,
    DEADLINE,
    EXACTLY_ONCE,
    OFF,
    REPLAYING,
    RETRYING,
    subjects_for,
)
from benchmarks.subjects.catalogue import missing
from benchmarks.wire import MySQLReader, PostgreSQLReader, statements_in
from dbkit import Database
from dbkit.engines.connection import TrackedConnection
from dbkit.engines.guarded import GuardedConnection
from dbkit.testing import servers

WARM_UP = 12
"""Operations before the first that counts: drivers have prepared by then what they prepare."""
COUNTED = 10
ROWS = 200

READING = (scenarios.SELECT_WRITER, FLOATING_IP_READ)
STORING = (scenarios.UPDATE, scenarios.FLOATING_IP_UPDATE)
CALLED = (scenarios.SELECT_WRITER, scenarios.FLOATING_IP_UPDATE)


@dataclass(frozen=True)
class Prices:
    """The costs of each protection's operations, by the names of the protection and the scenario."""

    calls: Mapping[tuple[str, str], float]
    traffic: Mapping[tuple[str, str], counting.Traffic]


@functools.cache
def prices_on(backend_name: str, counts_calls: bool) -> Prices:
    """Measure all protections on a backend, once a process."""
    backend = next(each for each in BACKENDS if each.name == backend_name)
    calls: dict[tuple[str, str], float] = {}
    traffic: dict[tuple[str, str], counting.Traffic] = {}
    numbers = Numbers(ROWS)
    with prepared(backend, ROWS) as grounds, ExitStack() as stack:
        subjects = subjects_for(backend)
        # traffic first, as in the benchmarks: see benchmarks.measuring
        for subject in subjects:
            course = stack.enter_context(Course(subject, grounds.counting(), numbers))
            for scenario in SCENARIOS:
                found = counting.count_traffic(course, scenario.name, COUNTED, WARM_UP)
                traffic[subject.name, scenario.name] = found
        for subject in subjects if counts_calls else ():
            course = stack.enter_context(Course(subject, grounds.straight(), numbers))
            for name in CALLED:
                calls[subject.name, name] = counting.count_calls(course, name, COUNTED, WARM_UP)
    return Prices(calls, traffic)


class Case(unittest.TestCase):
    """A backend whose prices are looked at.

    :cvar fence_trips: round trips that the fence by the token table adds to a transaction that stores something.
    :cvar deadline_statements: statements, and round trips, that a deadline far away adds to a transaction.
    :cvar most_calls: function calls that a protection adds at most, to one SELECT and to an update through the unit of
        work; empty where they are not counted.
    """

    backend: str
    server: str | None = None
    needs: tuple[str, ...] = ()
    fence_trips = 0
    deadline_statements = 0
    most_calls: Mapping[str, tuple[int, int]] = {}

    def setUp(self) -> None:
        super().setUp()
        lacking = missing(self.needs)
        if lacking:
            self.skipTest(f"not installed: {', '.join(lacking)}")
        if self.server is not None:
            servers.require_or_skip(self.server)
        self.prices = prices_on(self.backend, bool(self.most_calls))

    def added_statements(self, protection: str, scenario: str) -> float:
        """Return how many statements a protection adds, BEGIN and COMMIT included."""
        of = self.prices.traffic
        return round(of[protection, scenario].statements - of[OFF, scenario].statements, 1)

    def added_trips(self, protection: str, scenario: str) -> float:
        """Return how many round trips a protection adds; on SQLite, which has none, it is as if it added none."""
        trips, before = self.prices.traffic[protection, scenario].trips, self.prices.traffic[OFF, scenario].trips
        return 0 if trips is None or before is None else round(trips - before, 1)

    def added_calls(self, protection: str, scenario: str) -> float:
        """Return how many function calls a protection adds."""
        return round(self.prices.calls[protection, scenario]) - round(self.prices.calls[OFF, scenario])

    def assert_adds(self, statements: float, trips: float, protection: str, scenario: str) -> None:
        """Fail unless a protection adds exactly so much."""
        with self.subTest(protection=protection, scenario=scenario):
            found = self.added_statements(protection, scenario), self.added_trips(protection, scenario)
            self.assertEqual((statements, trips), found, "statements and round trips that are added")


class EveryBackend:
    """What must hold on every backend; mixed into a :class:`Case`."""

    def test_the_fence_adds_one_statement_to_what_stores_something(self: Case) -> None:
        for scenario in STORING:
            self.assert_adds(1, self.fence_trips, EXACTLY_ONCE, scenario)

    def test_the_fence_adds_nothing_to_what_stores_nothing(self: Case) -> None:
        for scenario in READING:
            self.assert_adds(0, 0, EXACTLY_ONCE, scenario)

    def test_retrying_sends_nothing(self: Case) -> None:
        for scenario in (*READING, *STORING):
            self.assert_adds(0, 0, RETRYING, scenario)

    def test_replaying_sends_nothing(self: Case) -> None:
        for scenario in (*READING, *STORING):
            self.assert_adds(0, 0, REPLAYING, scenario)

    def test_a_deadline_is_told_to_the_server_at_most_once(self: Case) -> None:
        for scenario in (*READING, *STORING):
            trips = 0 if self.server is None else self.deadline_statements
            self.assert_adds(self.deadline_statements, trips, DEADLINE, scenario)

    def test_all_together_send_what_each_sends(self: Case) -> None:
        for scenario in (*READING, *STORING):
            each = (RETRYING, EXACTLY_ONCE, REPLAYING, DEADLINE)
            self.assert_adds(
                sum(self.added_statements(one, scenario) for one in each),
                sum(self.added_trips(one, scenario) for one in each),
                ALL,
                scenario,
            )

    def test_function_calls_stay_what_they_are(self: Case) -> None:
        for protection, most in self.most_calls.items():
            for scenario, bound in zip(CALLED, most, strict=True):
                with self.subTest(protection=protection, scenario=scenario):
                    self.assertLessEqual(self.added_calls(protection, scenario), bound)


class OnPostgreSQL(EveryBackend):
    """What must hold with every driver of PostgreSQL."""

    server: str | None = "postgresql"
    deadline_statements = 1

    def test_the_fence_by_status_asks_once_where_something_is_stored(self: Case) -> None:
        for scenario in STORING:
            self.assert_adds(1, 1, BY_STATUS, scenario)
        for scenario in READING:
            self.assert_adds(0, 0, BY_STATUS, scenario)


class OnMariaDB(EveryBackend):
    """What must hold with every driver of MariaDB."""

    server: str | None = "mysql"


class TestPricesOnSQLiteInMemory(EveryBackend, Case):
    backend = "sqlite-memory"
    deadline_statements = 1
    most_calls = {
        RETRYING: (40, 40),
        EXACTLY_ONCE: (40, 75),
        REPLAYING: (10, 10),
        DEADLINE: (125, 145),
        ALL: (185, 240),  # 13 more where other tests have made tables with rules: text is looked at then
    }


class TestPricesOnSQLiteFile(EveryBackend, Case):
    backend = "sqlite-file"
    deadline_statements = 1


class TestPricesWithPsycopg(OnPostgreSQL, Case):
    backend = "postgresql"
    needs = ("psycopg",)
    most_calls = {RETRYING: (40, 40), EXACTLY_ONCE: (45, 120), REPLAYING: (125, 280), DEADLINE: (265, 285)}


class TestPricesWithPsycopgInAsyncio(OnPostgreSQL, Case):
    backend = "postgresql-asyncio"
    needs = ("psycopg", "greenlet")


class TestPricesWithPsycopg2(OnPostgreSQL, Case):
    backend = "postgresql-psycopg2"
    needs = ("psycopg2",)
    fence_trips = 1


class TestPricesWithAsyncpg(OnPostgreSQL, Case):
    backend = "postgresql-asyncpg"
    needs = ("asyncpg", "psycopg", "greenlet")
    fence_trips = 1


class TestPricesWithPyMySQL(OnMariaDB, Case):
    backend = "mariadb"
    needs = ("pymysql",)


class TestPricesWithMysqlclient(OnMariaDB, Case):
    backend = "mariadb-mysqlclient"
    needs = ("MySQLdb",)


class TestPricesWithAsyncmy(OnMariaDB, Case):
    backend = "mariadb-asyncio"
    needs = ("asyncmy", "pymysql", "greenlet")


class TestPricesWithAiomysql(OnMariaDB, Case):
    backend = "mariadb-aiomysql"
    needs = ("aiomysql", "pymysql", "greenlet")


class TestOffThePath(unittest.TestCase):
    """Who has asked for nothing, or for what there is no work for, works on a plain connection."""

    def connection_of(self, ask: Callable[[Database], Any], **settings: Any) -> Any:
        """Return the class of the connection of a block."""
        db = Database("sqlite://", **settings)
        self.addCleanup(db.dispose)
        with ask(db) as session:
            return type(session.connection())

    def test_a_reader_does_not_pay_for_the_fence_of_the_writers(self) -> None:
        self.assertIs(TrackedConnection, self.connection_of(lambda db: db.reader(), exactly_once=True))

    def test_a_database_that_is_not_remote_does_not_pay_for_replay(self) -> None:
        self.assertIs(TrackedConnection, self.connection_of(lambda db: db.writer(), replay=True))
        self.assertIs(TrackedConnection, self.connection_of(lambda db: db.writer.replaying()))

    def test_a_plain_block_does_not_pay_for_a_protected_one_beside_it(self) -> None:
        db = Database("sqlite://")
        self.addCleanup(db.dispose)
        with db.writer.deadline(30)() as session:
            self.assertIs(GuardedConnection, type(session.connection()))
        with db.writer() as session:
            connection = session.connection()
            self.assertIs(TrackedConnection, type(connection))
            self.assertIs(db.engine.dialect, connection.dialect)


class TestCounting(unittest.TestCase):
    """How many statements a message holds, on which all of this stands."""

    def test_statements_in_a_row_are_counted(self) -> None:
        self.assertEqual(1, statements_in("SELECT 1"))
        self.assertEqual(1, statements_in("SELECT ';'; "))
        self.assertEqual(2, statements_in("INSERT INTO t VALUES ('a;b'); COMMIT"))

    def test_those_in_a_block_are_counted_without_the_block(self) -> None:
        self.assertEqual(2, statements_in("BEGIN NOT ATOMIC INSERT INTO t VALUES (x'00'); COMMIT; END"))

    def test_an_empty_message_is_one(self) -> None:
        self.assertEqual(1, statements_in(""))

    def test_postgresql_counts_texts_and_executions(self) -> None:
        reader = PostgreSQLReader()
        start = (8).to_bytes(4, "big") + (196608).to_bytes(4, "big")
        text = b"INSERT INTO t VALUES (1); COMMIT\0"
        query = b"Q" + (len(text) + 4).to_bytes(4, "big") + text
        execute = b"E" + (9).to_bytes(4, "big") + b"\0\0\0\0\0"
        self.assertEqual(0, reader.feed(start + query[:7]))
        self.assertEqual(3, reader.feed(query[7:] + execute))

    def test_mariadb_counts_texts_and_other_commands(self) -> None:
        reader = MySQLReader()
        text = b"\x03BEGIN NOT ATOMIC INSERT INTO t VALUES (1); COMMIT; END"
        query = len(text).to_bytes(3, "little") + b"\0" + text
        ping = b"\x01\0\0\0\x0e"
        self.assertEqual(3, reader.feed(query + ping))
