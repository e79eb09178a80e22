"""Errors of the database that come when a test wants them."""

from __future__ import annotations

import re
from types import TracebackType
from typing import Any

from dbkit.exceptions import CommitUnknown, DBDeadlock, DBError, DBTooManyConnections, PoolTimeout, UsageError
from dbkit.testing.assertions.block import Check
from dbkit.testing.assertions.tap import observe
from dbkit.testing.assertions.targets import Stop, Target
from dbkit.testing.assertions.trigger import Trigger
from dbkit.testing.faults.rules import before

_NOT_SEEN = frozenset({"ping", "quit", "cancel"})


class PlannedFailure(Check):
    """A failure that comes in its block, at the chosen point."""

    def __init__(self, target: Target, trigger: Trigger) -> None:
        self._target = target
        self._trigger = trigger

    @property
    def met(self) -> int:
        """How often it came."""
        return self._trigger.met

    def _start(self) -> Stop:
        return observe(self._target, self._trigger, self._trigger.vet)

    def _judge(self) -> None:
        __tracebackhide__ = True
        if self._trigger.lacks:
            raise AssertionError(self._trigger.explain())

    def __exit__(self, kind: Any, error: BaseException | None, trace: TracebackType | None) -> None:
        __tracebackhide__ = True
        super().__exit__(kind, error, trace)
        if error is not None and self._trigger.lacks:
            error.add_note(f"dbkit: {self._trigger.explain()}")


def fail_next(
    target: Target,
    at: str | re.Pattern[str] = "COMMIT",
    error: DBError | type[DBError] = DBDeadlock,
    *,
    nth: int = 1,
    times: int = 1,
    executed: bool = False,
) -> PlannedFailure:
    """Return what lets the database fail in its block, at a chosen point, as it does in production.

    .. code-block:: python

        with fail_next(db, at="COMMIT", error=DBDeadlock):
            transfer(1, 2, amount=10)               # must try again
        with fail_next(db, at="COMMIT", error=CommitUnknown, executed=True):
            transfer(1, 2, amount=10)               # stored, and the reply is lost

    The error comes from the driver: PostgreSQL, MySQL and MariaDB are asked to raise it by its code, a connection is
    ended by the server itself. So it takes the way of a real one, ``orig`` is the driver's own, and the transaction
    stands as after a real one: aborted, rolled back, or gone with its connection. Where a product has no error of
    the class, it is one of a class derived from it: for ``DBDeadlock``, SQLite has ``DBSerializationFailure``.

    If the failure is not met, the end of the block is an ``AssertionError`` that lists what was met instead.

    :param target: a ``dbkit.Database``, a manager of enginefacade, a sandbox, or an engine of SQLAlchemy.
    :param at: an SQL verb such as ``"COMMIT"``, ``"BEGIN"`` or ``"INSERT"``; ``"statement"`` for any; ``"connect"``,
        which is met only if the pool has to open a connection; or a compiled regular expression, searched for in
        the SQL.
    :param error: a class, or an instance that says more: ``DBDuplicateEntry(columns=["name"])``,
        ``DBDataError(sqlstate="22003")``.
    :param nth: the first occurrence of the point that fails.
    :param times: how many fail, one after the other.
    :param executed: whether a COMMIT whose reply is lost was carried out.
    :raises UsageError: no database reports such an error, or not there; on entry: this one does not.

    .. versionadded:: 0.1
    """
    point = before(at)
    cls = error if isinstance(error, type) else type(error)
    if point.name in _NOT_SEEN:
        raise UsageError(f"fail_next does not see {point.name!r}; use dbkit.testing.faults.proxy")
    if not issubclass(cls, DBError) or issubclass(cls, UsageError | PoolTimeout):
        raise UsageError(f"no database reports {cls.__name__}; give fail_next a class of error that one does")
    if cls is CommitUnknown and point.name != "COMMIT":
        raise UsageError(f"only COMMIT can leave behind CommitUnknown, not {at!r}")
    if issubclass(cls, DBTooManyConnections) and point.name != "connect":
        raise UsageError(
            "a server that is full says so to who connects: fail_next(db, 'connect', DBTooManyConnections)"
        )
    if executed and point.name != "COMMIT":
        raise UsageError("executed=True says what became of a COMMIT; leave it out for other points")
    if nth < 1 or times < 1:
        raise UsageError(f"nth and times count from 1, not from {min(nth, times)}")
    return PlannedFailure(target, Trigger(point, error, nth, times, executed))
