"""Where dbkit's fixtures differ from oslo.db's: each fault is shown there and mended here."""

from __future__ import annotations

import os
import subprocess
import sys
import unittest
from pathlib import Path

import sqlalchemy as sa
import testtools

import dbkit
from dbkit import enginefacade
from dbkit.exceptions import DBDuplicateEntry, UsageError
from dbkit.testing import fixtures as test_fixtures
from dbkit.testing import servers
from dbkit.tests.contract.fixture_suites import SuiteFolder, environment_with, of_class, run_here
from dbkit.tests.contract.test_fixtures_oslo_db import moved

metadata = sa.MetaData()
accounts = sa.Table("account", metadata, sa.Column("owner", sa.String(50), primary_key=True))

facade = enginefacade.transaction_context()
facade.configure(connection="sqlite:////nowhere/application.db")


@enginefacade.transaction_context_provider
class Context:
    pass


@facade.writer
def create(context, owner):
    context.session.execute(accounts.insert().values(owner=owner))


@facade.reader
def owners(context):
    return sorted(context.session.scalars(sa.select(accounts.c.owner)))


class OfFacade(test_fixtures.GeneratesSchema):
    built = 0

    def get_enginefacade(self):
        return facade

    def generate_schema_create_all(self, engine):
        type(self).built += 1
        metadata.create_all(engine)


TWO_CLASSES = """
from oslo_db.sqlalchemy import enginefacade
from oslo_db.sqlalchemy import test_fixtures
from oslo_db.sqlalchemy.test_base import backend_specific

import sqlalchemy as sa
import testtools


class One(test_fixtures.GeneratesSchema, test_fixtures.SimpleDbFixture):
    def generate_schema_create_all(self, engine):
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE one (id INTEGER)"))


class Other(test_fixtures.GeneratesSchema, test_fixtures.SimpleDbFixture):
    def generate_schema_create_all(self, engine):
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE other (id INTEGER)"))


class TestTables(testtools.TestCase):
    def tables_of(self, fixture):
        with fixture:
            return sa.inspect(enginefacade.writer.get_engine()).get_table_names()

    def test_each_class_has_its_own(self):
        self.assertEqual((["one"], ["other"]), (self.tables_of(One()), self.tables_of(Other())))

    def test_each_test_has_its_own(self):
        for _ in range(2):
            with One():
                engine = enginefacade.writer.get_engine()
                with engine.begin() as connection:
                    self.assertEqual(0, connection.scalar(sa.text("SELECT count(*) FROM one")))
                    connection.execute(sa.text("INSERT INTO one VALUES (1)"))
"""


class TestSimpleFixtures(testtools.TestCase):
    def outcomes(self, suite):
        ran = self.useFixture(SuiteFolder()).write(test_two=suite).run("test_two", OS_TEST_DBAPI_ADMIN_CONNECTION=None)
        return list(ran.outcomes.values())

    def test_classes_share_no_database_and_tests_no_rows(self):
        self.assertEqual(["failed", "failed"], self.outcomes(TWO_CLASSES))  # as oslo.db has it
        self.assertEqual(["ok", "ok"], self.outcomes(moved(TWO_CLASSES)))

    def test_an_ad_hoc_file_goes_with_what_stands_beside_it(self):
        class AdHoc(OfFacade, test_fixtures.AdHocDbFixture):
            pass

        folder = self.useFixture(SuiteFolder()).path
        with AdHoc(f"sqlite:///{folder}/app.db"):
            create(Context(), "ann")
            self.assertTrue((folder / "app.db").exists())
        self.assertEqual([], list(folder.iterdir()))

    def test_an_ad_hoc_database_on_a_server_stays_and_is_emptied(self):
        class AdHoc(OfFacade, test_fixtures.AdHocDbFixture):
            pass

        for kind in ("postgresql", "mysql"):
            server = servers.require_or_skip(kind)
            name = server.create_database()
            self.addCleanup(server.drop_database, name)
            for _ in range(2):
                with AdHoc(server.url(database=name)):
                    create(Context(), "ann")
                    self.assertEqual(["ann"], owners(Context()))
            database = dbkit.Database(server.url(database=name))
            self.addCleanup(database.dispose)
            self.assertEqual([], sa.inspect(database.engine).get_table_names())


