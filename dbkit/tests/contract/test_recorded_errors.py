"""Real servers still raise what was recorded of them, with every driver that is installed."""

from __future__ import annotations

import importlib.util
import logging

import fixtures
import testtools

from dbkit.testing import servers
from dbkit.tests.samples.record import DRIVERS, place_of, provocations, record
from dbkit.tests.samples.specimen import load

_MODULES = {"psycopg_async": "psycopg", "mysqldb": "MySQLdb", "pysqlite": "sqlite3"}
# Two timers race to notice a lost connection, so its code is not always the same; its class is.
_CODES = ("errno", "sqlstate", "errname")


def _said(sample):
    expected = sample.expected
    fields = {name: value for name, value in expected["fields"].items() if name not in _CODES}
    return expected["raises"], expected["outcome"], expected["transient"], fields, sample.aftermath


class RecordedErrorsTestCase(testtools.TestCase):
    def setUp(self):
        super().setUp()
        # Some provocations break the connection, which SQLAlchemy's pool logs with a traceback; drivers log warnings.
        self.useFixture(fixtures.FakeLogger(level=logging.WARNING))

    def assert_same_as_recorded(self, product):
        installed = [name for name in DRIVERS[product] if importlib.util.find_spec(_MODULES.get(name, name))]
        recorded = {(sample.provocation, sample.driver): _said(sample) for sample in load(product)}
        with place_of(product) as place:
            live = record(product, place, drivers=installed)
        self.assertTrue(len(live) >= len(provocations(product)))
        for sample in live:
            self.assertEqual(recorded[sample.provocation, sample.driver], _said(sample), sample.label)


class TestPostgreSQL(RecordedErrorsTestCase):
    def test_its_errors_are_what_was_recorded(self):
        servers.require_or_skip("postgresql")
        self.assert_same_as_recorded("postgresql")


class TestMySQL(RecordedErrorsTestCase):
    def test_its_errors_are_what_was_recorded(self):
        servers.require_or_skip("mysql")
        self.assert_same_as_recorded("mysql")


class TestSQLite(RecordedErrorsTestCase):
    def test_its_errors_are_what_was_recorded(self):
        self.assert_same_as_recorded("sqlite")
