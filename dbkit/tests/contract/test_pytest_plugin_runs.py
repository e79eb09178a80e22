"""The pytest plugin and the run as a whole: order, processes, servers that are not there, projects without dbkit."""

from __future__ import annotations

import re
import textwrap

from dbkit.tests.contract.pytest_cases import ROOT, SETTINGS, PytestCase
from dbkit.tests.contract.test_pytest_plugin import TWICE, kinds

MIXED = """
@pytest.mark.dbkit(isolation="none")
def test_leaves_rows(db):
    create("ann")

@pytest.mark.dbkit(isolation="clone")
def test_clone(db):
    assert owners() == []

def test_rollback(db):
    assert owners() == []

def test_plain():
    pass

@pytest.mark.dbkit
def test_marked():
    assert owners() == []
"""


class TestOrder(PytestCase):
    needs = ("pytest_randomly",)

    def test_tests_on_one_database_stand_together_and_those_that_leave_rows_last(self):
        run = self.pytest("--dbkit-backends=sqlite", test=MIXED)
        names = ["plain", "rollback[sqlite]", "marked[sqlite]", "clone[sqlite]", "leaves_rows[sqlite]"]
        self.assertEqual([f"test_{name}" for name in names], run.order)
        self.assertEqual({"passed": 5}, run.counts)

    def test_it_can_be_switched_off(self):
        run = self.pytest("--dbkit-no-grouping", test=MIXED)
        names = [f"test_{name}[sqlite]" for name in ("leaves_rows", "clone", "rollback", "marked")]
        self.assertEqual(names, [name for name in run.order if name != "test_plain"])
        self.assertEqual({"passed": 3, "failed": 2}, run.counts)

    def test_a_random_order_is_kept_inside_the_groups(self):
        many = "@pytest.mark.parametrize('number', range(12))\ndef test_many(number, db):\n    create('ann')\n"
        found = []
        for seed in (1, 2):
            run = self.pytest(f"--randomly-seed={seed}", test=many + MIXED, random=True)
            self.assertEqual({"passed": 17}, run.counts, run.output)
            self.assertEqual(["test_clone[sqlite]", "test_leaves_rows[sqlite]"], run.order[-2:])
            found.append([name for name in run.order if "many" in name])
        self.assertNotEqual(found[0], found[1])


class TestProcesses(PytestCase):
    needs = ("xdist",)

    def test_each_has_a_database_of_its_own(self):
        run = self.pytest(
            "-n2", "--dist=each", f"--dbkit-backends={','.join(kinds())}",
            test=TWICE + """
@pytest.mark.dbkit(isolation="none")
def test_names(db, dbkit_database):
    create("ann")
    with open(__file__ + ".names", "a") as file:
        file.write(f"{dbkit_database.kind} {dbkit_database.name}\\n")
    assert owners() == ["ann"]
""",
        )  # fmt: skip
        self.assertEqual({"passed": 6 * len(kinds())}, run.counts, run.output)
        names = (self.folder / "test_it.py.names").read_text().splitlines()
        self.assertEqual(2 * len(kinds()), len(set(names)), names)
        for kind in kinds():
            self.assertRegex(run.summary, rf"{kind}[^:]*: 6 tests;")

    def test_what_the_environment_demands_is_said_in_each(self):
        run = self.pytest("-n2", test=TWICE, DBKIT_TEST_REQUIRE="postgresql")
        self.assertEqual((1, {"error": 2}), (run.code, run.counts), run.output)
        self.assertIn("DBKIT_TEST_REQUIRE names 'postgresql', and no test of", run.text_of("test_first[sqlite]"))

    def test_what_the_configuration_requires_is_not_taken_for_it(self):
        run = self.pytest("-n2", test=TWICE, settings=f"{SETTINGS}dbkit_require = postgresql")
        self.assertEqual((0, {"passed": 2}), (run.code, run.counts), run.output)

    def test_other_ways_to_share_the_tests_out(self):
        group = "\n@pytest.mark.xdist_group('one')\ndef test_third(db):\n    create('ann')\n"
        run = self.pytest("-n2", "--dist=loadgroup", test=TWICE + group)
        self.assertEqual({"passed": 3}, run.counts, run.output)


