"""Locks and ports that are held by processes, and free when these have ended."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import testtools

import dbkit
from dbkit.testing.servers.locks import FileLock
from dbkit.testing.servers.ports import claim_port, is_claimed, is_free, sweep_claims

SOURCES = Path(dbkit.__file__).resolve().parent.parent

LOCKER = """
import sys
from pathlib import Path
from dbkit.testing.servers.locks import FileLock
lock = FileLock.take(Path(sys.argv[1]))
print("taken" if lock else "refused", flush=True)
sys.stdin.read()
"""

CLAIMER = """
import sys
from dbkit.testing.servers.ports import claim_port
claim = claim_port()
print(claim.port, flush=True)
sys.stdin.read()
"""


class ClaimsTestCase(testtools.TestCase):
    def start(self, script, *arguments, **options):
        process = subprocess.Popen(
            [sys.executable, "-c", script, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(SOURCES)},
            **options,
        )
        self.addCleanup(self.end, process)
        return process, process.stdout.readline().strip()

    def end(self, process):
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


class TestFileLock(ClaimsTestCase):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name, "lock")

    def test_one_process_at_a_time_holds_it(self):
        holder, told = self.start(LOCKER, self.path)
        self.assertEqual("taken", told)
        self.assertIsNone(FileLock.take(self.path))

    def test_a_killed_holder_leaves_it_free(self):
        holder, _told = self.start(LOCKER, self.path)
        self.end(holder)
        lock = FileLock.take(self.path)
        self.assertIsNotNone(lock)
        lock.remove()
        self.assertFalse(self.path.exists())

    def test_an_heir_holds_it_after_its_first_holder_has_left(self):
        lock = FileLock.take(self.path)
        self.start("import sys; print(); sys.stdin.read()", pass_fds=[lock.fileno()])
        lock.leave()
        self.assertIsNone(FileLock.take(self.path))

    def test_a_file_that_was_replaced_is_another_lock(self):
        old = FileLock.take(self.path)
        self.addCleanup(old.leave)
        self.path.unlink()
        new = FileLock.take(self.path)
        self.assertIsNotNone(new)
        new.remove()


class TestPorts(ClaimsTestCase):
    def test_a_port_lies_below_those_of_outgoing_connections(self):
        claim = claim_port()
        self.addCleanup(claim.release)
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
        self.assertLess(claim.port, first)
        self.assertTrue(is_free(claim.port))

    def test_a_claim_stands_until_it_is_released(self):
        claim = claim_port()
        self.assertTrue(is_claimed(claim.port))
        sweep_claims()
        self.assertTrue(is_claimed(claim.port))
        claim.release()
        self.assertFalse(is_claimed(claim.port))

    def test_a_killed_process_leaves_a_claim_that_is_swept(self):
        process, port = self.start(CLAIMER)
        self.assertTrue(is_claimed(int(port)))
        self.end(process)
        sweep_claims()
        self.assertFalse(is_claimed(int(port)))

    def test_no_port_is_claimed_twice(self):
        claims = [claim_port() for _ in range(50)]
        self.assertEqual(50, len({claim.port for claim in claims}))
        for claim in claims:
            claim.release()
