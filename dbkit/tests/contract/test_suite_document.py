"""The lines that the documentation gives to authors of backends prove a backend that is none of ours."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import testtools

from dbkit.testing.suite import Capability
from dbkit.tests import warm

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "doc" / "source" / "contributor" / "backend.rst"
EXAMPLE = PAGE.parent / "examples" / "test_acme.py"

# A product of another house: a distribution with a dialect for SQLAlchemy and a backend for dbkit.
_ACME = """
    from dbkit.backends.sqlite import SQLite
    from sqlalchemy.dialects.sqlite.aiosqlite import SQLiteDialect_aiosqlite
    from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

    class Blocking(SQLiteDialect_pysqlite):
        supports_statement_cache = True

    class Asyncio(SQLiteDialect_aiosqlite):
        supports_statement_cache = True

    class Acme(SQLite):
        name, schemes = "acme", ("acme",)

    BACKEND = Acme()
"""
_ENTRY_POINTS = """\
[dbkit.backends]
acme = dbkit_acme:BACKEND
[sqlalchemy.dialects]
acme = dbkit_acme:Blocking
acme.pysqlite = dbkit_acme:Blocking
acme.aiosqlite = dbkit_acme:Asyncio
"""


class TestTheLinesOfAThirdParty(testtools.TestCase):
    def setUp(self):
        super().setUp()
        holder = tempfile.TemporaryDirectory(prefix="dbkit-acme-")
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)
        info = self.folder / "dbkit_acme-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dbkit-acme\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(_ENTRY_POINTS)
        (self.folder / "test_acme.py").write_bytes(EXAMPLE.read_bytes())

    def run_python(self, *arguments, backend=_ACME):
        """Run Python where the distribution is installed; return its status and all that it wrote."""
        done = warm.run(*arguments, cwd=self.folder, env=self.environment(backend))
        return done.returncode, done.stdout + done.stderr

    def environment(self, backend=_ACME):
        """Write the distribution, and return the environment in which it is installed."""
        (self.folder / "dbkit_acme.py").write_text(textwrap.dedent(backend))
        path = os.pathsep.join(filter(None, [str(self.folder), str(ROOT), os.environ.get("PYTHONPATH")]))
        return {
            **os.environ,
            "PYTHONPATH": path,
            "XDG_CACHE_HOME": str(self.folder),
            "ACME_TEST_URL": f"acme:///{self.folder / 'acme.db'}",
        }

    def start_python(self, *arguments):
        """Start Python there, without waiting for it."""
        return subprocess.Popen(
            [sys.executable, *arguments],
            env=self.environment(),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def test_unittest_runs_them_in_both_colours(self):
        status, told = self.run_python("-m", "unittest", "-v", "test_acme")
        self.assertEqual(0, status, told)
        self.assertIn("TestEndings_on_acme_pysqlite_blocking.test_a_block_that_ends_is_committed", told)
        self.assertIn("TestEndings_on_acme_aiosqlite_asyncio.test_a_block_that_ends_is_committed", told)
        self.assertIn("skipped 'acme does not declare FOREIGN_KEYS: a row that points to no row is refused'", told)
        self.assertGreater(int(re.search(r"Ran (\d+) tests", told)[1]), 150)

    def test_pytest_runs_them_too(self):
        status, told = self.run_python("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_acme.py")
        if "No module named pytest" in told:
            self.skipTest("pytest is not installed: pip install pytest")
        self.assertEqual(0, status, told)
        self.assertRegex(told, r"\d{2,} passed, \d{2,} skipped")

    def test_testtools_runs_them_too(self):
        status, told = self.run_python("-m", "testtools.run", "test_acme")
        self.assertEqual(0, status, told)

    def test_processes_that_share_a_database_take_turns(self):
        processes = [self.start_python("-m", "unittest", "test_acme") for _ in range(2)]
        told = [process.communicate()[0] for process in processes]
        self.assertEqual([0, 0], [process.returncode for process in processes], told)

    def test_a_backend_that_is_broken_fails_by_name(self):
        broken = _ACME.replace(
            'schemes = "acme", ("acme",)',
            'schemes = "acme", ("acme",)\n        def begin(self, *args): return lambda connection: None',
        )
        status, told = self.run_python("-m", "unittest", "test_acme", backend=broken)
        self.assertNotEqual(0, status)
        self.assertIn("FAIL: test_a_block_that_fails_is_rolled_back", told)


class TestThePage(testtools.TestCase):
    def test_the_example_stands_on_the_page(self):
        self.assertIn(".. literalinclude:: examples/test_acme.py", PAGE.read_text(encoding="utf-8"))

    def test_it_is_a_handful_of_lines(self):
        lines = [line for line in EXAMPLE.read_text(encoding="utf-8").splitlines() if line.strip()]
        self.assertLess(len(lines), 15)

    def test_every_capability_is_on_the_page(self):
        told = set(re.findall(r"^``([A-Z_]+)``$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
        self.assertEqual({each.name for each in Capability}, told)
