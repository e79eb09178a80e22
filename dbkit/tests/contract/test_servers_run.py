"""A run's servers, as the processes of the run share them."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import psycopg
import testtools

import dbkit
from dbkit.testing import servers
from dbkit.testing.servers.account import Account
from dbkit.testing.servers.databases import drop_database
from dbkit.testing.servers.endpoint import Endpoint
from dbkit.testing.servers.folders import Run
from dbkit.testing.servers.locks import FileLock
from dbkit.testing.servers.polling import wait_until
from dbkit.testing.servers.ports import is_claimed, is_free
from dbkit.testing.servers.processes import has_ended, processes_in
from dbkit.testing.servers.supervisor import sweep

BOUND_S = 60
SOURCES = Path(dbkit.__file__).resolve().parent.parent

# What a test process does on request; each request is a line of Python that gives something JSON can carry.
WORKER = """
import json, os, sys
from dbkit.testing import servers
kept = {}
def facts(server):
    return {"kind": server.kind, "pid": server.pid, "port": server.port, "folder": str(server.folder)}
def obtain(kind):
    kept[kind] = servers.obtain(kind)
    return facts(kept[kind])
def private(kind, **settings):
    kept["private"] = servers.private(kind, settings).__enter__()
    return facts(kept["private"])
def pair(kind, replicas=1):
    kept["pair"] = servers.pair(kind, replicas).__enter__()
    return [facts(member) for member in kept["pair"].members]
for line in sys.stdin:
    try:
        told = {"value": eval(line)}
    except Exception as error:
        told = {"error": type(error).__name__, "text": str(error)}
    print(json.dumps(told), flush=True)
"""


def url_of(server):
    """Return the URL of a PostgreSQL server that a worker has told of; it would import SQLAlchemy for it."""
    return f"postgresql://dbkit@127.0.0.1:{server['port']}/postgres"


class Worker:
    """A test process that does what it is told."""

    def __init__(self, python, folder, environment, user=None):
        account = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self.process = subprocess.Popen(
            [python, "-c", WORKER],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder, env=environment, **account,
        )  # fmt: skip

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def answer(self):
        return json.loads(self.process.stdout.readline())

    def ask(self, line):
        self.tell(line)
        answer = self.answer()
        if "error" in answer:
            raise AssertionError(f"{answer['error']}: {answer['text']}")
        return answer["value"]

    def kill(self):
        self.process.kill()
        self.end()

    def end(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(BOUND_S)


class RunTestCase(testtools.TestCase):
    """A run of its own, apart from the one that the test belongs to."""

    grace_s = 0.2
    user = None
    python = sys.executable

    def setUp(self):
        super().setUp()
        servers.require_or_skip("postgresql")
        self.folder = Path(tempfile.mkdtemp(prefix="dbkit-run-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        (self.folder / "project").mkdir()
        (self.folder / "project/setup.cfg").touch()
        if self.user is not None:
            os.chown(self.folder, self.user.pw_uid, self.user.pw_gid)
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(SOURCES),
            "DBKIT_TEST_SERVERS_DIR": str(self.folder / "runs"),
            "DBKIT_TEST_SERVERS_GRACE": str(self.grace_s),
        }
        self.run_files = Run.of(self.environment, self.folder / "project")
        self.addCleanup(self.clear_up)
        self.addCleanup(self.assert_nothing_is_left)  # which is after the workers have been killed

    def clear_up(self):
        """Remove what a failed test left, before the record of it goes with the test's folder."""
        if self.run_files.folder.exists() and (lock := FileLock.take(self.run_files.lock)) is not None:
            sweep(self.run_files)
            lock.remove()

    def worker(self, **environment):
        worker = Worker(self.python, self.folder / "project", {**self.environment, **environment}, self.user)
        self.addCleanup(worker.kill)
        return worker

    def supervisor_of(self, server):
        """Return the id of the server's parent."""
        return int(Path(f"/proc/{server['pid']}/stat").read_text().rpartition(")")[2].split()[1])

    def janitor_of(self, supervisor):
        """Return the id of the supervisor's child that is no server."""
        return int(Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()[0])

    def wait_for_end(self, *pids):
        def is_over():
            return all(map(has_ended, pids))

        wait_until(is_over, BOUND_S, f"the end of processes {pids}")

    def assert_server_gone(self, server):
        folder = Path(server["folder"])

        def is_gone():
            return not (
                processes_in(folder)
                or folder.exists()
                or not has_ended(server["pid"])
                or is_claimed(server["port"])
                or not is_free(server["port"])
            )

        wait_until(is_gone, BOUND_S, f"the end of all that belongs to {server}")

    def assert_nothing_is_left(self, *owned):
        for server in owned:
            self.assert_server_gone(server)
        wait_until(lambda: not self.run_files.folder.exists(), BOUND_S, f"the end of {self.run_files.folder}")


