"""What is left of pairs when the processes of a run end, in whatever way: nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import unittest
from pathlib import Path

from dbkit.testing import servers
from dbkit.testing.servers.polling import wait_until
from dbkit.tests.contract.test_servers_run import BOUND_S, RunTestCase

KINDS = ("postgresql", "mysql")


def memory_segments():
    """Return the segments of System V memory that users of servers own."""
    rows = [line.split() for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]]
    return {row[1] for row in rows}


class PairEndsTestCase(RunTestCase):
    def setUp(self):
        super().setUp()
        servers.require_or_skip("mysql")

    def pairs(self, worker):
        return [member for kind in KINDS for member in worker.ask(f"pair({kind!r})")]


class TestPairEnds(PairEndsTestCase):
    def segment_of(self, server):
        return Path(server["folder"], "data/postmaster.pid").read_text().splitlines()[6].split()[1]

    def test_a_killed_worker_leaves_nothing_of_its_pairs(self):
        worker = self.worker()
        owned = self.pairs(worker)
        segments = {self.segment_of(server) for server in owned if server["kind"] == "postgresql"}
        self.assertEqual(segments, segments & memory_segments())
        worker.kill()
        self.assert_nothing_is_left(*owned)
        self.assertEqual(set(), segments & memory_segments())

    def test_a_worker_killed_while_a_pair_is_formed_leaves_nothing(self):
        for kind in KINDS:
            worker = self.worker()
            worker.ask(f"obtain({kind!r})")
            worker.tell(f"pair({kind!r}, 3)")
            # The template, the shared server, the primary, and the first replica.
            wait_until(
                lambda pattern=f"{kind}-*": len(list(self.run_files.folder.glob(pattern))) >= 4,
                BOUND_S,
                "the beginning of a replica",
            )
            folders = [Path(os.readlink(entry)) for entry in self.run_files.folder.glob(f"{kind}-*")]
            worker.kill()
            self.assert_nothing_is_left()
            self.assertEqual([], [folder for folder in folders if folder.exists()])

    def test_a_worker_killed_after_a_fail_over_leaves_nothing(self):
        for kind in KINDS:
            worker = self.worker()
            owned = worker.ask(f"pair({kind!r}, 2)")
            worker.ask("kept['pair'].primary.crash()")
            worker.ask("bool(kept['pair'].promote())")
            worker.ask("kept['pair'].replica.freeze()")
            segments = memory_segments()
            worker.kill()
            for server in owned:
                self.assert_server_gone(server)
            self.assert_nothing_is_left()
            if kind == "postgresql":
                self.assertNotEqual(set(), segments - memory_segments())

    def test_a_killed_supervisor_leaves_nothing_of_its_pairs(self):
        worker = self.worker()
        owned = self.pairs(worker)
        os.kill(self.supervisor_of(owned[0]), signal.SIGKILL)
        self.assert_nothing_is_left(*owned)

    def test_a_rebuilt_member_leaves_no_memory_of_its_former_life(self):
        worker = self.worker()
        old = worker.ask("pair('postgresql')")[0]
        segment = self.segment_of(old)
        worker.ask("kept['pair'].primary.crash()")
        self.assertIn(segment, memory_segments())
        worker.ask("bool(kept['pair'].promote())")
        worker.ask("kept['pair'].rejoin()")
        self.assertNotIn(segment, memory_segments())


class TestCommandForPairs(RunTestCase):
    def command(self, *arguments):
        command = subprocess.Popen(
            [sys.executable, "-m", "dbkit.testing.servers", *arguments],
            stdout=subprocess.PIPE, text=True, env=self.environment, cwd=self.folder / "project",
        )  # fmt: skip
        self.addCleanup(command.wait)
        self.addCleanup(command.kill)
        self.addCleanup(command.stdout.close)
        return command

    def test_it_prints_the_url_of_each_server_and_ends_at_an_interrupt(self):
        command = self.command("--kind", "postgresql", "--replicas", "2")
        urls = {command.stdout.readline() for _ in range(3)}
        self.assertEqual(3, len(urls))
        for url in urls:
            self.assertRegex(url, r"^postgresql://dbkit@127\.0\.0\.1:\d+/postgres$")
        command.send_signal(signal.SIGINT)
        self.assertEqual(0, command.wait(BOUND_S))
        self.assert_nothing_is_left()

    def test_a_rehearsal_prints_the_time_of_each_step(self):
        command = self.command("rehearse", "postgresql")
        told = command.stdout.read()
        self.assertEqual(0, command.wait(BOUND_S))
        self.assertRegex(told, r"^postgresql +.*form \d+\.\d\d s.*fail over \d+\.\d\d s.*stop \d+\.\d\d s\n$")


@unittest.skipUnless(os.geteuid() == 0, "it is about root")
class TestRoot(PairEndsTestCase):
    def test_no_member_runs_as_root(self):
        for server in self.pairs(self.worker()):
            self.assertNotEqual(0, os.stat(f"/proc/{server['pid']}").st_uid)
