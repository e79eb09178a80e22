"""The pytest plugin in blocking tests: what it isolates, and who is refused."""

from __future__ import annotations

import unittest

from dbkit.testing.servers import require_or_skip
from dbkit.tests.contract.pytest_cases import SETTINGS, PytestCase

# Each test stores the same row, which may stand there once.
TWICE = """
def test_first(db):
    create("ann")
    assert owners() == ["ann"]

def test_second(db):
    create("ann")
    assert owners() == ["ann"]
"""

CONFTEST = """
import pytest
from bank import Account, Base, db
from dbkit.testing.provision import Schema

def seed(connection):
    connection.execute(Account.__table__.insert(), [{"owner": "seed"}])

@pytest.fixture(scope="session")
def dbkit_schema():
    return Schema(metadata=Base.metadata, seed=seed)

@pytest.fixture(scope="session")
def dbkit_managers():
    return db
"""


def kinds():
    """Return the kinds of databases that this machine has."""
    found = ["sqlite"]
    for kind in ("postgresql", "mysql"):
        try:
            require_or_skip(kind)
        except unittest.SkipTest:
            continue
        found.append(kind)
    return found


class TestIsolation(PytestCase):
    def test_no_test_sees_the_rows_of_another(self):
        run = self.pytest(test=TWICE)
        self.assertEqual((0, {"passed": 2}), (run.code, run.counts))

    def test_without_isolation_it_does(self):
        run = self.pytest("--dbkit-isolation=none", test=TWICE)
        self.assertEqual({"passed": 1, "failed": 1}, run.counts)
        self.assertIn("DBDuplicateEntry", run.text_of("test_second[sqlite]"))

    def test_every_way_isolates_on_every_product(self):
        run = self.pytest(
            f"--dbkit-backends={','.join(kinds())}",
            test="""
            @pytest.mark.parametrize("number", [1, 2])
            @pytest.mark.parametrize("way", [
                pytest.param(way, marks=pytest.mark.dbkit(isolation=way)) for way in ("rollback", "truncate", "clone")
            ])
            def test_it(way, number, db, dbkit_backend, dbkit_sandbox, dbkit_server):
                create("ann")
                with db.reader() as session:
                    assert [each.owner for each in session.scalars(select(Account))] == ["ann"]
                assert dbkit_sandbox.strategy == way
                assert dbkit_sandbox.url().get_backend_name() == dbkit_backend
                assert getattr(dbkit_server, "kind", "sqlite") == dbkit_backend
            """,
        )
        self.assertEqual({"passed": 6 * len(kinds())}, run.counts, run.output)
        for kind in kinds():
            self.assertRegex(run.summary, rf"{kind}.*: 6 tests; its template was ready after \d+\.\d\d s")

    def test_a_marker_is_enough(self):
        run = self.pytest(
            test="""
            import unittest
            pytestmark = pytest.mark.dbkit

            @pytest.fixture(autouse=True)
            def rows_of_all_tests():
                create("all")

            def test_function():
                assert owners() == ["all"]

            class TestMethods:
                @pytest.mark.dbkit(isolation="clone")
                def test_method(self, dbkit_sandbox):
                    create("ann")
                    assert owners() == ["all", "ann"]
                    assert dbkit_sandbox.strategy == "clone"

            class TestOfUnittest(unittest.TestCase):
                @pytest.fixture(autouse=True)
                def database(self, db):
                    self.db = db

                def setUp(self):
                    create("set up")

                def test_method(self):
                    assert owners() == ["all", "set up"]
                    with self.db.reader() as session:
                        assert len(session.scalars(select(Account)).all()) == 2

                @pytest.mark.dbkit(backends=["postgresql"])
                def test_of_another_product(self):
                    assert False
            """,
        )
        self.assertEqual({"passed": 3, "skipped": 1}, run.counts, run.output)

    def test_a_session_is_there_for_rows_of_the_test_itself(self):
        run = self.pytest(
            test="""
            def test_it(session):
                session.add(Account(owner="ann"))
                session.commit()
                create("bob")
                assert owners() == ["ann", "bob"]
                session.delete(session.get(Account, 1))
                session.rollback()
                assert owners() == ["ann", "bob"]
            """
        )
        self.assertEqual({"passed": 1}, run.counts, run.output)

    def test_a_connection_left_in_use_is_among_the_warnings(self):
        run = self.pytest(
            test="""
            from sqlalchemy.orm import Session
            left = []

            def test_it(dbkit_sandbox):
                left.append(Session(dbkit_sandbox.engine))
                left[0].add(Account(owner="ann"))
                left[0].flush()
            """
        )
        self.assertEqual({"passed": 1}, run.counts, run.output)
        self.assertIn("LeftInUse: the test has ended and the thread 'MainThread' still has", run.output)

    def test_a_broken_isolation_is_an_error_of_its_test_with_its_text(self):
        run = self.pytest(
            test="""
            def break_it(session):
                create("ann")
                session.connection().connection.dbapi_connection.rollback()

            def test_not_noticed(session):
                break_it(session)

            def test_noticed(session):
                break_it(session)
                session.commit()
                create("bob")

            def test_next(db):
                assert owners() == []
            """
        )
        self.assertEqual({"passed": 2, "error": 1, "failed": 1}, run.counts, run.output)
        for name in ("test_not_noticed[sqlite]", "test_noticed[sqlite]"):
            self.assertIn("has ended", run.text_of(name))
            self.assertIn("Give the test isolation 'clone'", run.text_of(name))
        self.assertNotIn("Traceback", run.text_of("test_not_noticed[sqlite]"))
        self.assertNotIn(".py:", run.text_of("test_not_noticed[sqlite]"))


