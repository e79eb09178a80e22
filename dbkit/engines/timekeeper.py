"""The guard that lets a block end in time: its server is told, and the watchdog stands behind that."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from dbkit.backends.cord import CallCord, Cord
from dbkit.backends.limits import Limits
from dbkit.deadline import Deadline
from dbkit.engines.connection import TrackedConnection
from dbkit.engines.view import Sent
from dbkit.engines.watchdog import WATCHDOG, Guard, Watchdog
from dbkit.exceptions import DBConnectionError, DBError, DBLockTimeout, DBQueryCanceled, DeadlineExceeded, Outcome

GRACE_S = 0.04
"""Seconds for which the watchdog waits for an answer that the server gives in time, and that is on its way."""

_AGAIN_S = 0.01
"""An interrupt strikes only what runs; until the block ends, it comes again and again."""

_OWN_LIMIT_S = 0.015
"""A server's clock and ours differ by less than this over the time of a statement."""

_RESERVE_SHARE = 0.2
_RESERVE_MOST_S = 1.0

_ITS_END = "the code inside it"

_CAUSES = (DBQueryCanceled, DBLockTimeout, DBConnectionError)


class TimeKeeper:
    """Ends in time what a connection waits for.

    :param deadline: of the block.
    :param whole: it bounds the whole transaction, and not only a part of it.
    :param keeps_reserve: a COMMIT whose reply does not come is given up sooner, so that what became of it can be found
        out before the deadline.
    """

    def __init__(
        self, deadline: Deadline, *, keeps_reserve: bool = False, whole: bool = True, watchdog: Watchdog = WATCHDOG
    ) -> None:
        self.deadline = deadline
        self._whole = whole
        self._keeps_reserve = keeps_reserve
        self._watchdog = watchdog
        self._connection: TrackedConnection | None = None
        self._guard: Guard | None = None
        self._cord: Cord | None = None
        self._limits: Limits | None = None
        self._was_cut = False
        self._interrupted = False

    # -- the connection comes and goes --------------------------------------------------------------------------------

    def taken(self, connection: TrackedConnection) -> None:
        """Arm the watchdog, and bound BEGIN."""
        left = self.deadline.check("a connection")
        self._connection = connection
        self._was_cut = connection.was_cut = False
        backend, dialect = connection.backend, connection.dialect
        native = connection.driver_level
        self._cord = backend.cord(native, dialect.driver.removesuffix("_async"))
        if self._cord is not None:
            self._guard = self._watchdog.arm(left + GRACE_S, self._cut)
        self._limits = backend.limits(dialect, whole=self._whole)
        self._limits.taken(native, left)

    def _cut(self) -> None:
        """Called by the watchdog, in its thread."""
        cord = self._cord
        if cord is None:
            return
        # said before it is done: who waits may wake at once, and looks
        if isinstance(cord, CallCord):
            self._interrupted = True
            self._guard = self._watchdog.arm(_AGAIN_S, self._cut)
        elif self._connection is not None:
            self._was_cut = self._connection.was_cut = True
        cord.cut()

    def let_go(self, connection: TrackedConnection) -> None:
        """Take the bounds off; a connection that was cut is not used again."""
        self._lift(connection, goes_on=False)
        if self._was_cut and not connection.invalidated:
            connection.invalidate()

    def leave(self, connection: TrackedConnection) -> None:
        """Take the bounds off in the middle of a transaction that goes on."""
        self._lift(connection, goes_on=connection.doom is None)
        if self._was_cut:
            connection.failed(self.deadline.exceeded(_ITS_END))

    def _lift(self, connection: TrackedConnection, goes_on: bool) -> None:
        limits, self._limits = self._limits, None
        try:
            if limits is not None and not connection.invalidated and not self._was_cut:
                limits.let_go(connection.driver_level, goes_on)
        except connection.dialect.loaded_dbapi.Error:
            connection.invalidate()
        finally:
            self._disarm()

    def _disarm(self) -> None:
        with self._watchdog.standing_still():
            guard, self._guard = self._guard, None
            if guard is not None:
                guard.disarm()
            cord, self._cord = self._cord, None
        if cord is not None:
            cord.let_go()

    @property
    def needs_transaction(self) -> bool:
        """Whether an autocommitting reader must open a transaction, so that its limits end with it."""
        return self._limits is not None and self._limits.needs_transaction

    # -- what it does -------------------------------------------------------------------------------------------------

    def begun(self, connection: TrackedConnection) -> None:
        """Nothing more to do: what the server is told goes with the first statement."""

    def sending(self, sent: Sent) -> None:
        """Bound the statement, each time that it is sent."""
        sent.call = partial(self._send, sent.call)

    def _send(self, call: Callable[..., Any], cursor: Any, statement: str, parameters: Any, context: Any) -> None:
        connection, limits = self._connection, self._limits
        if connection is not None and limits is not None:
            left = self.check("its next statement")
            statement = limits.sending(connection.driver_level, statement, isinstance(parameters, list), left)
        call(cursor, statement, parameters, context)

    def committing(self, connection: TrackedConnection) -> None:
        """Refuse COMMIT if the time is up; give it no more than leaves the reserve."""
        left = self.check("COMMIT")
        if self._keeps_reserve and self._guard is not None:
            reserve = min(self.deadline.seconds * _RESERVE_SHARE, _RESERVE_MOST_S, left / 2)
            self._guard.tighten(self._guard.at - GRACE_S - reserve)

    def check(self, what: str) -> float:
        """Return the seconds that are left.

        :raises DeadlineExceeded: none are; the transaction is lost by that.
        """
        try:
            if self._was_cut:
                raise self.deadline.exceeded(_ITS_END)
            return self.deadline.check(what)
        except DeadlineExceeded as error:
            if self._connection is not None:
                self._connection.failed(error)
            raise

    def bound(self, deadline: Deadline) -> Callable[[], None]:
        """Let another deadline count until the returned function is called."""
        before = self.deadline
        self._change(deadline)
        return partial(self._change, before)

    def _change(self, deadline: Deadline) -> None:
        self.deadline = deadline
        with self._watchdog.standing_still():
            if self._guard is not None and not self._was_cut:
                self._guard.disarm()
                self._guard = self._watchdog.arm(deadline.left_s + GRACE_S, self._cut)
        if self._limits is not None:
            self._limits.change()

    # -- errors -------------------------------------------------------------------------------------------------------

    def judged(self, error: DBError) -> DBError:
        """Return the error that the block gets in place of this one.

        What the server or the watchdog has ended because of the deadline is ``DeadlineExceeded``; but a COMMIT whose
        reply did not come in time stays what it is: unknown.
        """
        if error.outcome is Outcome.UNKNOWN or not isinstance(error, _CAUSES):
            return error
        if not self._was_cut:
            if isinstance(error, DBConnectionError) and not self._interrupted:
                return error
            if self.deadline.left_s > _OWN_LIMIT_S:
                return error
        exceeded = self._exceeded()
        exceeded.orig, exceeded.cause = error.orig, error
        exceeded.sqlstate, exceeded.errno, exceeded.errname = error.sqlstate, error.errno, error.errname
        exceeded.statement = error.statement
        return exceeded

    def _exceeded(self) -> DeadlineExceeded:
        """Return the error for what was cut off; who was told already is told the same, and not of the ROLLBACK."""
        before = None if self._connection is None else self._connection.doom
        if isinstance(before, DeadlineExceeded):
            return DeadlineExceeded(message=str(before), outcome=before.outcome)
        return self.deadline.exceeded("the database")
