"""How a broken isolation is told: as an error of its test, with a text and no traceback of dbkit's inside."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from dbkit.testing.isolation import IsolationBroken

_IS_TOLD = pytest.StashKey[bool]()


def beginning(item: pytest.Item) -> None:
    """Forget what an earlier run of the same test has told."""
    item.stash[_IS_TOLD] = False


@contextlib.contextmanager
def ending(item: pytest.Item) -> Iterator[None]:
    """Around a sandbox or what works in it: fail the test if the isolation was broken, unless it has failed with that.

    :raises pytest.fail.Exception: it was.
    """
    try:
        yield
    except IsolationBroken as broken:
        if not item.stash.get(_IS_TOLD, False):
            item.stash[_IS_TOLD] = True
            raise pytest.fail.Exception(str(broken), pytrace=False) from None


@contextlib.contextmanager
def watching(item: pytest.Item) -> Iterator[None]:
    """Around a test: see whether it fails with the broken isolation itself."""
    try:
        yield
    except IsolationBroken:
        item.stash[_IS_TOLD] = True
        raise
