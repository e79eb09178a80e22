"""The same tests with testtools: ``python -m testtools.run tests_testtools``, or ``stestr run``."""

from __future__ import annotations

import os
import random
import unittest

from dbkit.testing.fixtures import optimize_package_test_loader

_in_good_order = optimize_package_test_loader(__file__)


def load_tests(loader: unittest.TestLoader, found: unittest.TestSuite, pattern: str | None) -> unittest.TestSuite:
    """Return the tests, those of one database together; in a random order if ``BOOKSHOP_SEED`` gives it a seed.

    ``stestr run --random`` shuffles the list that it hands to a worker, which runs its tests in the order of the suite.
    """
    suite = _in_good_order(loader, found, pattern)
    seed = os.environ.get("BOOKSHOP_SEED")
    if seed is None:
        return suite
    tests = list(suite)
    random.Random(seed).shuffle(tests)
    return unittest.TestSuite(tests)
