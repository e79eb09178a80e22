"""A suite that was written for oslo.db's test_fixtures moves by a change of its imports."""

from __future__ import annotations

import testtools

from dbkit.testing import servers
from dbkit.tests.contract.fixture_suites import SuiteFolder

SUITE = """
from oslo_db.sqlalchemy import enginefacade
from oslo_db.sqlalchemy import test_fixtures
from oslo_db.sqlalchemy.test_base import backend_specific

import sqlalchemy as sa
import testtools

metadata = sa.MetaData()
accounts = sa.Table("account", metadata, sa.Column("owner", sa.String(50), primary_key=True))
sa.Index("ix_owner", accounts.c.owner)

main, api = enginefacade.transaction_context(), enginefacade.transaction_context()
main.configure(connection="sqlite:////nowhere/main.db", mysql_sql_mode="TRADITIONAL")


@enginefacade.transaction_context_provider
class Context:
    pass


@main.writer
def create(context, owner):
    context.session.execute(accounts.insert().values(owner=owner))


@main.reader
def owners(context):
    return sorted(context.session.scalars(sa.select(accounts.c.owner)).all())


def delete(engine):
    with engine.begin() as connection:
        connection.execute(accounts.delete())


class OfMain:
    def get_enginefacade(self):
        return main

    def generate_schema_create_all(self, engine):
        metadata.create_all(engine)


class Opportunistic(OfMain, test_fixtures.GeneratesSchema, test_fixtures.OpportunisticDbFixture):
    pass


class Deleting(OfMain, test_fixtures.GeneratesSchema, test_fixtures.DeletesFromSchema,
               test_fixtures.OpportunisticDbFixture):
    def delete_from_schema(self, engine):
        delete(engine)


class Migrating(OfMain, test_fixtures.GeneratesSchemaFromMigrations, test_fixtures.ResetsData,
                test_fixtures.OpportunisticDbFixture):
    def generate_schema_create_all(self, engine):
        raise AssertionError("the migrations build this schema")

    def generate_schema_migrations(self, engine):
        metadata.create_all(engine)

    def setup_for_reset(self, engine, facade):
        with facade.writer.using(Context()) as session:
            session.execute(accounts.insert().values(owner="set up"))

    def reset_schema_data(self, engine, facade):
        with facade.writer.using(Context()) as session:
            session.execute(accounts.delete())


class MySQL(Opportunistic):
    DRIVER = "mysql"


class PostgreSQL(Opportunistic):
    DRIVER = "postgresql"


class MySQLDeleting(Deleting):
    DRIVER = "mysql"


class PostgreSQLDeleting(Deleting):
    DRIVER = "postgresql"


class Tests(test_fixtures.OpportunisticDBTestMixin):
    FIXTURE = Opportunistic

    def setUp(self):
        super().setUp()
        self.engine = main.writer.get_engine()

    def test_the_first_one_finds_nothing(self):
        create(Context(), "ann")
        self.assertEqual(["ann"], owners(Context()))

    def test_the_second_one_finds_nothing(self):
        create(Context(), "ann")
        self.assertEqual(["ann"], owners(Context()))

    def test_the_schema_is_what_the_hook_built(self):
        self.assertEqual(["account"], sa.inspect(self.engine).get_table_names())

    def test_one_that_fails(self):
        create(Context(), "ann")
        self.assertEqual([], owners(Context()))

    def test_one_that_breaks(self):
        create(Context(), "ann")
        create(Context(), "ann")

    @backend_specific("sqlite")
    def test_for_one_kind(self):
        self.assertEqual("sqlite", self.engine.name)

    @backend_specific("mysql", "postgresql")
    def test_for_two_kinds(self):
        self.assertIn(self.engine.name, ("mysql", "postgresql"))

    @backend_specific("oracle")
    def test_for_no_kind(self):
        pass


class TestSQLite(Tests, testtools.TestCase):
    pass


class TestMySQL(Tests, testtools.TestCase):
    FIXTURE = MySQL


class TestPostgreSQL(Tests, testtools.TestCase):
    FIXTURE = PostgreSQL


class TestDeleting(Tests, testtools.TestCase):
    FIXTURE = Deleting


class TestMySQLDeleting(Tests, testtools.TestCase):
    FIXTURE = MySQLDeleting


class TestPostgreSQLDeleting(Tests, testtools.TestCase):
    FIXTURE = PostgreSQLDeleting


class TestMigrating(test_fixtures.OpportunisticDBTestMixin, testtools.TestCase):
    FIXTURE = Migrating

    def test_a(self):
        create(Context(), "ann")
        self.assertEqual(["ann", "set up"], owners(Context()))

    test_b = test_a


class TestMigratingChanged(TestMigrating):
    scenarios = [("once", {}), ("twice", {})]

    def test_c(self):
        self.assertIsNone(self.scenarios)


class TestRequired(test_fixtures.OpportunisticDBTestMixin, testtools.TestCase):
    SKIP_ON_UNAVAILABLE_DB = False
    FIXTURE = test_fixtures.MySQLOpportunisticFixture

    def test_it_is_there(self):
        self.assertEqual("mysql", enginefacade.writer.get_engine().name)


class TestUsual(test_fixtures.OpportunisticDBTestMixin, testtools.TestCase):
    FIXTURE = test_fixtures.PostgresqlOpportunisticFixture

    def test_the_common_manager(self):
        self.assertEqual([], sa.inspect(enginefacade.writer.get_engine()).get_table_names())


class OfApi(Opportunistic):
    def get_enginefacade(self):
        return api


class TestTwoDatabases(test_fixtures.OpportunisticDBTestMixin, testtools.TestCase):
    def generate_fixtures(self):
        return [Opportunistic(test=self, ident="main"), OfApi(test=self, ident="api")]

    def test_each_manager_has_its_own(self):
        create(Context(), "ann")
        with api.reader.using(Context()) as session:
            self.assertEqual([], session.scalars(sa.select(accounts.c.owner)).all())
        self.assertEqual(["ann"], owners(Context()))


class PerTest(Opportunistic):
    def __init__(self, test):
        super().__init__(test=test)
        self.own = test.own = enginefacade.transaction_context()

    def get_per_test_enginefacade(self):
        return self.own


class TestPerTest(test_fixtures.OpportunisticDBTestMixin, testtools.TestCase):
    FIXTURE = PerTest

    def test_its_own_manager(self):
        with self.own.writer.using(Context()) as session:
            session.execute(accounts.insert().values(owner="ann"))
        self.assertRaises(Exception, owners, Context())


class AdHoc(OfMain, test_fixtures.GeneratesSchema, test_fixtures.AdHocDbFixture):
    pass


class Simple(OfMain, test_fixtures.GeneratesSchema, test_fixtures.DeletesFromSchema, test_fixtures.SimpleDbFixture):
    def delete_from_schema(self, engine):
        delete(engine)


class TestWithoutResources(testtools.TestCase):
    def test_ad_hoc(self):
        self.useFixture(AdHoc())
        create(Context(), "ann")
        self.assertEqual(["ann"], owners(Context()))

    def test_ad_hoc_again(self):
        self.test_ad_hoc()

    def test_ad_hoc_file(self):
        fixture = AdHoc("sqlite:///adhoc.db")
        fixture.setUp()
        try:
            create(Context(), "ann")
            open("adhoc.db").close()
        finally:
            fixture.cleanUp()
        self.assertRaises(FileNotFoundError, open, "adhoc.db")

    def test_simple(self):
        self.useFixture(Simple())
        create(Context(), "ann")
        self.assertEqual(["ann"], owners(Context()))

    def test_simple_again(self):
        self.test_simple()

    def test_replace(self):
        other = enginefacade.transaction_context()
        other.configure(connection="sqlite://")
        fixture = test_fixtures.ReplaceEngineFacadeFixture(api, other)
        with fixture:
            self.assertIs(other.writer.get_engine(), api.writer.get_engine())
            self.assertTrue(api.is_started)
        self.assertFalse(api.is_started)


load_tests = test_fixtures.optimize_module_test_loader()
"""

