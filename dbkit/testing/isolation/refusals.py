"""What the dialect of a sandbox refuses, because it would leave the transaction that isolates the test."""

from __future__ import annotations

from typing import Any

from dbkit.testing.isolation.errors import IsolationError


def refuse_what_savepoints_cannot(dialect: Any) -> None:
    """Let a dialect refuse two-phase transactions and autocommit, and take isolation levels in silence."""
    dialect.do_begin_twophase = dialect.do_prepare_twophase = _refuse_two_phases
    dialect.set_isolation_level = _set_isolation_level
    dialect.reset_isolation_level = _leave_as_it_is
    for name in ("set_readonly", "set_deferrable"):  # PostgreSQL's execution options
        if hasattr(dialect, name):
            setattr(dialect, name, _leave_as_it_is)


def _refuse_two_phases(connection: Any, *args: Any) -> None:
    raise IsolationError(
        "a two-phase transaction cannot run inside the transaction that isolates a test by rollback; give the test "
        "isolation 'clone'"
    )


def _set_isolation_level(connection: Any, level: str) -> None:
    """Refuse autocommit; a level changes nothing, because there is no other transaction to be isolated from."""
    if level.replace("_", " ").upper() == "AUTOCOMMIT":
        raise IsolationError(
            "AUTOCOMMIT would store what a test does for good, and the test is isolated by rollback; leave it out, or "
            "give the test isolation 'clone'"
        )


def _leave_as_it_is(connection: Any, *value: Any) -> None:
    pass
