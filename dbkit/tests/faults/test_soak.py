"""A short run of each workload under faults, and of its control: ``python -m dbkit.tests.soak`` makes the long ones."""

from __future__ import annotations

import fixtures
import testtools

from dbkit.testing import servers
from dbkit.tests.behaviours.combinations import ALL, SERVERS
from dbkit.tests.soak.ground import kind_of
from dbkit.tests.soak.runs import RUNS

_TIME_LIMIT_S = 180


class SoakTestCase(testtools.TestCase):
    """A run on one driver in one colour."""

    def make(self, run, combination):
        if combination.missing:
            self.skipTest(combination.missing)
        if combination in SERVERS:
            servers.require_or_skip(kind_of(combination))
        self.useFixture(fixtures.Timeout(_TIME_LIMIT_S, gentle=True))
        self.useFixture(fixtures.FakeLogger())
        run.make(combination, is_full=False, seed=1).raise_if_wrong()


def _test_of(run, combination):
    def test(self):
        self.make(run, combination)

    return test


def _classes():
    for (kind, combination), runs in _kinds().items():
        tests = {f"test_{run.name.replace('-', '_')}": _test_of(run, combination) for run in runs}
        name = f"TestSoak_{kind}_on_{combination.name}"
        yield name, type(name, (SoakTestCase,), {"__module__": __name__, **tests})


def _kinds():
    """Return the runs that a class has: few, because workers share out whole classes."""
    found = {}
    for combination in ALL:
        for run in RUNS:
            if combination in run.short_on:
                found.setdefault((run.name.partition("-")[0], combination), []).append(run)
    return found


globals().update(_classes())


class TestTheRuns(testtools.TestCase):
    def test_each_kind_of_protection_has_a_control(self):
        controls = {
            run.name.split("-")[0] for run in RUNS if {"control", "unverified", "must_break"} & set(run.arguments)
        }
        self.assertEqual({"counter", "bank", "nested", "appends", "galera", "kill", "cancel", "updates"}, controls)

    def test_names_are_unique(self):
        names = [run.name for run in RUNS]
        self.assertEqual(len(names), len(set(names)))