class TestRollingBack(testtools.TestCase):
    """Isolation by rollback, as a capability of oslo.db's fixtures."""

    def case(self, kind, *capabilities):
        class Rolling(OfFacade, *capabilities, test_fixtures.OpportunisticDbFixture):
            DRIVER = kind
            built = 0

        class Case(test_fixtures.OpportunisticDBTestMixin, testtools.TestCase):
            FIXTURE = Rolling

            def test_a(self):
                create(Context(), "ann")
                self.assertEqual(["ann"], owners(Context()))
                self.assertEqual(["ann"], self.in_session())

            test_b = test_c = test_a

            def in_session(self):
                with sa.orm.Session(facade.writer.get_engine()) as session:
                    return session.scalars(sa.select(accounts.c.owner)).all()

        return Case, Rolling

    def test_tests_leave_nothing_and_the_schema_is_built_once(self):
        for kind in ("sqlite", "postgresql", "mariadb"):
            if kind != "sqlite":
                servers.require_or_skip(kind)
            case, fixture = self.case(kind, test_fixtures.RollsBackData)
            outcomes = run_here(of_class(case))
            self.assertEqual(["ok"] * 3, list(outcomes.by_id.values()), outcomes.texts)
            self.assertEqual(1, fixture.built)

    def test_without_it_they_do(self):
        """The negative control: data that nobody resets stays."""
        case, fixture = self.case("sqlite", test_fixtures.ResetsData)
        outcomes = run_here(of_class(case))
        self.assertEqual(["ok", "error", "error"], list(outcomes.by_id.values()))
        self.assertIn(DBDuplicateEntry.__name__, outcomes.texts[0])
        self.assertEqual(1, fixture.built)

    def test_a_test_that_breaks_out_gets_the_next_one_a_new_schema(self):
        servers.require_or_skip("mysql")
        case, fixture = self.case("mysql", test_fixtures.RollsBackData)

        def test_breaking(self):
            create(Context(), "ann")
            with facade.writer.using(Context()) as session:
                session.connection().connection.dbapi_connection.commit()

        case.test_a = test_breaking
        outcomes = run_here(of_class(case))
        self.assertEqual(["error", "ok", "ok"], list(outcomes.by_id.values()), outcomes.texts)
        self.assertIn("IsolationBroken", outcomes.texts[0])
        self.assertEqual(2, fixture.built)

    def test_it_cannot_reset_data_as_well(self):
        case, _ = self.case("sqlite", test_fixtures.RollsBackData, test_fixtures.ResetsData)
        outcomes = run_here(of_class(case, "test_a"))
        self.assertIn("choose one", outcomes.texts[0])
        self.assertIn(UsageError.__name__, outcomes.texts[0])

    def test_simple_and_ad_hoc_fixtures_can_do_it_too(self):
        for base in (test_fixtures.SimpleDbFixture, test_fixtures.AdHocDbFixture):

            class Rolling(OfFacade, test_fixtures.RollsBackData, base):
                pass

            for _ in range(2):
                with Rolling():
                    create(Context(), "ann")
                    self.assertEqual(["ann"], owners(Context()))