MOVED = {
    "from oslo_db.sqlalchemy import enginefacade": "from dbkit import enginefacade",
    "from oslo_db.sqlalchemy import test_fixtures": "from dbkit.testing import fixtures as test_fixtures",
    "from oslo_db.sqlalchemy.test_base import": "from dbkit.testing.fixtures import",
}


def moved(suite):
    """Return the suite with its imports changed, and nothing else."""
    for before, after in MOVED.items():
        assert before in suite
        suite = suite.replace(before, after)
    assert "oslo" not in suite
    return suite


def kinds_of(outcomes):
    """Return what became of each test, without the reasons."""
    return {name: outcome.split(":")[0] for name, outcome in outcomes.items()}


class TestMoving(testtools.TestCase):
    """The same suite, with oslo.db and with dbkit."""

    def both(self, suite, loader=True, **environment):
        if not loader:
            suite = suite.replace("load_tests = ", "unused = ")
        runs = []
        for text in (suite, moved(suite)):
            folder = self.useFixture(SuiteFolder()).write(test_bank=text)
            runs.append(folder.run("test_bank", DBKIT_TEST_REQUIRE=None, **environment))
        theirs, ours = runs
        self.assertEqual(kinds_of(theirs.outcomes), kinds_of(ours.outcomes), f"{theirs.texts}\n{ours.texts}")
        return ours

    def test_on_sqlite_alone(self):
        ours = self.both(SUITE, OS_TEST_DBAPI_ADMIN_CONNECTION="sqlite://").outcomes
        self.assertEqual("failed", ours["test_bank.TestRequired.test_it_is_there"])
        self.assertRegex(ours["test_bank.TestMySQL.test_one_that_fails"], "skipped: .*names no mysql database")
        self.assertEqual("ok", ours["test_bank.TestMigratingChanged.test_c(twice)"])
        self.assertIn("failed", ours.values())
        self.assertIn("error", ours.values())

    def test_without_the_loader(self):
        suite = SUITE.replace("    scenarios = [", "    unused = [").replace("self.scenarios", "None")
        self.both(suite, loader=False, OS_TEST_DBAPI_ADMIN_CONNECTION="sqlite://")

    def test_on_servers_of_an_administrator(self):
        mysql = servers.require_or_skip("mysql").url("pymysql")
        postgresql = servers.require_or_skip("postgresql").url("psycopg2")
        urls = [url.render_as_string(hide_password=False) for url in (mysql, postgresql)]
        ours = self.both(SUITE, OS_TEST_DBAPI_ADMIN_CONNECTION=";".join([*urls, "sqlite://"])).outcomes
        for name in ("TestMySQL", "TestPostgreSQL", "TestMySQLDeleting", "TestPostgreSQLDeleting"):
            self.assertEqual("ok", ours[f"test_bank.{name}.test_the_second_one_finds_nothing"])
        self.assertEqual("ok", ours["test_bank.TestRequired.test_it_is_there"])

    def test_without_any_account_ours_has_servers(self):
        """oslo.db would skip all of these: they need its account openstack_citest."""
        for kind in ("mysql", "postgresql"):
            servers.require_or_skip(kind)
        folder = self.useFixture(SuiteFolder()).write(test_bank=moved(SUITE))
        ran = folder.run("test_bank", OS_TEST_DBAPI_ADMIN_CONNECTION=None)
        for name in ("TestMySQL", "TestPostgreSQL", "TestMySQLDeleting", "TestPostgreSQLDeleting"):
            self.assertEqual("ok", ran.outcomes[f"test_bank.{name}.test_the_second_one_finds_nothing"], ran.texts)
