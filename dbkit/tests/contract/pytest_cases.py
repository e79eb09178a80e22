"""A small application with tests of its own, and pytest run on it in a process of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import textwrap
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import fixtures
import testtools

from dbkit.tests import warm

ROOT = Path(__file__).parents[3]
BOUND_S = 240

# Its own database does not exist: whatever would reach it fails.
BANK = '''
"""Accounts."""
import dbkit
from sqlalchemy import String, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Base(DeclarativeBase):
    pass

class Account(Base):
    __tablename__ = "account"
    id: Mapped[int] = mapped_column(primary_key=True)
    owner: Mapped[str] = mapped_column(String(50), unique=True)

db = dbkit.Database("sqlite:////nonexistent/production.db")

@db.writer
def create(owner):
    db.session.add(Account(owner=owner))

@db.reader
def owners():
    return list(db.session.scalars(select(Account.owner).order_by(Account.id)))

@db.writer
async def acreate(owner):
    db.async_session.add(Account(owner=owner))

@db.reader
async def aowners():
    return list(await db.async_session.scalars(select(Account.owner).order_by(Account.id)))
'''

CONFIGURATION = """
[pytest]
pythonpath = .
asyncio_default_fixture_loop_scope = function
"""

SETTINGS = """
dbkit_schema = bank:Base
dbkit_managers = bank:db
"""

# Notes what each test came to, in the order of the run, in the process that prints.
RECORDER = """
import json, os
reports = []
def pytest_runtest_logreport(report):
    if report.when == "call" or report.outcome != "passed":
        reports.append([report.nodeid, report.when, report.outcome, report.longreprtext])
def pytest_sessionfinish(session):
    if not hasattr(session.config, "workerinput"):
        with open(os.environ["RECORD"], "w") as file:
            json.dump(reports, file)
"""


class Run:
    """What a run of pytest came to.

    :ivar reports: id, step, outcome and text of each test, and of each step beside the call that did not pass.
    """

    def __init__(self, code, output, reports):
        self.code = code
        self.output = output
        self.reports = [(re.sub(r"^.*::", "", name), when, outcome, text) for name, when, outcome, text in reports]

    @property
    def order(self):
        """The names of the tests, as they ran."""
        return [name for name, when, _outcome, _text in self.reports if when == "call"]

    @property
    def counts(self):
        """How many reports there are of each outcome; what happens around a test is an error."""
        return Counter(
            "error" if outcome == "failed" and when != "call" else outcome
            for _name, when, outcome, _text in self.reports
        )

    def text_of(self, name):
        """All that was said of a test."""
        return "\n".join(text for each, _when, _outcome, text in self.reports if each == name)

    @property
    def summary(self):
        """What dbkit says at the end."""
        _, found, rest = self.output.partition(" dbkit -")
        return re.split(r"\n[=\d]", rest.partition("\n")[2])[0] if found else ""


class PytestCase(testtools.TestCase):
    """Runs pytest on files of the test."""

    needs: tuple[str, ...] = ()

    def setUp(self):
        super().setUp()
        for module in ("pytest", *self.needs):
            if find_spec(module) is None:
                self.skipTest(f"{module} is not installed: pip install {module.replace('_', '-')}")
        self.folder = Path(self.useFixture(fixtures.TempDir()).path)
        self.write("bank.py", BANK)
        self.write("recorder.py", RECORDER)

    def write(self, name, text):
        """Write a file of the application."""
        (self.folder / name).write_text(textwrap.dedent(text), encoding="utf-8")

    def pytest(self, *options, test="", settings=SETTINGS, conftest="", random=False, **environment):
        """Run pytest on the text of a test file, and on what was written beside it.

        :param settings: what the configuration file has besides the usual; None leaves the file that is there.
        """
        if settings is not None:
            self.write("pytest.ini", CONFIGURATION + textwrap.dedent(settings))
        self.write("test_it.py", f"import pytest\nfrom bank import *\n{textwrap.dedent(test)}")
        self.write("conftest.py", conftest)
        command = [
            "-m", "pytest", f"--rootdir={self.folder}", f"-c{self.folder / 'pytest.ini'}",
            "-pno:cacheprovider",
            "-precorder",
            *options,
            *([] if random else ["-p", "no:randomly"]),
            str(self.folder),
        ]  # fmt: skip
        # What pytest makes of its plugins is kept, but not what it makes of these: their next text may look as old.
        shutil.rmtree(self.folder / "__pycache__", ignore_errors=True)
        record = self.folder / "record"
        record.write_text("[]")
        mine = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        theirs = {
            "RECORD": str(record), "PYTHONPATH": str(self.folder), "DBKIT_TEST_CACHE": str(self.folder / "cache"),
            "DBKIT_TEST_REQUIRE": "", "DBKIT_TEST_BACKENDS": "", "PYTHONDONTWRITEBYTECODE": "", **environment,
        }  # fmt: skip
        # in this project's folder, so that it shares the servers of the run
        done = warm.run(*command, timeout_s=BOUND_S, cwd=ROOT, env={**mine, **theirs})
        self.addDetail("pytest", testtools.content.text_content(done.stdout + done.stderr))
        return Run(done.returncode, done.stdout + done.stderr, json.loads(record.read_text()))
