"""Runs a suite of tests that a text holds, in a process of its own, and says what became of each test.

``python -m dbkit.tests.contract.fixture_suites folder module ...`` is that process; it runs the modules of the folder.
"""

from __future__ import annotations

import json
import os
import sys
import textwrap
import unittest
from pathlib import Path

import fixtures

from dbkit.tests import warm

ROOT = Path(__file__).parents[3]


class Outcomes(unittest.TestResult):
    """What became of each test, by its id: ok, failed, error, or skipped with the reason."""

    def __init__(self):
        super().__init__()
        self.by_id = {}
        self.texts = []

    def _note(self, test, outcome):
        self.by_id[test.id()] = outcome

    def addSuccess(self, test):
        self._note(test, "ok")

    def addFailure(self, test, error):
        self.texts.append(self._exc_info_to_string(error, test))
        self._note(test, "failed")

    def addError(self, test, error):
        self.texts.append(self._exc_info_to_string(error, test))
        self._note(test, "error")

    def addSkip(self, test, reason):
        self._note(test, f"skipped: {reason}")


def run_here(tests):
    """Run a test or suite in this process."""
    outcomes = Outcomes()
    tests.run(outcomes)
    return outcomes


def of_class(case, *names):
    """Return the tests of a class as a suite."""
    names = names or unittest.TestLoader().getTestCaseNames(case)
    return unittest.TestSuite(case(name) for name in names)


class Ran:
    """A run in a process of its own.

    :ivar outcomes: by id.
    :ivar said: the lines that the suite itself printed.
    """

    def __init__(self, text):
        *self.said, last = text.splitlines()
        told = json.loads(last)
        self.outcomes = told["outcomes"]
        self.texts = "\n".join(told["texts"])


class SuiteFolder(fixtures.Fixture):
    """A folder with modules of tests, removed at the end."""

    def _setUp(self):
        self.path = Path(self.useFixture(fixtures.TempDir()).path)

    def write(self, **modules):
        """Write a module for each text; ``a__b`` stands for the module b in the package a."""
        for name, text in modules.items():
            path = self.path.joinpath(*name.split("__")).with_suffix(".py")
            path.parent.mkdir(exist_ok=True)
            path.write_text(textwrap.dedent(text), encoding="utf-8")
        return self

    def run(self, *names, **environment):
        """Run modules, classes or tests; a variable that is None is taken out of the environment."""
        # in this project's folder, so that it shares the servers of the run
        environment = environment_with(**environment)
        done = warm.run("-m", __name__, self.path, *names, cwd=ROOT, timeout_s=300, env=environment)
        if done.returncode:
            raise AssertionError(done.stderr)
        return Ran(done.stdout)


def environment_with(**changes):
    """Return this process's environment with changes, and dbkit on the path."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {name: value for name, value in {**os.environ, "PYTHONPATH": path, **changes}.items() if value is not None}


def main():
    folder, *names = sys.argv[1:]
    sys.path.insert(0, folder)
    loader = unittest.TestLoader()
    outcomes = run_here(loader.loadTestsFromNames(names))
    print(json.dumps({"outcomes": outcomes.by_id, "texts": outcomes.texts + loader.errors}))


if __name__ == "__main__":
    main()
