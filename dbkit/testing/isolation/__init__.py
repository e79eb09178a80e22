"""Isolation of tests: each leaves the database as it found it.

:func:`isolated` gives a test a :class:`Sandbox`, by one of four strategies. The usual one, ``rollback``, lets the code
under test begin, commit and roll back as in production, on one connection whose outer transaction is rolled back at the
end of the test.
"""

from __future__ import annotations

from dbkit.testing.isolation.databases import WorkerDatabase
from dbkit.testing.isolation.errors import IsolationBroken, IsolationError, LeftInUse
from dbkit.testing.isolation.sandbox import Isolation, Layer, Sandbox, isolated

__all__ = [
    "Isolation",
    "IsolationBroken",
    "IsolationError",
    "Layer",
    "LeftInUse",
    "Sandbox",
    "WorkerDatabase",
    "isolated",
]
