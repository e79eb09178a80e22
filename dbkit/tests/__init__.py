"""The tests of dbkit; they stand outside its floors."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from unittest import TestLoader, TestSuite

_HERE = Path(__file__).parent

# PyMySQL reads all certificates that the machine trusts at each connection, 30 ms long, and verifies nothing with them.
os.environ["SSL_CERT_FILE"] = os.devnull


def load_tests(loader: TestLoader, tests: TestSuite, pattern: str | None) -> TestSuite:
    """Return all tests, whose many classes the garbage collector need not look through from then on.

    Tests that collect garbage to see what is left would do so hundreds of times. By itself it looks more seldom: the
    engines of many drivers make a heap that took a third of the processors' time to look through.
    """
    top = _HERE.parents[1]
    gc.disable()
    try:
        found = loader.discover(str(_HERE), pattern or "test*.py", str(top))
    finally:
        gc.enable()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    return found