class TestSharing(RunTestCase):
    def test_two_processes_share_one_server(self):
        first, second = self.worker(), self.worker()
        self.assertEqual(first.ask("obtain('postgresql')"), second.ask("obtain('postgresql')"))

    def test_processes_that_come_at_once_wait_for_one_start(self):
        workers = [self.worker() for _ in range(4)]
        for worker in workers:
            worker.tell("obtain('postgresql')")
        pids = {worker.answer()["value"]["pid"] for worker in workers}
        self.assertEqual(1, len(pids))

    def test_a_server_outlives_the_process_that_started_it(self):
        first, second = self.worker(), self.worker()
        server = first.ask("obtain('postgresql')")
        second.ask("obtain('postgresql')")
        first.kill()
        self.assertEqual(server, second.ask("obtain('postgresql')"))
        second.ask("kept['postgresql'].create_database()")

    def test_a_start_that_fails_is_told_to_every_process_with_the_log(self):
        programs = self.folder / "programs"
        programs.mkdir()
        for name in ("postgres", "initdb"):
            (programs / name).write_text("#!/bin/sh\necho no luck today >&2\nexit 3\n")
            (programs / name).chmod(0o755)
        self.folder.chmod(0o755)
        workers = [self.worker(DBKIT_POSTGRESQL_BIN=str(programs)) for _ in range(3)]
        for worker in workers:
            worker.tell("obtain('postgresql')")
        for worker in workers:
            answer = worker.answer()
            self.assertEqual("BackendNotAvailable", answer["error"])
            self.assertIn("no luck today", answer["text"])

    def test_a_forked_child_leaves_its_parents_things_alone(self):
        worker = self.worker()
        worker.ask("obtain('postgresql')")
        name = worker.ask("kept['postgresql'].create_database()")
        child = "(lambda pid: os.waitpid(pid, 0)[1] if pid else os._exit(not kept['postgresql'].create_database()))"
        self.assertEqual(0, worker.ask(f"{child}(os.fork())"))
        again = f"__import__('psycopg').connect('host=127.0.0.1 user=dbkit dbname={name} port=%d'"
        worker.ask(f"{again} % kept['postgresql'].port).close()")

    def test_a_server_that_has_died_is_replaced_for_the_next_who_asks(self):
        worker = self.worker()
        server = worker.ask("obtain('postgresql')")
        os.kill(server["pid"], signal.SIGQUIT)
        self.wait_for_end(server["pid"])
        self.assertNotEqual(server["pid"], worker.ask("obtain('postgresql')")["pid"])
        self.assert_server_gone(server)


class TestGrace(RunTestCase):
    grace_s = 600

    def test_the_next_command_finds_the_server_of_the_last_one(self):
        first = self.worker()
        server = first.ask("obtain('postgresql')")
        first.end()
        self.assertEqual(server, self.worker().ask("obtain('postgresql')"))
        supervisor = self.supervisor_of(server)
        os.kill(supervisor, signal.SIGTERM)
        self.assert_nothing_is_left(server)


class TestNoGrace(RunTestCase):
    grace_s = 0

    def test_servers_live_as_long_as_their_clients(self):
        worker = self.worker()
        server = worker.ask("obtain('postgresql')")
        self.assertEqual(server, worker.ask("obtain('postgresql')"))
        worker.end()
        self.assert_nothing_is_left(server)


