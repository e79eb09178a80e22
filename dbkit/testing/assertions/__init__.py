"""Assertions on what a block of a test does with its database.

.. code-block:: python

    with assert_statements(db, 2):
        list_accounts()

All of them are context managers, for ``with`` and ``async with``, from any test framework. They look at a
``dbkit.Database``, a manager of enginefacade, a sandbox, or a plain engine of SQLAlchemy, and leave nothing behind when
their block has ended. They may be nested.
"""

from __future__ import annotations

from dbkit.testing.assertions.captured import CapturedHooks, capture_hooks
from dbkit.testing.assertions.connections import LeakCheck, assert_no_leaked_connections
from dbkit.testing.assertions.failures import PlannedFailure, fail_next
from dbkit.testing.assertions.lazy_loads import LazyLoadCheck, assert_no_lazy_loads
from dbkit.testing.assertions.places import Place
from dbkit.testing.assertions.round_trips import RoundTripCheck, assert_round_trips
from dbkit.testing.assertions.statements import (
    Sent,
    StatementRecorder,
    assert_reads_only,
    assert_statements,
    count_statements,
)

__all__ = [
    "CapturedHooks",
    "LazyLoadCheck",
    "LeakCheck",
    "Place",
    "PlannedFailure",
    "RoundTripCheck",
    "Sent",
    "StatementRecorder",
    "assert_no_lazy_loads",
    "assert_no_leaked_connections",
    "assert_reads_only",
    "assert_round_trips",
    "assert_statements",
    "capture_hooks",
    "count_statements",
    "fail_next",
]
