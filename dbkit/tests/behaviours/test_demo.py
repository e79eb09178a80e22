"""The demo on every database: its invariants hold, and where somebody breaks one it says so."""

from __future__ import annotations

import contextlib
import io
import os
import random
import signal
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import testtools
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.pool import NullPool

from dbkit import enginefacade
from dbkit.cmd.demo import aapi, api
from dbkit.cmd.demo.check import check
from dbkit.cmd.demo.context import RequestContext, main_context
from dbkit.cmd.demo.inventory import PROJECT, draw, store, tables
from dbkit.cmd.demo.models import PREFIX
from dbkit.cmd.demo.requests import planned
from dbkit.cmd.demo.rules import InventoryError
from dbkit.cmd.demo.workload import Answer, Crew, functions_of, may_run_again, phases
from dbkit.cmd.main import main
from dbkit.exceptions import BackendNotAvailable, CommitUnknown, DBDeadlock, DBDuplicateEntry, DBLockTimeout
from dbkit.testing import servers
from dbkit.tests import warm

LARGE = ("--rows", "300", "--operations", "200")  # has each kind of request and each error
SMALL = ("--rows", "100", "--operations", "40")
PATIENCE_S = 120
HOLD = "all 10 invariants hold"


class DemoTestCase(testtools.TestCase):
    """Each test has the demo's database to itself, and a folder."""

    def setUp(self):
        super().setUp()
        self.addCleanup(main_context.patch_factory(enginefacade.transaction_context()))
        folder = tempfile.TemporaryDirectory(prefix="dbkit-tests-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.url = f"sqlite:///{self.folder / 'inventory.db'}"

    def demo(self, *arguments, size=SMALL):
        """Run the demo in this process; return its exit code and what it wrote."""
        written, complained = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(written), contextlib.redirect_stderr(complained):
            code = main(["demo", *size, *arguments])
        return code, written.getvalue(), complained.getvalue()

    def assert_demo_holds(self, *arguments, size=SMALL):
        code, written, complained = self.demo(*arguments, size=size)
        self.assertEqual((0, ""), (code, complained), written)
        self.assertIn(HOLD, written)
        return written

    def table_names(self, url=None):
        """Return the names of the tables that the database has."""
        engine = create_engine(url or self.url, poolclass=NullPool)
        return set(inspect(engine).get_table_names())


class TestTheDemoOnSQLite(DemoTestCase):
    def test_it_needs_no_argument_and_leaves_nothing_behind(self):
        self.patch_temporary_folder()
        written = self.assert_demo_holds()
        self.assertIn("inventory.db", written)
        self.assertEqual([], list(self.folder.iterdir()))

    def test_it_keeps_the_file_when_told_to(self):
        self.patch_temporary_folder()
        written = self.assert_demo_holds("--keep")
        kept = next(self.folder.rglob("inventory.db"))
        self.assertIn(f"kept: sqlite:///{kept}", written)
        self.assertIn(f"{PREFIX}floating_ips", self.table_names(f"sqlite:///{kept}"))

    def test_it_works_in_memory(self):
        self.assert_demo_holds("--url", "sqlite://")

    def test_it_works_without_asyncio(self):
        written = self.assert_demo_holds("--tasks", "0")
        self.assertNotIn("asyncio", written)

    def test_one_thread_and_one_task_are_enough(self):
        self.assert_demo_holds("--threads", "1", "--tasks", "1")

    def test_the_tables_say_what_was_rolled_back_and_why(self):
        written = self.assert_demo_holds(size=LARGE)
        for name in ("Interrupted", "Forbidden", "DBDuplicateEntry", "requests a second", "both at once"):
            self.assertIn(name, written)

    def test_it_removes_the_tables_that_it_made_and_no_others(self):
        self.execute("CREATE TABLE mine (id INTEGER)")
        self.assert_demo_holds("--url", self.url)
        self.assertEqual({"mine"}, self.table_names())

    def test_tables_of_its_name_that_it_has_not_made_are_not_touched(self):
        self.execute(f"CREATE TABLE {PREFIX}instances (precious INTEGER)")
        code, written, complained = self.demo("--url", self.url)
        self.assertEqual((1, ""), (code, written))
        self.assertIn(f"{PREFIX}instances already", complained)
        self.assertEqual({f"{PREFIX}instances"}, self.table_names())

    def test_a_second_demo_in_the_same_database_refuses_the_tables_of_one_that_kept_them(self):
        self.assert_demo_holds("--url", self.url, "--keep")
        kept = self.table_names()
        main_context.patch_factory(enginefacade.transaction_context())
        self.assertEqual(1, self.demo("--url", self.url)[0])
        self.assertEqual(kept, self.table_names())

    def patch_temporary_folder(self):
        """Let folders for temporary files be made in this test's own."""
        before, tempfile.tempdir = tempfile.tempdir, str(self.folder)
        self.addCleanup(setattr, tempfile, "tempdir", before)

    def execute(self, statement):
        with create_engine(self.url, poolclass=NullPool).begin() as connection:
            connection.execute(text(statement))


class TestTheDemoAsACommand(DemoTestCase):
    def command(self, *arguments, prelude=None):
        """Run the command in a process of its own, whose end is waited for."""
        how = ["-c", prelude] if prelude else ["-m", "dbkit"]
        return warm.run(*how, *arguments, timeout_s=PATIENCE_S)

    def test_it_runs_as_a_module(self):
        done = self.command("demo", *SMALL)
        self.assertEqual((0, ""), (done.returncode, done.stderr), done.stdout)
        self.assertIn(HOLD, done.stdout)

    def test_it_runs_as_the_module_of_the_console_script(self):
        done = warm.run("-m", "dbkit.cmd.main", "demo", *SMALL, timeout_s=PATIENCE_S)
        self.assertEqual((0, ""), (done.returncode, done.stderr), done.stdout)

    def test_it_writes_to_what_knows_no_unicode(self):
        command = [sys.executable, "-m", "dbkit", "demo", *SMALL]
        environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False, env=environment)
        self.assertEqual((0, ""), (done.returncode, done.stderr), done.stdout)

    def test_without_an_asyncio_driver_it_says_what_to_install_and_that_it_can_go_without(self):
        prelude = (
            "import sys; sys.modules['aiosqlite'] = None\nfrom dbkit.cmd.main import main; sys.exit(main(sys.argv[1:]))"
        )
        done = self.command("demo", *SMALL, prelude=prelude)
        self.assertEqual((1, ""), (done.returncode, done.stdout))
        self.assertEqual(1, len(done.stderr.splitlines()), done.stderr)
        self.assertIn("aiosqlite", done.stderr)
        self.assertIn("--tasks 0", done.stderr)
        done = self.command("demo", *SMALL, "--tasks", "0", prelude=prelude)
        self.assertEqual(0, done.returncode, done.stderr)

    def test_an_interrupt_ends_it_and_its_tables(self):
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "dbkit", "demo", "--url", self.url, "--rows", "100", "--operations", "20000"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # a shell's background job ignores interrupts, and its children with it
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )
        self.addCleanup(process.kill)
        self.assertIn("stored in", process.stdout.readline())
        process.send_signal(signal.SIGINT)
        _, complained = process.communicate(timeout=PATIENCE_S)
        self.assertEqual((130, ""), (process.returncode, complained))
        self.assertEqual(set(), self.table_names())


