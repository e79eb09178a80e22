"""Many databases in one run: scenarios, skipping, the order of tests, and workers side by side."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
import unittest
from importlib.util import find_spec

import fixtures
import testresources
import testtools

from dbkit.testing import servers
from dbkit.testing.fixtures import (
    DatabaseTestCase,
    DatabaseTestMixin,
    optimize_module_test_loader,
    optimize_package_test_loader,
)
from dbkit.testing.fixtures.scenarios import expand
from dbkit.tests import warm
from dbkit.tests.contract.fixture_suites import ROOT, SuiteFolder, environment_with, of_class

SUITE = """
    import sqlalchemy as sa
    import dbkit
    from dbkit.testing.fixtures import (
        DatabaseTestCase, GeneratesSchema, OpportunisticDBTestMixin, OpportunisticDbFixture, RollsBackData,
        optimize_module_test_loader, optimize_package_test_loader,
    )
    from dbkit.testing.provision import Schema
    import testtools
    from oslo_utils import uuidutils

    metadata = sa.MetaData()
    accounts = sa.Table("account", metadata, sa.Column("owner", sa.String(50), primary_key=True))
    db = dbkit.Database("sqlite:////nowhere/application.db")


    @db.writer
    def create(owner):
        db.session.execute(accounts.insert().values(owner=owner))


    def build(connection):
        print("built on", connection.dialect.name)
        metadata.create_all(connection)


    class Tests(DatabaseTestCase):
        schema = Schema(build=build, version=uuidutils.generate_uuid())
        managers = [db]

        def test_a(self):
            print("test on", self.backend, self.database_fixture.url.database)
            create("ann")

        test_b = test_c = test_a

        async def test_d(self):
            async with db.writer() as session:
                await session.execute(accounts.insert().values(owner="ann"))
"""

ON_TWO = (
    SUITE
    + """
    class TestOnTwo(Tests):
        backends = ["sqlite", "postgresql"]


    class TestOnPostgreSQL(Tests):
        backends = ["postgresql"]
"""
)
LOADER = """
    load_tests = optimize_module_test_loader()