class TestServers(PytestCase):
    def test_what_is_not_there_is_skipped_and_said_at_the_end(self):
        run = self.pytest("--dbkit-backends=postgresql,sqlite", test=TWICE, DBKIT_POSTGRESQL_BIN="/nonexistent")
        self.assertEqual((0, {"passed": 2, "skipped": 2}), (run.code, run.counts))
        self.assertRegex(run.summary, r"postgresql: skipped: .*/nonexistent")

    def test_what_is_required_and_not_there_is_a_failure(self):
        for options, environment in (
            (["--dbkit-require=postgresql"], {}),
            ([], {"DBKIT_TEST_REQUIRE": "postgresql"}),
        ):
            with self.subTest(options):
                run = self.pytest(
                    "--dbkit-backends=postgresql,sqlite", *options,
                    test=TWICE, DBKIT_POSTGRESQL_BIN="/nonexistent", **environment,
                )  # fmt: skip
                self.assertEqual((1, {"passed": 2, "error": 2}), (run.code, run.counts))
                self.assertIn("demands postgresql", run.text_of("test_first[postgresql]"))

    def test_a_test_for_a_product_that_the_run_leaves_out_is_skipped(self):
        run = self.pytest("-rs", test="@pytest.mark.dbkit(backends=['postgresql'])\ndef test_it(): pass")
        self.assertEqual((0, {"skipped": 1}), (run.code, run.counts))
        self.assertIn("for postgresql only, and --dbkit-backends is sqlite", run.output)
        self.assertIn("postgresql: skipped: ", run.summary)

    def test_the_configuration_and_the_environment_say_what_an_option_could(self):
        settings = "dbkit_schema = bank:Base\ndbkit_managers = bank:db\ndbkit_backends = mysql\ndbkit_isolation = clone"
        run = self.pytest(
            settings=settings,
            DBKIT_TEST_BACKENDS="sqlite",
            test="""
            def test_it(dbkit_sandbox, dbkit_backend):
                assert (dbkit_sandbox.strategy, dbkit_backend) == ("clone", "sqlite")
            """,
        )
        self.assertEqual({"passed": 1}, run.counts, run.output)
        self.assertIn("dbkit: backends sqlite; isolation clone", run.output)


class TestPage(PytestCase):
    needs = ("pytest_asyncio", "aiosqlite")

    def test_what_it_shows_works_when_it_is_pasted(self):
        user = ROOT / "doc" / "source" / "user"
        page = (user / "test-with-pytest.rst").read_text(encoding="utf-8")
        blocks = re.findall(r"   :caption: (\S+)\n\n((?:   .*\n|\n)+)", page)
        for name, text in [
            *blocks,
            *((f"{name}.py", self.example(user, name)) for name in ("accounts", "accounts_async")),
        ]:
            self.write(name, textwrap.dedent(text))
        first = [line for _name, text in blocks[:2] for line in text.splitlines() if line.strip()]
        self.assertLessEqual(len(first), 10)
        run = self.pytest(settings=None)
        self.assertEqual((0, {"passed": 4}), (run.code, run.counts), run.output)

    def example(self, user, name):
        return (user / "examples" / f"{name}.py").read_text(encoding="utf-8")


class TestOtherProjects(PytestCase):
    def test_a_project_without_dbkit_notices_nothing(self):
        (self.folder / "bank.py").write_text("")
        self.write(
            "blocked.py",
            """
            import sys
            for name in ("sqlalchemy", "oslo_config", "greenlet", "stevedore"):
                sys.modules[name] = None
            """,
        )
        run = self.pytest(
            "-pblocked", "-pno:xdist", settings="", DBKIT_TEST_REQUIRE="postgresql",
            test="def test_it(pytestconfig): pass\nasync def test_async(): pass",
        )  # fmt: skip
        self.assertEqual({"passed": 1, "failed": 1}, run.counts, run.output)
        self.assertNotIn("dbkit", run.output.replace(str(self.folder), "").partition("plugins:")[2].partition("\n")[2])

    def test_blocking_tests_need_no_greenlet_and_no_driver(self):
        self.write(
            "blocked.py",
            """
            import sys
            for name in ("greenlet", "aiosqlite", "psycopg", "psycopg2", "asyncpg"):
                sys.modules[name] = None
            """,
        )
        run = self.pytest("-pblocked", "--dbkit-backends=sqlite,postgresql", test=TWICE)
        self.assertEqual({"passed": 2, "skipped": 2}, run.counts, run.output)
        self.assertIn("postgresql: skipped: ", run.summary)
