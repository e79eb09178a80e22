"""Mistakes in classes of tests: each is told where it is made, with what to write."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import unittest

import sqlalchemy as sa
import testtools

import dbkit
from dbkit.exceptions import UsageError
from dbkit.testing.fixtures import DatabaseFixture, DatabaseTestCase, DatabaseTestMixin, isolated_by
from dbkit.tests.contract.fixture_suites import of_class, run_here

metadata = sa.MetaData()
accounts = sa.Table("account", metadata, sa.Column("owner", sa.String(50), primary_key=True))

db = dbkit.Database("sqlite:////nowhere/application.db")


@db.writer
def create(owner):
    db.session.execute(accounts.insert().values(owner=owner))


@db.writer
async def acreate(owner):
    await db.async_session.execute(accounts.insert().values(owner=owner))


class TestIsolatedBy(testtools.TestCase):
    def test_without_brackets_it_is_refused_above_the_test(self):
        def test_a(self): ...

        error = self.assertRaises(UsageError, isolated_by, test_a)
        self.assertIn("test_a", str(error))
        self.assertIn('write @isolated_by("clone")', str(error))

    def test_a_misspelt_strategy_is_refused_with_the_nearest(self):
        self.assertIn("did you mean 'rollback'?", str(self.assertRaises(UsageError, isolated_by, "rolback")))

    def test_what_is_no_name_is_refused(self):
        self.assertIn("there are rollback", str(self.assertRaises(UsageError, isolated_by, None)))


class TestAttributes(testtools.TestCase):
    def make(self, **attributes):
        return type("TestAccounts", (DatabaseTestCase,), attributes)

    def assertMeant(self, right, **attributes):
        error = self.assertRaises(UsageError, self.make, **attributes)
        self.assertIn(f"did you mean {right!r}?", str(error))
        self.assertIn("TestAccounts", str(error))

    def test_misspelt_ones_are_refused_with_the_nearest(self):
        async def prepare(self): ...

        self.assertMeant("managers", manager=[db])
        self.assertMeant("managers", mangers=db)
        self.assertMeant("schema", schemas=[metadata])
        self.assertMeant("schema", shema=metadata)
        self.assertMeant("isolation", isolaton="clone")
        self.assertMeant("backends", backend_s="sqlite")
        self.assertMeant("asyncSetUp", asyncSetup=prepare)
        self.assertMeant("asyncTearDown", async_tear_down=prepare)

    def test_what_holds_something_else_is_the_authors(self):
        self.make(manager="Ann", schemas={"a": 1}, scheme="https")

    def test_one_with_a_number_stands_beside(self):
        self.make(schema=metadata, schema_2=metadata)

    def test_one_that_a_base_knows_is_the_bases(self):
        class Other(unittest.TestCase):
            manager = None

        type("TestAccounts", (DatabaseTestMixin, Other), {"manager": db})

    def test_a_misspelt_isolation_is_refused_when_the_class_is_made(self):
        error = self.assertRaises(UsageError, self.make, isolation="clones")
        self.assertIn("did you mean 'clone'?", str(error))


class TestManagers(testtools.TestCase):
    def test_a_single_one_needs_no_list(self):
        class Case(DatabaseTestCase):
            schema = metadata
            managers = db

            def test_a(self):
                create("ann")
                self.assertEqual(["ann"], self.session.scalars(sa.select(accounts.c.owner)).all())

        outcomes = run_here(of_class(Case))
        self.assertEqual(["ok"], list(outcomes.by_id.values()), outcomes.texts)

    def test_what_is_no_manager_is_refused(self):
        for given in ("app.db", [sa.MetaData()], 7):
            error = self.assertRaises(UsageError, DatabaseFixture, metadata, managers=given)
            self.assertIn("the managers of a test cannot be a", str(error))


class TestMissingSchema(testtools.TestCase):
    def texts_of(self, case):
        outcomes = run_here(of_class(case))
        self.assertEqual({"error"}, set(outcomes.by_id.values()), outcomes.texts)
        return outcomes.texts

    def assertTold(self, case):
        for text in self.texts_of(case):
            self.assertIn("has no attribute 'schema'", text)

    def test_a_missing_table_tells_of_it(self):
        class Case(DatabaseTestCase):
            managers = db

            def test_a(self):
                create("ann")

            async def test_b(self):
                await acreate("ann")

        class Unittest(DatabaseTestMixin, unittest.TestCase):
            managers = db
            test_a = Case.test_a
            test_b = Case.test_b

        self.assertTold(Case)
        self.assertTold(Unittest)

    def test_it_is_told_in_set_up_too(self):
        class Case(DatabaseTestCase):
            managers = db

            def setUp(self):
                super().setUp()
                create("ann")

            def test_a(self): ...

        self.assertTold(Case)

    def test_with_a_schema_a_missing_table_is_just_missing(self):
        class Case(DatabaseTestCase):
            schema = metadata

            def test_a(self):
                with self.db.reader() as session:
                    session.execute(sa.text("SELECT * FROM nowhere"))

        for text in self.texts_of(Case):
            self.assertNotIn("has no attribute", text)

    def test_a_test_is_as_it_was_when_it_has_run(self):
        class Case(DatabaseTestCase):
            def test_a(self): ...

        case = Case("test_a")
        mine = case.test_a
        case.test_a = mine  # as pytest does
        run_here(case)
        self.assertIs(mine, vars(case)["test_a"])
        self.assertNotIn("setUp", vars(case))


class TestBlockingTestsBesideCoroutines(testtools.TestCase):
    def test_one_whose_class_prepares_coroutines_is_an_error(self):
        for name in ("asyncSetUp", "asyncTearDown"):

            async def prepare(self): ...

            def test_blocking(self):
                raise AssertionError("it is not run")

            async def test_coroutine(self): ...

            body = {name: prepare, "test_blocking": test_blocking, "test_coroutine": test_coroutine}
            case = type("Case", (DatabaseTestCase,), body)
            outcomes = run_here(of_class(case))
            self.assertEqual(["error", "ok"], list(outcomes.by_id.values()), outcomes.texts)
            self.assertIn(f"Case defines {name}", outcomes.texts[0])
            self.assertIn("'async def test_blocking'", outcomes.texts[0])


class TestWithoutTesttools(testtools.TestCase):
    def run_without(self, text):
        hidden = """
            import sys
            for name in ("fixtures", "testresources", "testtools"):
                sys.modules[name] = None
        """
        text = textwrap.dedent(hidden) + textwrap.dedent(text)
        return subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)

    def test_the_fixtures_name_the_extra(self):
        done = self.run_without("import dbkit.testing.fixtures")
        self.assertEqual(1, done.returncode)
        self.assertIn("ImportError: dbkit.testing.fixtures needs ", done.stderr)
        self.assertTrue(done.stderr.strip().endswith("pip install 'dbkit[testing]'"), done.stderr)

    def test_all_else_needs_nothing(self):
        done = self.run_without(
            """
            import dbkit.testing.assertions, dbkit.testing.faults, dbkit.testing.isolation
            import dbkit.testing.provision, dbkit.testing.servers
            """
        )
        self.assertEqual(0, done.returncode, done.stderr)