class TestNewSchemas(testtools.TestCase):
    """Fixtures that keep nothing: each test has a schema of its own, whatever the one before did."""

    def test_after_a_test_that_leaves_a_transaction_open(self):
        for kind in ("postgresql", "mysql"):
            servers.require_or_skip(kind)

            class Fixture(OfFacade, test_fixtures.OpportunisticDbFixture):
                DRIVER = kind

            class Case(test_fixtures.OpportunisticDBTestMixin, testtools.TestCase):
                FIXTURE = Fixture
                left = []

                def test_a(self):
                    connection = facade.writer.get_engine().connect()
                    connection.execute(accounts.insert().values(owner="ann"))
                    self.left.append(connection)

                def test_b(self):
                    create(Context(), "ann")
                    self.assertEqual(["ann"], owners(Context()))

            outcomes = run_here(of_class(Case))
            self.assertEqual(["ok", "ok"], list(outcomes.by_id.values()), outcomes.texts)
            for connection in Case.left:
                connection.invalidate()
                connection.close()

    def test_views_and_types_go_too(self):
        servers.require_or_skip("postgresql")

        class Fixture(test_fixtures.OpportunisticDbFixture):
            DRIVER = "postgresql"

        class Case(test_fixtures.OpportunisticDBTestMixin, testtools.TestCase):
            FIXTURE = Fixture

            def test_a(self):
                with enginefacade.writer.get_engine().begin() as connection:
                    for statement in (
                        "CREATE SCHEMA other", "CREATE SEQUENCE numbers", "CREATE TYPE mood AS ENUM ('ok')",
                        "CREATE TABLE other.t (m mood)", "CREATE VIEW v AS SELECT * FROM other.t",
                    ):  # fmt: skip
                        connection.execute(sa.text(statement))

            test_b = test_a

        outcomes = run_here(of_class(Case))
        self.assertEqual(["ok", "ok"], list(outcomes.by_id.values()), outcomes.texts)


class TestNames(testtools.TestCase):
    def test_mariadb_is_known(self):
        servers.require_or_skip("mysql")
        url = servers.obtain("mysql").url("pymysql", scheme="mariadb")
        suite = """
            from dbkit import enginefacade
            from dbkit.testing.fixtures import *
            import testtools

            class OnMariaDB(OpportunisticDbFixture):
                DRIVER = "mariadb"

            class TestIt(OpportunisticDBTestMixin, testtools.TestCase):
                FIXTURE = OnMariaDB

                def test_it(self):
                    self.engine = enginefacade.writer.get_engine()
                    self.check()

                @backend_specific("mysql")
                def check(self):
                    print(self.engine.url.get_driver_name())
        """
        for text, name in ((url.render_as_string(hide_password=False), "pymysql"), (None, "pymysql")):
            ran = self.useFixture(SuiteFolder()).write(test_it=suite).run(
                "test_it", OS_TEST_DBAPI_ADMIN_CONNECTION=text
            )  # fmt: skip
            self.assertEqual((["ok"], [name]), (list(ran.outcomes.values()), ran.said), ran.texts)

    def test_a_kind_that_does_not_exist_is_an_error_and_no_skip(self):
        class Fixture(test_fixtures.OpportunisticDbFixture):
            DRIVER = "postgres"

        class Case(test_fixtures.OpportunisticDBTestMixin, testtools.TestCase):
            FIXTURE = Fixture

            def test_it(self): ...

        outcomes = run_here(of_class(Case))
        self.assertEqual(["error"], list(outcomes.by_id.values()))
        self.assertIn("did you mean 'postgresql'?", outcomes.texts[0])

    def test_backend_specific_knows_its_names(self):
        class Case(unittest.TestCase):
            engine = sa.create_engine("sqlite://")

            @test_fixtures.backend_specific("postgresql")
            def test_elsewhere(self):
                raise AssertionError

            @test_fixtures.backend_specific("sqllite")
            def test_misspelt(self): ...

        outcomes = run_here(of_class(Case))
        reason, error = outcomes.by_id.values()
        self.assertRegex(reason, "skipped: .*test_elsewhere is for postgresql only, and the engine's dialect is sqlite")
        self.assertEqual("error", error)
        self.assertIn("ValueError", outcomes.texts[0])


class TestImporting(testtools.TestCase):
    def test_nothing_is_read_or_started_by_an_import(self):
        program = (
            "import os; environment = dict(os.environ)\n"
            "class Refusing(dict):\n"
            "    def get(self, name, default=None):\n"
            "        assert 'TEST' not in str(name), name\n"
            "        return super().get(name, default)\n"
            "os.environ = Refusing(environment); os.getenv = os.environ.get\n"
            "from dbkit.testing import fixtures\n"
            "import sys; assert 'psycopg' not in sys.modules and 'pymysql' not in sys.modules\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment_with()
        )
        self.assertEqual((0, ""), (done.returncode, done.stderr))

    def test_no_folder_is_written_into_the_program(self):
        folder = Path(test_fixtures.__file__).parent
        text = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
        for word in ("/tmp", "openstack_citest", os.sep + "var"):
            self.assertNotIn(word, text)
