"""The pytest plugin and the application's own databases: no code reaches them while no test's sandbox is open."""

from __future__ import annotations

from dbkit.tests.contract.pytest_cases import SETTINGS, PytestCase

# An application that was not told to use another database: what it stores is there for good.
OWN = """
import dbkit
db = dbkit.Database("sqlite:///{path}")
from bank import Account, Base

@db.writer
def create(owner):
    db.session.add(Account(owner=owner))

@db.reader
def names():
    return [each.owner for each in db.session.query(Account)]
"""

OUTSIDE = """
import asyncio, threading
from own import create, db, names
from dbkit import enginefacade
from dbkit.testing.isolation import IsolationError

@pytest.fixture(scope="module")
def rows():
    create("module")

def test_without_marker():
    for use in (lambda: create("ann"), names, lambda: db.engine, lambda: enginefacade.writer.get_engine()):
        with pytest.raises(IsolationError, match="no test's sandbox is open"):
            use()

def test_asyncio_without_marker():
    async def use():
        async with db.writer() as session:
            session.add(Account(owner="ann"))
    with pytest.raises(IsolationError, match="no test's sandbox is open"):
        asyncio.run(use())

def test_wide_fixture(rows, db):
    pass

@pytest.fixture(scope="module")
def late():
    may_go_on, told = threading.Event(), []
    def work():
        may_go_on.wait(60)
        try:
            create("late")
        except IsolationError as error:
            told.append(error)
    thread = threading.Thread(target=work)
    yield lambda: thread.start()
    may_go_on.set()
    thread.join()
    with open(__file__ + ".told", "w") as file:
        file.write(str(told[0]))

@pytest.mark.dbkit
def test_with_marker(late):
    create("ann")
    assert names() == ["ann"]
    late()
"""


class TestOutside(PytestCase):
    settings = "dbkit_schema = bank:Base\ndbkit_managers = own:db\n"

    def setUp(self):
        super().setUp()
        self.write("own.py", OWN.replace("{path}", str(self.folder / "own.db")))

    def test_what_has_no_sandbox_is_refused_and_one_inside_works(self):
        run = self.pytest(test=OUTSIDE, settings=self.settings)
        self.assertEqual({"passed": 3, "error": 1}, run.counts, run.output)
        said = run.text_of("test_wide_fixture[sqlite]")
        for words in ("fixture db", "marker dbkit", "function scope", "seed", "earlier test", "dbkit_outside = allow"):
            self.assertIn(words, said)
        self.assertIn("no test's sandbox is open", (self.folder / "test_it.py.told").read_text())
        self.assertFalse((self.folder / "own.db").exists())

    def test_settings_that_are_made_outside_hold_inside(self):
        test = """
        from own import create, db, names

        class TestClass:
            @pytest.fixture(scope="class", autouse=True)
            def configured(self):
                db.configure(expire_on_commit=True)

            def test_with_marker(self, dbkit_sandbox):
                assert dbkit_sandbox.database.settings.expire_on_commit
                create("ann")
                assert names() == ["ann"]

        def test_questions_are_answered():
            assert db.settings.connection.database.endswith("own.db")
            assert db.is_started
            db.dispose_pool()
        """
        run = self.pytest(test=test, settings=self.settings)
        self.assertEqual({"passed": 2}, run.counts, run.output)

    def test_it_can_be_switched_off(self):
        test = """
        from own import create, db, names

        def test_without_marker():
            db.engine.connect().close()

        def test_with_marker(db):
            assert names() == []
        """
        for options, settings in ((["--dbkit-outside=allow"], ""), ([], "dbkit_outside = allow")):
            with self.subTest(settings):
                run = self.pytest(*options, test=test, settings=self.settings + settings)
                self.assertEqual({"passed": 2}, run.counts, run.output)

    def test_tests_without_any_in_a_sandbox_are_refused_too(self):
        test = "from own import names\ndef test_it():\n    names()"
        run = self.pytest(test=test, settings=self.settings)
        self.assertEqual({"failed": 1}, run.counts, run.output)
        self.assertIn("no test's sandbox is open", run.text_of("test_it"))

    def test_a_sandbox_that_the_tests_open_themselves_works(self):
        run = self.pytest(
            settings=SETTINGS,
            test="""
            import unittest
            from dbkit.testing.isolation import IsolationError, isolated

            class TestOfUnittest(unittest.TestCase):
                def test_it(self):
                    with self.assertRaises(IsolationError):
                        owners()

            @pytest.fixture(scope="module")
            def rows(dbkit_database):
                with isolated(dbkit_database, "none", managers=[db]):
                    create("module")
                    yield
                    dbkit_database.empty()

            @pytest.mark.dbkit(isolation="none")
            def test_it(rows):
                assert owners() == ["module"]
            """,
        )
        self.assertEqual({"passed": 2}, run.counts, run.output)