class TestTheDemoOnServers(DemoTestCase):
    def server_demo(self, kind, size=SMALL, **place):
        server = servers.require_or_skip(kind)
        name = server.create_database()
        self.addCleanup(server.drop_database, name)
        url = server.url(database=name, **place).render_as_string(hide_password=False)
        written = self.assert_demo_holds("--url", url, size=size)
        self.assertEqual(set(), self.table_names(server.url(database=name, driver=_OBSERVERS[kind])))
        return written

    def test_postgresql(self):
        self.server_demo("postgresql", LARGE)

    def test_postgresql_by_other_drivers(self):
        self.server_demo("postgresql", driver="asyncpg")

    def test_mariadb(self):
        self.server_demo("mysql", LARGE)

    def test_mariadb_under_its_own_name(self):
        self.server_demo("mysql", scheme="mariadb")

    def own_server_demo(self, kind, name):
        servers.require_or_skip(kind)
        try:
            servers.private(kind)
        except BackendNotAvailable as missing:  # the shared one is named by a URL
            self.skipTest(str(missing))
        self.assert_demo_holds("--server", name)

    def test_it_starts_a_postgresql_server_of_its_own(self):
        self.own_server_demo("postgresql", "postgresql")

    def test_it_starts_a_mariadb_server_of_its_own(self):
        self.own_server_demo("mysql", "mariadb")


_OBSERVERS = {"postgresql": "psycopg", "mysql": "pymysql"}


