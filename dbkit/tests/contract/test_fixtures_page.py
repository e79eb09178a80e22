"""What the page "test your application with testtools" says is so."""

from __future__ import annotations

import re
import textwrap

import testtools
from oslo_db.sqlalchemy import test_base as their_base
from oslo_db.sqlalchemy import test_fixtures as theirs

from dbkit.testing import fixtures as ours
from dbkit.testing import servers
from dbkit.tests import warm
from dbkit.tests.contract.fixture_suites import SuiteFolder, environment_with
from dbkit.tests.contract.test_documentation import USER

PAGE = (USER / "test-with-testtools.rst").read_text(encoding="utf-8")
BLOCKS = [
    textwrap.dedent(block)
    for block in re.findall(r"^\.\. code-block:: python\n\n((?:    .*\n|\n)+)", PAGE, re.MULTILINE)
]
SINCE = {"RollsBackData"}


class TestPage(testtools.TestCase):
    def test_the_first_lines_work_when_pasted(self):
        self.assertTrue(PAGE.split("\n", 4)[4].startswith(".. code-block:: python"))
        self.assertLess(len(BLOCKS[0].split("\n\n\n")[0].split("\n")), 16)
        folder = self.useFixture(SuiteFolder()).write(test_accounts=BLOCKS[0])
        for runner in (["testtools.run", "test_accounts"], ["unittest"]):
            done = warm.run("-m", *runner, cwd=folder.path, env=environment_with(DBKIT_TEST_BACKENDS=None))
            self.assertEqual(0, done.returncode, done.stdout + done.stderr)
            self.assertIn("Ran 1 test", done.stdout + done.stderr)

    def test_the_second_program_runs_on_each_database(self):
        for kind in ("postgresql", "mysql"):
            servers.require_or_skip(kind)
        ran = self.useFixture(SuiteFolder()).write(test_it=BLOCKS[1]).run("test_it", DBKIT_TEST_BACKENDS=None)
        self.assertEqual(["ok"] * 6, list(ran.outcomes.values()), ran.texts)

    def test_all_programs_are_python(self):
        for block in BLOCKS:
            compile(block, "the page", "exec")

    def test_the_table_names_what_there_is(self):
        table = PAGE.split(".. list-table::")[1].split("Reference\n")[0]
        cells = " ".join(re.findall(r"^   \* - (.*)$", table, re.MULTILINE))
        names = set(re.findall(r"``(\w+)(?:\([^`]*\))?``", cells))
        for name in names:
            owners = (ours, ours.BaseDbFixture, ours.OpportunisticDBTestMixin)
            self.assertTrue(any(hasattr(owner, name) for owner in owners), name)
            self.assertTrue(
                name in SINCE or any(hasattr(owner, name) for owner in (theirs, theirs.BaseDbFixture, their_base)), name
            )

    def test_the_table_names_all_that_oslo_db_has(self):
        own = {name for name, value in vars(theirs).items() if getattr(value, "__module__", "") == theirs.__name__}
        public = {name for name in own if not name.startswith("_")}
        self.assertEqual(set(), public - set(ours.__all__))
        self.assertEqual(set(), {name for name in public - {"BaseDbFixture"} if f"``{name}" not in PAGE})

    def test_the_reference_lists_every_name(self):
        self.assertEqual(set(ours.__all__), set(re.findall(r"\w+", PAGE.split(":members:")[1])))
