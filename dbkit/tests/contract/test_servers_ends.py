"""What is left of a run's servers when its processes end, in whatever way: nothing."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from dbkit.testing import servers
from dbkit.testing.servers.polling import wait_until
from dbkit.testing.servers.processes import processes_in
from dbkit.tests.contract.test_servers_run import BOUND_S, RunTestCase


class TestEnds(RunTestCase):
    def test_a_run_that_ends_leaves_nothing(self):
        worker = self.worker()
        owned = [worker.ask("obtain('postgresql')"), worker.ask("private('postgresql')")]
        worker.end()
        self.assert_nothing_is_left(*owned)

    def test_a_killed_worker_leaves_nothing(self):
        worker = self.worker()
        owned = [worker.ask("obtain('postgresql')"), worker.ask("private('postgresql')")]
        worker.kill()
        self.assert_nothing_is_left(*owned)

    def test_a_worker_killed_during_a_start_leaves_nothing(self):
        worker = self.worker()
        worker.tell("obtain('postgresql')")
        wait_until(lambda: any(self.run_files.folder.glob("postgresql-*")), BOUND_S, "the beginning of the start")
        folders = [Path(os.readlink(entry)) for entry in self.run_files.folder.glob("postgresql-*")]
        worker.kill()
        self.assert_nothing_is_left()
        self.assertEqual([], [folder for folder in folders if folder.exists()])

    def test_a_killed_supervisor_leaves_nothing(self):
        worker = self.worker()
        owned = [worker.ask("obtain('postgresql')"), worker.ask("private('postgresql')")]
        os.kill(self.supervisor_of(owned[0]), signal.SIGKILL)
        self.assert_nothing_is_left(*owned)

    def test_a_killed_supervisor_leaves_no_frozen_server(self):
        worker = self.worker()
        server = worker.ask("private('postgresql')")
        worker.ask("kept['private'].freeze()")
        os.kill(self.supervisor_of(server), signal.SIGKILL)
        self.assert_nothing_is_left(server)

    def test_mariadb_goes_with_a_killed_supervisor_too(self):
        servers.require_or_skip("mysql")
        worker = self.worker()
        owned = [worker.ask("obtain('mysql')"), worker.ask("private('mysql')")]
        os.kill(self.supervisor_of(owned[0]), signal.SIGKILL)
        self.assert_nothing_is_left(*owned)

    def test_a_worker_gets_a_new_server_after_its_supervisor_was_killed(self):
        worker = self.worker()
        server = worker.ask("obtain('postgresql')")
        os.kill(self.supervisor_of(server), signal.SIGKILL)
        self.assertNotEqual(server["pid"], worker.ask("obtain('postgresql')")["pid"])

    def test_the_kernel_ends_servers_that_nobody_is_left_to_end(self):
        servers.require_or_skip("mysql")
        worker = self.worker()
        owned = [worker.ask(f"{how}({kind!r})") for how in ("obtain", "private") for kind in ("postgresql", "mysql")]
        self.kill_both(owned[0])
        for server in owned:
            self.wait_for_idle(Path(server["folder"]))
            self.assertTrue(Path(server["folder"]).exists())
        worker.end()
        self.worker().ask("obtain('postgresql')")
        for server in owned:
            self.assert_server_gone(server)

    def test_the_next_run_removes_what_nobody_was_left_to_remove(self):
        worker = self.worker()
        server = worker.ask("private('postgresql')")
        worker.ask("kept['private'].freeze()")  # so that it cannot obey the kernel's signal
        self.kill_both(server)
        self.assertNotEqual([], processes_in(Path(server["folder"])))
        following = self.worker().ask("obtain('postgresql')")
        self.assert_server_gone(server)
        worker.end()
        self.assertNotEqual(server["pid"], following["pid"])

    def test_no_memory_segment_stays_of_a_crashed_server(self):
        worker = self.worker()
        server = worker.ask("private('postgresql')")
        segment = Path(server["folder"], "data/postmaster.pid").read_text().splitlines()[6].split()[1]
        worker.ask("kept['private'].crash()")
        self.assertIn(segment, self.segments())
        worker.ask("kept['private'].__exit__(None, None, None)")
        self.assertNotIn(segment, self.segments())

    def segments(self):
        return [line.split()[1] for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]]

    def kill_both(self, server):
        """Kill the server's supervisor and the janitor that would clear up after it."""
        supervisor = self.supervisor_of(server)
        janitor = self.janitor_of(supervisor)
        os.kill(janitor, signal.SIGKILL)
        os.kill(supervisor, signal.SIGKILL)
        self.wait_for_end(supervisor, janitor)

    def wait_for_idle(self, folder):
        wait_until(lambda: not processes_in(folder), BOUND_S, f"the end of all processes in {folder}")