class TestTheDemoOnBadInput(DemoTestCase):
    def assert_refused(self, code, part, *arguments):
        got, written, complained = self.demo(*arguments)
        self.assertEqual((code, ""), (got, written))
        self.assertIn(part, complained)
        self.assertNotIn("Traceback", complained)
        self.assertNotIn("s3cret", complained)
        return complained

    def test_an_unknown_server(self):
        self.assert_refused(2, "choose from", "--server", "oracle")

    def test_numbers_out_of_bounds(self):
        self.assert_refused(2, "from 100 to 100000, not -5", "--rows", "-5")
        self.assert_refused(2, "from 1 to", "--operations", "0")
        self.assert_refused(2, "from 0 to 20", "--tasks", "21")
        self.assert_refused(2, "from 1 to 20", "--threads", "0")
        self.assert_refused(2, "'many' is not a whole number", "--threads", "many")

    def test_a_url_and_a_server_together(self):
        self.assert_refused(2, "not allowed with", "--url", self.url, "--server", "mariadb")

    def test_a_url_without_its_option(self):
        self.assert_refused(2, "postgresql://me:***@host/db", "postgresql://me:s3cret@host/db")

    def test_what_is_no_url(self):
        self.assertEqual(1, len(self.assert_refused(1, "names no scheme", "--url", "inventory.db").splitlines()))

    def test_an_unknown_product(self):
        self.assert_refused(1, "postgresql", "--url", "postgres://me:s3cret@host/db")

    def test_an_unknown_driver(self):
        self.assert_refused(1, "asyncpg", "--url", "postgresql+aiopg://me:s3cret@host/db")

    def test_a_url_without_its_database(self):
        self.assert_refused(1, "names no database", "--url", "postgresql://me:s3cret@host")

    def test_a_server_that_does_not_answer_is_named_and_not_waited_for(self):
        complained = self.assert_refused(1, "cannot start on", "--url", "postgresql://me:s3cret@127.0.0.1:1/db")
        self.assertIn("postgresql://me:***@127.0.0.1:1/db", complained)
        self.assertEqual(1, len(complained.splitlines()))

    def test_a_file_that_cannot_be_opened(self):
        self.assert_refused(1, "cannot be opened", "--url", f"sqlite:///{self.folder}/missing/inventory.db")


class TestTheRequests(testtools.TestCase):
    def test_the_same_seed_asks_the_same(self):
        first, second, other = (self.asked(seed) for seed in (7, 7, 8))
        self.assertEqual(first, second)
        self.assertNotEqual(first, other)

    def test_no_request_is_named_twice(self):
        self.assertEqual(500, len({each.id for each in self.asked(1)}))

    def asked(self, seed):
        chance = random.Random(seed)
        return list(planned(chance, draw(chance, 300), 500))


class TestRunningAgain(testtools.TestCase):
    def test_what_is_certainly_not_stored_is_run_again(self):
        for error in (DBDeadlock(), DBLockTimeout()):
            self.assertTrue(may_run_again(error, 1))

    def test_what_may_be_stored_is_not(self):
        self.assertFalse(may_run_again(CommitUnknown(), 1))
        self.assertFalse(may_run_again(CommitUnknown(transient=True), 1))

    def test_what_would_fail_again_is_not(self):
        for error in (DBDuplicateEntry(), RuntimeError(), KeyError()):
            self.assertFalse(may_run_again(error, 1))

    def test_there_is_an_end(self):
        self.assertFalse(may_run_again(DBDeadlock(), 12))


# -- negative controls: the check must find what it is there for -------------------------------------------------------


@main_context.writer
def journal_and_detach(context, address):
    api.record(context, "move")
    api.audit(context, "move")
    api.detach(context, address)


def move_in_two_halves(context, address, instance_id):
    """Do as ``move``, in two transactions where one is promised."""
    journal_and_detach(context, address)
    api.attach(context, address, instance_id)
    return 2


@main_context.writer
async def ajournal_and_detach(context, address):
    await aapi.record(context, "move")
    await aapi.audit(context, "move")
    await aapi.detach(context, address)


async def amove_in_two_halves(context, address, instance_id):
    await ajournal_and_detach(context, address)
    await aapi.attach(context, address, instance_id)
    return 2


def move_that_always_went_well(context, address, instance_id):
    """Do as ``move``, and say that it went well whatever happened."""
    with contextlib.suppress(InventoryError):
        api.move(context, address, instance_id)
    return 2


def register_with_a_defect(context, address):
    raise RuntimeError("not an error that a caller was told to expect")


ROWS = 300