"""


def required():
    servers.require_or_skip("postgresql")


class TestScenarios(testtools.TestCase):
    def folder(self, text):
        return self.useFixture(SuiteFolder()).write(test_it=text)

    def test_each_test_runs_on_each_kind_that_it_is_for(self):
        required()
        for text in (ON_TWO, ON_TWO + LOADER):
            ran = self.folder(text).run("test_it.TestOnTwo" if text is ON_TWO else "test_it")
            self.assertEqual({"ok"}, set(ran.outcomes.values()), ran.texts)
            mine = {name for name in ran.outcomes if "OnTwo" in name}
            expected = {f"test_it.TestOnTwo.test_{x}({kind})" for x in "abcd" for kind in ("sqlite", "postgresql")}
            self.assertEqual(expected, mine)

    def test_the_environment_names_the_kinds_of_a_run(self):
        ran = self.folder(ON_TWO + LOADER).run("test_it", DBKIT_TEST_BACKENDS="sqlite, mariadb")
        self.assertEqual("ok", ran.outcomes["test_it.TestOnTwo.test_a"], ran.texts)
        self.assertEqual(
            "skipped: the test is for postgresql, and DBKIT_TEST_BACKENDS is 'sqlite, mariadb'",
            ran.outcomes["test_it.TestOnPostgreSQL.test_a"],
        )

    def test_tests_that_name_no_kinds_run_on_those_of_the_environment(self):
        required()
        folder = self.folder(SUITE + LOADER)
        ran = folder.run("test_it", DBKIT_TEST_BACKENDS="postgresql,sqlite")
        self.assertIn("test_it.Tests.test_a(postgresql)", ran.outcomes)
        self.assertEqual(8, len(ran.outcomes))
        self.assertIn("test_it.Tests.test_a", folder.run("test_it", DBKIT_TEST_BACKENDS=None).outcomes)

    def test_own_scenarios_are_multiplied_by_the_kinds(self):
        class Case(DatabaseTestMixin, unittest.TestCase):
            backends = ("sqlite", "postgresql")
            scenarios = [("one", {"number": 1}), ("two", {"number": 2})]

            def test_it(self):
                """Numbers."""

        tests = list(expand(of_class(Case)))
        found = {re.sub(r".*\((.*)\)", r"\1", test.id()): (test.number, test.backend) for test in tests}
        self.assertEqual(
            {
                "one,sqlite": (1, "sqlite"), "one,postgresql": (1, "postgresql"),
                "two,sqlite": (2, "sqlite"), "two,postgresql": (2, "postgresql"),
            },
            found,
        )  # fmt: skip
        self.assertEqual("Numbers. (one,sqlite)", tests[0].shortDescription())
        self.assertEqual(tests, list(expand(unittest.TestSuite(tests))))

    def test_what_has_no_scenarios_stays_as_it_is(self):
        class Case(unittest.TestCase):
            backends = ("not", "ours")

            def test_it(self): ...

        tests = of_class(Case)
        self.assertIs(next(iter(tests)), next(expand(tests)))


class TestMissingServers(testtools.TestCase):
    """A server that is not there: the reason says what is missing, whatever the suite."""

    elsewhere = {"DBKIT_POSTGRESQL_BIN": "/nowhere", "DBKIT_TEST_POSTGRESQL_URL": None}

    def run_suite(self, loader, **environment):
        folder = self.useFixture(SuiteFolder()).write(test_it=ON_TWO + (LOADER if loader else ""))
        return folder.run("test_it", DBKIT_TEST_BACKENDS=None, **self.elsewhere, **environment)

    def test_its_tests_are_skipped_and_the_others_run(self):
        for loader in (True, False):
            ran = self.run_suite(loader, DBKIT_TEST_REQUIRE=None)
            there = [name for name in ran.outcomes if "postgresql" not in name and "PostgreSQL" not in name]
            self.assertEqual({"ok"}, {ran.outcomes[name] for name in there}, ran.texts)
            missing = {outcome for name, outcome in ran.outcomes.items() if name not in there}
            self.assertEqual(1, len(missing))
            self.assertRegex(missing.pop(), "skipped: .*(postgresql|initdb).*DBKIT_POSTGRESQL_BIN")

    def test_a_run_that_requires_it_fails(self):
        for loader in (True, False):
            ran = self.run_suite(loader, DBKIT_TEST_REQUIRE="postgresql")
            self.assertEqual("error", ran.outcomes["test_it.TestOnPostgreSQL.test_a"])
            self.assertEqual("ok", ran.outcomes["test_it.TestOnTwo.test_a(sqlite)"])
            self.assertIn("DBKIT_TEST_REQUIRE demands postgresql", ran.texts)

    def test_a_schema_that_cannot_be_built_fails_its_tests_and_no_others(self):
        text = SUITE + """
    def fail(connection):
        raise RuntimeError("no such revision")

    class TestBroken(Tests):
        schema = Schema(build=fail, version="1")
        """ + LOADER  # fmt: skip
        ran = self.useFixture(SuiteFolder()).write(test_it=text).run("test_it", DBKIT_TEST_BACKENDS=None)
        self.assertEqual("error", ran.outcomes["test_it.TestBroken.test_a"])
        self.assertEqual("ok", ran.outcomes["test_it.Tests.test_a"])
        self.assertIn("no such revision", ran.texts)


class TestOrder(testtools.TestCase):
    """Tests of one database stand together, and its schema is built once."""

    mixed = (
        SUITE
        + """
    class Hooked(GeneratesSchema, RollsBackData, OpportunisticDbFixture):
        DRIVER = "{driver}"

        def get_enginefacade(self):
            return db

        def generate_schema_create_all(self, engine):
            print("hook on", engine.dialect.name)
            metadata.create_all(engine)

    class HookedAnew(GeneratesSchema, OpportunisticDbFixture):
        DRIVER = "{driver}"
        get_enginefacade = Hooked.get_enginefacade
        generate_schema_create_all = Hooked.generate_schema_create_all

    def case(number, other):
        class Case(OpportunisticDBTestMixin, testtools.TestCase):
            FIXTURE = other

            def test_it(self):
                print("test with", other.__name__)
                create("ann")

        Case.__qualname__ = f"Test{{number}}{{other.__name__}}"
        return Case

    for number in range(3):
        for fixture in (Hooked, HookedAnew):
            globals()[f"Test{{number}}{{fixture.__name__}}"] = case(number, fixture)
    """
    )

    def run_mixed(self, driver, loader):
        text = self.mixed.format(driver=driver) + (LOADER if loader else "")
        ran = self.useFixture(SuiteFolder()).write(test_it=text).run("test_it", DBKIT_TEST_BACKENDS="sqlite")
        self.assertEqual({"ok"}, set(ran.outcomes.values()), ran.texts)
        return ran.said

    def test_with_the_loader_they_stand_together(self):
        for driver in ("sqlite", "postgresql", "mariadb"):
            if driver != "sqlite":
                servers.require_or_skip(driver)
            said = self.run_mixed(driver, loader=True)
            order = [line for line in said if line.startswith("test")]
            kinds = [kind for kind, _ in itertools.groupby(line.split()[2] for line in order)]
            self.assertEqual({"sqlite", "Hooked", "HookedAnew"}, set(kinds))
            self.assertEqual(3, len(kinds), order)

    def test_a_schema_is_built_once_or_once_for_each_test(self):
        """Also without the loader, where oslo.db creates a database and builds a schema for each test."""
        for loader in (True, False):
            said = self.run_mixed("sqlite", loader)
            self.assertEqual(1, said.count("built on sqlite"), said)
            self.assertEqual(1 + 3, sum(line.startswith("hook on") for line in said), said)

    def test_costs_say_that_a_server_is_dearer_than_a_database(self):
        class Case(DatabaseTestCase):
            def test_it(self): ...

        costs = {}
        for kind in ("sqlite", "postgresql"):
            test = Case("test_it")
            test.backend = kind
            (needed,) = [resource.neededResources() for _, resource in test.resources]
            costs[kind] = [resource.setUpCost for resource in needed]
        self.assertEqual(2, len(costs["postgresql"]))
        self.assertGreater(costs["postgresql"][0], costs["postgresql"][1])
        self.assertGreater(sum(costs["postgresql"]), sum(costs["sqlite"]))

    def test_all_tests_of_a_database_ask_for_the_same_resource(self):
        class One(DatabaseTestCase):
            def test_it(self): ...

        class Other(One):
            pass

        self.assertEqual(One("test_it").resources, Other("test_it").resources)

    def test_the_loaders_make_an_optimising_suite(self):
        class Case(DatabaseTestCase):
            backends = ("sqlite", "postgresql")

            def test_it(self): ...

        found = of_class(Case)
        suite = optimize_module_test_loader()(unittest.TestLoader(), found, None)
        self.assertIsInstance(suite, testresources.OptimisingTestSuite)
        self.assertEqual(2, suite.countTestCases())

    def test_a_package_is_searched(self):
        folder = self.useFixture(SuiteFolder()).write(
            bank__test_a=SUITE + LOADER,
            bank__test_b=SUITE,
        )
        folder.path.joinpath("bank", "__init__.py").write_text(
            "from dbkit.testing.fixtures import optimize_package_test_loader\n"
            "load_tests = optimize_package_test_loader(__file__)\n",
            encoding="utf-8",
        )
        ran = folder.run("bank", DBKIT_TEST_BACKENDS=None)
        self.assertEqual(8, len(ran.outcomes))
        self.assertEqual({"ok"}, set(ran.outcomes.values()), ran.texts)
        load_tests = optimize_package_test_loader(str(folder.path / "bank" / "__init__.py"))
        self.useFixture(fixtures.MonkeyPatch("sys.path", [str(folder.path), *sys.path]))
        suite = load_tests(unittest.TestLoader(), unittest.TestSuite(), None)
        self.assertEqual(8, suite.countTestCases())


class TestPytest(testtools.TestCase):
    def test_pytest_runs_a_test_on_each_kind(self):
        if find_spec("pytest") is None:
            self.skipTest("pytest is not installed: pip install pytest")
        required()
        text = (
            ON_TWO
            + """
    class TestE(TestOnTwo):
        def test_e(self):
            assert self.backend == "sqlite"
    """
        )
        folder = self.useFixture(SuiteFolder()).write(test_it=text)
        options = ("-q", "-p", "no:cacheprovider", f"--rootdir={folder.path}")
        command = ("-m", "pytest", *options, folder.path / "test_it.py")
        done = warm.run(*command, cwd=ROOT, env=environment_with(DBKIT_TEST_BACKENDS=None))
        self.assertIn("1 failed, 16 passed", done.stdout, done.stdout)


class TestStestr(testtools.TestCase):
    def test_each_worker_has_a_database_of_its_own(self):
        required()
        text = (
            ON_TWO.replace("import sqlalchemy", "import os\n    import sqlalchemy", 1)
            + """
    def noting(self, set_up=Tests.setUp):
        set_up(self)
        open(os.path.join(os.environ["WHERE"], f"{os.getpid()} {self.engine.url.database}".replace("/", ".")), "w")

    Tests.setUp = noting  # in each: the loader decides on their order, and stestr by it on who runs them

    class TestOther(Tests):
        pass
    """
        )
        folder = self.useFixture(SuiteFolder()).write(tests__test_it=text + LOADER, tests__test_more=text + LOADER)
        folder.path.joinpath("tests", "__init__.py").touch()
        folder.path.joinpath(".stestr.conf").write_text("[DEFAULT]\ntest_path=./tests\ntop_dir=./\n", encoding="utf-8")
        pids = self.useFixture(fixtures.TempDir()).path
        done = subprocess.run(
            [sys.executable, "-m", "stestr", "run", "--concurrency", "2"], cwd=folder.path, capture_output=True,
            text=True, timeout=300, check=False,
            env=environment_with(WHERE=pids, DBKIT_TEST_BACKENDS=None, PYTHON=sys.executable),
        )  # fmt: skip
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        self.assertIn(" - Passed: 40", done.stdout)
        names = [name.split() for name in os.listdir(pids)]
        self.assertEqual(2, len({process for process, _ in names}))
        self.assertEqual(len(names), len({database for _, database in names}))
