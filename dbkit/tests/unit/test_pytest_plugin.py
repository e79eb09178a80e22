"""What the pytest plugin makes of its settings."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import testtools
from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase

import dbkit
from dbkit import enginefacade
from dbkit.testing.provision import Schema

if find_spec("pytest") is None:
    raise testtools.TestCase.skipException("pytest is not installed: pip install pytest")

import pytest

from dbkit.testing.pytest_plugin.application import attribute, managers_from, schema_from
from dbkit.testing.pytest_plugin.choices import isolation_named, kind_named
from dbkit.testing.pytest_plugin.report import Tally


class Base(DeclarativeBase):
    pass


class TestNames(testtools.TestCase):
    def refused(self, call, *arguments):
        return str(self.assertRaises(pytest.UsageError, call, *arguments))

    def test_kinds_may_be_written_as_persons_do(self):
        self.assertEqual(["mysql", "sqlite"], [kind_named("mariadb"), kind_named("sqlite")])

    def test_unknown_names_are_refused_with_the_nearest(self):
        self.assertIn("'postgres'; did you mean 'postgresql'?", self.refused(kind_named, "postgres"))
        self.assertIn("'rolback'; did you mean 'rollback'?", self.refused(isolation_named, "rolback"))

    def test_an_attribute_is_found_by_its_path(self):
        self.assertIs(dbkit.Database.writer, attribute("dbkit:Database.writer", "dbkit_managers"))

    def test_an_attribute_that_is_not_there_is_refused_with_what_is(self):
        for path, said in (
            ("dbkit.database:Databas", "there is no 'Databas' in it; did you mean 'Database'?"),
            ("dbkit.database", "write module:attribute"),
            ("dbkit.databas:Database", "there is no module 'dbkit.databas' on the import path"),
            ("bnak.models:Base", "there is no module 'bnak' on the import path"),
        ):
            self.assertIn(f"dbkit_schema = {path}: ", self.refused(attribute, path, "dbkit_schema"))
            self.assertIn(said, self.refused(attribute, path, "dbkit_schema"))


class TestApplication(testtools.TestCase):
    def test_a_schema_is_what_knows_tables(self):
        schema = Schema(metadata=MetaData())
        self.assertIs(schema, schema_from(schema))
        for given in (MetaData(), [MetaData(), MetaData()], Base):
            self.assertIsInstance(schema_from(given), Schema)
        for given in (None, [], dbkit, [Base]):
            self.assertRaises(pytest.UsageError, schema_from, given)

    def test_the_common_manager_of_enginefacade_always_belongs_to_them(self):
        db = dbkit.Database("sqlite://")
        self.assertEqual([db, enginefacade.writer], managers_from([db]))
        self.assertEqual([db, enginefacade.writer], managers_from(db))
        self.assertEqual([db, enginefacade.reader], managers_from([db, enginefacade.reader]))

    def test_what_is_no_manager_is_refused(self):
        error = self.assertRaises(pytest.UsageError, managers_from, [Base])
        self.assertIn("it must have dbkit.Database objects", str(error))


class TestTally(testtools.TestCase):
    def test_processes_are_added_up(self):
        whole = Tally()
        for seconds in (0.5, 0.25):
            tally = Tally()
            tally.provided("sqlite", "sqlite", seconds, 0.125)
            tally.used("sqlite")
            tally.skipped("mysql", "install it")
            whole.add(tally.to_wire())
        self.assertEqual(
            [
                "mysql: skipped: install it",
                "sqlite: 2 tests; its template was ready after 0.50 s, a copy of it after 0.12 s",
            ],
            list(whole.lines()),
        )


class TestWeight(testtools.TestCase):
    def test_the_plugin_brings_nothing_before_it_is_asked(self):
        code = (
            "import sys; import pytest; before = set(sys.modules); import dbkit.testing.pytest_plugin; "
            "brought = {name.partition('.')[0] for name in set(sys.modules) - before}; "
            "print(sorted(brought - sys.stdlib_module_names), 'dbkit.database' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
        self.assertEqual("['dbkit'] False\n", done.stdout)