class TestDatabasesOfWorkers(RunTestCase):
    def has_database(self, server, name):
        with contextlib.closing(psycopg.connect(url_of(server))) as connection:
            listed = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
            return listed.fetchone() is not None

    def test_databases_of_a_killed_worker_are_dropped_and_others_stay(self):
        worker, witness = self.worker(), self.worker()
        server = witness.ask("obtain('postgresql')")
        kept = witness.ask("kept['postgresql'].create_database()")
        worker.ask("obtain('postgresql')")
        lost = worker.ask("kept['postgresql'].create_database()")
        self.assertTrue(self.has_database(server, lost))
        worker.kill()
        wait_until(lambda: not self.has_database(server, lost), BOUND_S, "the drop of the database")
        self.assertTrue(self.has_database(server, kept))

    def test_what_a_worker_gives_back_is_dropped(self):
        worker, witness = self.worker(), self.worker()
        server = witness.ask("obtain('postgresql')")
        worker.ask("obtain('postgresql')")
        name = worker.ask("kept['postgresql'].create_database()")
        self.assertTrue(self.has_database(server, name))
        worker.ask("servers.release()")
        wait_until(lambda: not self.has_database(server, name), BOUND_S, "the drop of the database")
        self.assertEqual(server, worker.ask("obtain('postgresql')"))

    def test_an_existing_server_is_used_by_its_url_and_left_clean(self):
        witness = self.worker()
        server = witness.ask("private('postgresql')")
        worker = self.worker(DBKIT_TEST_POSTGRESQL_URL=url_of(server))
        self.assertEqual(server["port"], worker.ask("obtain('postgresql')")["port"])
        name = worker.ask("kept['postgresql'].create_database()")
        self.assertTrue(self.has_database(server, name))
        worker.kill()
        wait_until(lambda: not self.has_database(server, name), BOUND_S, "the drop of the database")

    def test_an_existing_server_that_does_not_answer_is_not_available(self):
        worker = self.worker(DBKIT_TEST_POSTGRESQL_URL="postgresql://dbkit:hush@127.0.0.1:1/postgres")
        worker.tell("obtain('postgresql')")
        answer = worker.answer()
        self.assertEqual("BackendNotAvailable", answer["error"])
        self.assertIn("127.0.0.1:1", answer["text"])
        self.assertNotIn("hush", answer["text"])

    def test_dropping_twice_is_no_error(self):
        server = servers.obtain("postgresql")
        name = server.create_database()
        server.drop_database(name)
        drop_database(Endpoint("postgresql", server.host, server.port, "dbkit", database="postgres"), name)


class TestCommand(RunTestCase):
    def test_it_prints_a_url_and_ends_at_an_interrupt(self):
        command = subprocess.Popen(
            [sys.executable, "-m", "dbkit.testing.servers", "--kind", "postgresql", "--driver", "psycopg"],
            stdout=subprocess.PIPE, text=True, env=self.environment, cwd=self.folder / "project",
        )  # fmt: skip
        self.addCleanup(command.kill)
        with command.stdout:
            self.assertRegex(command.stdout.readline(), r"^postgresql\+psycopg://dbkit@127\.0\.0\.1:\d+/postgres$")
            command.send_signal(signal.SIGINT)
            self.assertEqual(0, command.wait(BOUND_S))
        self.assert_nothing_is_left()


@unittest.skipUnless(os.geteuid() == 0, "only root can start a process as another user")
class TestOrdinaryUser(RunTestCase):
    user = pwd.getpwnam("nobody")

    def setUp(self):
        super().setUp()
        account = Account(self.user.pw_name, self.user.pw_uid, self.user.pw_gid)
        steps = [step for step in sys.path if os.path.isdir(step) and account.reaches(Path(step))]
        self.environment["PYTHONPATH"] = os.pathsep.join([str(SOURCES), *steps])
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        for self.python in (sys.executable, f"/usr/local/bin/{version}", f"/usr/bin/{version}"):
            if self.can_run(self.python):
                return
        self.skipTest(f"user {self.user.pw_name} can run no {version} that finds what dbkit needs")

    def can_run(self, python):
        account = {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}
        command = [python, "-c", "import psycopg, pymysql, dbkit.testing.servers"]
        try:
            ended = subprocess.run(command, env=self.environment, cwd="/", capture_output=True, **account)
        except OSError:
            return False
        return ended.returncode == 0

    def test_an_ordinary_user_starts_servers_as_oneself(self):
        worker = self.worker()
        for kind in ("postgresql", "mysql"):
            servers.require_or_skip(kind)
            server = worker.ask(f"obtain({kind!r})")
            self.assertEqual(self.user.pw_uid, os.stat(f"/proc/{server['pid']}").st_uid)
            worker.ask(f"kept[{kind!r}].create_database()")
        worker.kill()
        self.assert_nothing_is_left(server)

    def test_an_ordinary_user_has_pairs_that_fail_over(self):
        worker, owned = self.worker(), []
        for kind in ("postgresql", "mysql"):
            servers.require_or_skip(kind)
            owned += worker.ask(f"pair({kind!r})")
            worker.ask("kept['pair'].primary.crash()")
            worker.ask("bool(kept['pair'].promote())")
            worker.ask("kept['pair'].rejoin()")
        worker.kill()
        self.assert_nothing_is_left(*owned)


@unittest.skipUnless(os.geteuid() == 0, "it is about root")
class TestRoot(RunTestCase):
    def test_servers_do_not_run_as_root(self):
        worker = self.worker()
        for kind in ("postgresql", "mysql"):
            servers.require_or_skip(kind)
            server = worker.ask(f"obtain({kind!r})")
            self.assertNotEqual(0, os.stat(f"/proc/{server['pid']}").st_uid)
            self.assertNotEqual(0, os.stat(server["folder"]).st_uid)
