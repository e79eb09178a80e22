"""Waits for the point at which a planned failure is to come, and lets it come there."""

from __future__ import annotations

import threading
from typing import Any

from sqlalchemy.engine import Engine

from dbkit.backends.base import Backend
from dbkit.backends.registry import backend_for
from dbkit.exceptions import CommitUnknown, DBError, Outcome, UsageError
from dbkit.testing.assertions.originals import Product, is_loss, original_of, product_named
from dbkit.testing.assertions.places import caller
from dbkit.testing.assertions.tap import Observer, Tap
from dbkit.testing.faults.rules import Point
from dbkit.testing.faults.sql import Dialect, names_of
from dbkit.testing.isolation.engines import HeldPool

_LONGEST_SHOWN = 80
_MOST_SHOWN = 20


class Trigger(Observer):
    """Fails at a point.

    :param wanted: the error, by its class or by an instance that says more.
    :param nth: the first occurrence that fails.
    :param times: how many fail.
    :param executed: whether a COMMIT whose reply is lost was carried out.
    :ivar met: how often it has failed.
    """

    def __init__(self, point: Point, wanted: DBError | type[DBError], nth: int, times: int, executed: bool) -> None:
        self._point = point
        self._wanted = wanted
        self._class = wanted if isinstance(wanted, type) else type(wanted)
        self._is_loss = self._class is CommitUnknown or is_loss(self._class)
        self._nth = nth
        self._times = times
        self._executed = executed
        self._lock = threading.Lock()
        self._came = 0
        self._seen: list[str] = []
        self.met = 0

    @property
    def lacks(self) -> bool:
        """Whether it has failed less often than it was to."""
        return self.met < self._times

    def explain(self) -> str:
        """Return what was to come, how often it came, and what has come instead."""
        what = f"{self._class.__name__} at {self._point.name or repr(self._point.pattern and self._point.pattern.text)}"
        often = "never met" if not self.met else f"met {self.met} of {self._times} times"
        seen = "; ".join(self._seen) or "nothing that was sent"
        more = " ..." if len(self._seen) == _MOST_SHOWN else ""
        nth = f", from occurrence {self._nth} on" if self._nth > 1 else ""
        return f"the planned {what}{nth} was {often}; the block has met: {seen}{more}"

    def vet(self, engine: Engine) -> None:
        """Refuse an engine on which the failure cannot come.

        :raises UsageError: its product has no such error, or its only connection would be lost.
        """
        backend = backend_for(engine.dialect.name)
        product_named(backend.rules.name)
        if self._is_loss:
            if isinstance(engine.pool, HeldPool):
                raise UsageError(
                    "a sandbox by rollback has one connection, and the test's transaction is lost with it; give a test "
                    "that loses connections isolation 'clone' or 'truncate'"
                )
        else:
            original_of(backend.rules, self._wanted, self._point.name == "COMMIT")

    # -- the points ---------------------------------------------------------------------------------------------------

    def connects(self, tap: Tap, args: tuple[Any, ...], arguments: dict[str, Any]) -> None:
        """Fail instead of connecting, if it is time."""
        if self._is_due("connect", frozenset({"connect"})):
            self._fail_connecting(tap, args, arguments)

    def begins(self, tap: Tap, connection: Any) -> None:
        """Fail at BEGIN, if it is time."""
        if self._is_due("BEGIN", frozenset({"BEGIN"})):
            tap.real["do_begin"](connection)  # in a sandbox, what is undone afterwards must have begun
            self._fail(tap, connection, at_end=True)

    def commits(self, tap: Tap, connection: Any) -> None:
        """Fail at COMMIT, if it is time."""
        if self._is_due("COMMIT", frozenset({"COMMIT"})):
            self._fail(tap, connection, at_end=True, at_commit=True)

    def rolls_back(self, tap: Tap, connection: Any) -> None:
        """Fail at ROLLBACK, if it is time; it is carried out."""
        if self._is_due("ROLLBACK", frozenset({"ROLLBACK"})):
            tap.real["do_rollback"](connection)
            self._fail(tap, connection, at_end=True)

    def executes(self, tap: Tap, sql: str, context: Any) -> None:
        """Fail in place of a statement, if it is time."""
        names = names_of(sql, Dialect.MYSQL if tap.engine.dialect.name in ("mysql", "mariadb") else Dialect.POSTGRESQL)
        if self._is_due(" ".join(sql.split())[:_LONGEST_SHOWN], names, sql):
            self._fail(tap, context.root_connection.connection)

    def _is_due(self, shown: str, names: frozenset[str], sql: str | None = None) -> bool:
        point = self._point
        matches = point.name in names if point.pattern is None else sql is not None and point.pattern.finds(sql)
        with self._lock:
            if not matches:
                if len(self._seen) < _MOST_SHOWN:
                    self._seen.append(shown)
                return False
            self._came += 1
            if self._nth <= self._came < self._nth + self._times:
                self.met += 1
                return True
            if len(self._seen) < _MOST_SHOWN:
                self._seen.append(f"{shown} (occurrence {self._came})")
            return False

    # -- failing ------------------------------------------------------------------------------------------------------

    def _fail_connecting(self, tap: Tap, args: tuple[Any, ...], arguments: dict[str, Any]) -> None:
        product = _knowledge(tap)[1]
        if not product.needs_connection:
            self._raise(self._error(tap, None))
        connection = tap.real["connect"](*args, **arguments)
        try:
            error = self._error(tap, connection)
            if not self._is_loss:
                connection.rollback()
        finally:
            tap.engine.dialect.do_terminate(connection)
        self._raise(error)

    def _fail(self, tap: Tap, connection: Any, *, at_end: bool = False, at_commit: bool = False) -> None:
        """Fail on a pooled connection; at the end of a transaction none is open after it."""
        backend, product = _knowledge(tap)
        rollback = tap.real["do_rollback"]
        if self._is_loss:
            if at_commit and self._executed:
                tap.real["do_commit"](connection)
            self._raise(self._error(tap, connection.dbapi_connection))
        rule = original_of(backend.rules, self._wanted, self._point.name == "COMMIT").rule
        outcome = backend.rules.commit_outcome_of(rule) if at_commit else backend.rules.outcome_of(rule)
        if not at_end:
            if outcome is Outcome.ROLLED_BACK and product.keeps_transaction:
                rollback(connection)
            self._raise(self._error(tap, connection.dbapi_connection))
        if at_commit and outcome is Outcome.UNKNOWN and self._executed:
            tap.real["do_commit"](connection)
        error = self._error(tap, connection.dbapi_connection)
        if outcome is not Outcome.STATEMENT_FAILED or not at_commit:
            rollback(connection)
        self._raise(error)

    def _error(self, tap: Tap, connection: Any) -> BaseException:
        """Return what the driver raises."""
        backend, product = _knowledge(tap)
        try:
            if self._is_loss:
                product.lose(connection)
            else:
                product.provoke(connection, original_of(backend.rules, self._wanted, self._point.name == "COMMIT"))
        except (tap.engine.dialect.loaded_dbapi.Error, OSError) as error:
            return error
        raise AssertionError(f"{backend.name} did not fail when it was asked to raise {self._class.__name__}")

    def _raise(self, error: BaseException) -> None:
        error.add_note(f"dbkit: planned by fail_next, met at {caller()}")
        error.dbkit_planned = True  # type: ignore[attr-defined]  # a sandbox sees that its transaction is not lost to it
        raise error


def _knowledge(tap: Tap) -> tuple[Backend, Product]:
    backend = backend_for(tap.engine.dialect.name)
    return backend, product_named(backend.rules.name)