class TestTheCheck(DemoTestCase):
    def setUp(self):
        super().setUp()
        main_context.configure(connection=self.url, sqlite_synchronous=False)
        self.addCleanup(main_context.dispose_pool)

    def findings(self, tamperings=("",), **crew):
        """Carry requests out, run SQL behind their back, and return the invariants that are found broken by each."""
        chance = random.Random(3)
        inventory = draw(chance, ROWS)
        asked = list(planned(chance, inventory, 150))
        engine = main_context.writer.get_engine()
        with tables(engine, keep=False):
            store(RequestContext(PROJECT, "req-load"), inventory)
            answers = [answer for phase in phases(asked, Crew(2, 2, **crew)) for answer in phase.answers]
            return [self.found(engine, answers, statement) for statement in tamperings]

    def found(self, engine, answers, statement):
        with engine.connect() as connection:  # what the statement does is rolled back
            if statement:
                self.assertGreater(connection.execute(text(statement)).rowcount, 0, statement)
            findings = check(connection, answers, ROWS)
        for finding in findings:
            for line in finding.broken:
                self.assertIsInstance(line, str)
        return {finding.invariant for finding in findings if not finding.holds}

    def broken(self, **crew):
        """Return the invariants that are found broken when requests are carried out so."""
        (found,) = self.findings(**crew)
        return found

    def test_nothing_is_found_where_nothing_is_broken(self):
        self.assertEqual(set(), self.broken())

    def test_a_function_that_commits_half_is_found(self):
        broken = self.broken(blocking={**functions_of(api), "move": move_in_two_halves})
        self.assertIn("no failed request is stored", broken)
        self.assertIn("no request is stored in part", broken)
        self.assertIn("after_commit hooks ran once for what was committed, and for nothing else", broken)

    def test_a_coroutine_function_that_commits_half_is_found(self):
        broken = self.broken(asyncio={**functions_of(aapi), "move": amove_in_two_halves})
        self.assertIn("no failed request is stored", broken)
        self.assertIn("no request is stored in part", broken)

    def test_a_function_that_hides_its_failure_is_found(self):
        broken = self.broken(blocking={**functions_of(api), "move": move_that_always_went_well})
        self.assertIn("every acknowledged request is stored, once", broken)

    def test_an_unexpected_error_is_found(self):
        broken = self.broken(blocking={**functions_of(api), "register": register_with_a_defect})
        self.assertEqual({"every error is of an expected class"}, broken)

    def test_rows_that_are_not_right_are_found(self):
        for invariant, broken in zip(_TAMPERINGS, self.findings(_TAMPERINGS.values()), strict=True):
            self.assertIn(invariant, broken, _TAMPERINGS[invariant])

    def test_a_reader_that_saw_half_a_transaction_is_found(self):
        asked = next(
            each for each in planned(random.Random(1), draw(random.Random(1), 300), 99) if each.kind == "usage"
        )
        answer = Answer(asked)
        answer.succeeded((2, 2))
        self.assertTrue(answer.is_consistent)
        answer.succeeded((2, 1))
        self.assertFalse(answer.is_consistent)

    def test_a_broken_invariant_makes_the_exit_code_one(self):
        self.patch(api, "move", move_in_two_halves)
        main_context.patch_factory(enginefacade.transaction_context())
        code, written, _ = self.demo(size=LARGE)
        self.assertEqual(1, code)
        self.assertIn("BROKEN, no request is stored in part: req-", written)
        self.assertIn("invariants are broken", written)


_TAMPERINGS = {
    "every acknowledged request is stored, once": (
        f"DELETE FROM {PREFIX}requests WHERE id = (SELECT min(id) FROM {PREFIX}requests)"
    ),
    "no failed request is stored": f"INSERT INTO {PREFIX}requests VALUES ('req-x', 'move', '2026-01-01 00:00:00')",
    "no request is stored in part": (
        f"DELETE FROM {PREFIX}changes WHERE request_id = (SELECT min(request_id) FROM {PREFIX}changes)"
    ),
    "each quota is the number of addresses in use": f"UPDATE {PREFIX}quotas SET in_use = in_use + 1",
    "no update of an address is lost": (
        f"UPDATE {PREFIX}floating_ips SET fixed_ip_id = NULL WHERE fixed_ip_id IS NOT NULL"
    ),
    "every registered address is there": (
        f"INSERT INTO {PREFIX}floating_ips (address, project_id, version, updated_at) "
        "VALUES ('192.0.2.1', 'research', 0, '2026-01-01 00:00:00')"
    ),
    "every attempt to move is on record, whatever became of it": f"DELETE FROM {PREFIX}attempts",
}