class TestApplication(PytestCase):
    def test_fixtures_say_what_settings_could(self):
        run = self.pytest(
            settings="",
            conftest=CONFTEST,
            test="""
            def test_it(db):
                create("ann")
                assert owners() == ["seed", "ann"]
            """,
        )
        self.assertEqual({"passed": 1}, run.counts, run.output)

    def test_functions_of_the_common_enginefacade_need_no_setting(self):
        run = self.pytest(
            settings="dbkit_schema = bank:Base.metadata",
            test="""
            from dbkit import enginefacade

            @enginefacade.transaction_context_provider
            class Context:
                pass

            @enginefacade.writer
            def store(context):
                context.session.add(Account(owner="ann"))

            @pytest.mark.dbkit
            def test_it():
                store(Context())
                with enginefacade.reader.using(Context()) as session:
                    assert len(session.scalars(select(Account)).all()) == 1
            """,
        )
        self.assertEqual({"passed": 1}, run.counts, run.output)

    def test_what_nobody_has_named_is_said_without_a_traceback(self):
        run = self.pytest(settings="", test="def test_it(db): pass")
        self.assertEqual({"error": 1}, run.counts, run.output)
        self.assertIn("dbkit_schema = app.models:metadata, or override", run.text_of("test_it[sqlite]"))
        self.assertNotIn(".py:", run.text_of("test_it[sqlite]"))


class TestRefusals(PytestCase):
    def test_names_of_options_are_refused_with_the_nearest(self):
        for option, environment, said in (
            ("--dbkit-backends=sqlite,postgres", {}, "kind of database 'postgres'; did you mean 'postgresql'?"),
            ("--dbkit-isolation=clon", {}, "--dbkit-isolation: there is no isolation 'clon'; did you mean 'clone'?"),
            ("--dbkit-outside=alow", {}, "--dbkit-outside: there is no word 'alow' for it; did you mean 'allow'?"),
            ("--dbkit-require=postgresql", {}, "--dbkit-require names 'postgresql', and no test of this run is on it"),
            ("-q", {"DBKIT_TEST_REQUIRE": "galera,postgresql"}, "DBKIT_TEST_REQUIRE names 'postgresql', and no test"),
            ("-q", {"DBKIT_TEST_BACKENDS": "mysq"}, "DBKIT_TEST_BACKENDS: there is no kind of database 'mysq'"),
        ):
            with self.subTest(said):
                run = self.pytest(option, test=TWICE, **environment)
                self.assertEqual(4, run.code)
                self.assertIn("ERROR: ", run.output)
                self.assertEqual(1, run.output.count(said), run.output)
                self.assertNotIn("Traceback", run.output)

    def test_names_in_the_configuration_are_refused_with_their_place(self):
        for line, said in (
            ("dbkit_backends = postgres", "dbkit_backends in pytest.ini: there is no kind of database 'postgres'"),
            ("dbkit_require = postgres", "dbkit_require in pytest.ini: there is no kind of database 'postgres'"),
            ("dbkit_isolation = clon", "dbkit_isolation in pytest.ini: there is no isolation 'clon'"),
            ("dbkit_outside = alow", "dbkit_outside in pytest.ini: there is no word 'alow'"),
        ):
            with self.subTest(line):
                run = self.pytest(test=TWICE, settings=f"{SETTINGS}{line}")
                self.assertEqual(4, run.code)
                self.assertEqual(1, run.output.count(said), run.output)

    def test_what_the_environment_demands_is_for_runs_with_databases(self):
        run = self.pytest(test="def test_it(): pass", DBKIT_TEST_REQUIRE="postgresql")
        self.assertEqual((0, {"passed": 1}), (run.code, run.counts))
        run = self.pytest(test=TWICE, DBKIT_TEST_REQUIRE="galera,haproxy")
        self.assertEqual((0, {"passed": 2}), (run.code, run.counts))

    def test_a_module_that_is_not_there_is_said_once(self):
        run = self.pytest(settings="dbkit_schema = bnak:Base", test="def test_it(db): pass")
        self.assertEqual(1, run.text_of("test_it[sqlite]").count("there is no module 'bnak'"), run.output)

    def test_words_of_the_marker_are_refused_with_the_nearest(self):
        cases = (
            ('isolatoin="clone"', "there is no word 'isolatoin' of the marker dbkit; did you mean 'isolation'?"),
            ('isolation="clones"', "the marker dbkit: there is no isolation 'clones'; did you mean 'clone'?"),
            ('backends=["maria"]', "the marker dbkit: there is no kind of database 'maria'; did you mean 'mariadb'?"),
            ('"clone"', "the marker dbkit takes words with names, such as dbkit(isolation='clone'), not 'clone'"),
        )
        for number, (words, _said) in enumerate(cases):
            self.write(f"test_{number}.py", f"import pytest\n@pytest.mark.dbkit({words})\ndef test_it(): pass\n")
        run = self.pytest()
        self.assertEqual(2, run.code)
        for number, (_words, said) in enumerate(cases):
            self.assertIn(f"test_{number}.py::test_it: {said}", " ".join(run.output.split()))
        self.assertNotIn("Traceback", run.output)

    def test_a_fixture_of_the_other_colour_names_its_partner(self):
        run = self.pytest(test="def test_it(adb): pass\ndef test_session(async_session): pass")
        self.assertIn("in a blocking test ask for db", run.text_of("test_it[sqlite]"))
        self.assertIn("in a blocking test ask for session", run.text_of("test_session[sqlite]"))
