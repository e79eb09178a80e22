"""Which errors are worth another run, and of what kind they are: one table, read by everything that retries.

It is asked only about a transaction that is known to be rolled back, or was never begun. What became of it is the
caller's to find out; an error that says it does not know is never worth another run, whatever else it says.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from dbkit.exceptions import (
    CommitUnknown,
    DBConnectionError,
    DBDeadlock,
    DBError,
    DBNotPrimary,
    DBQueryCanceled,
    DBSerializationFailure,
    DBTooManyConnections,
    DeadlineExceeded,
    Outcome,
    PoolTimeout,
    ReplayDiverged,
    RetryRequest,
    StaleRow,
    TransactionDoomed,
    UsageError,
)


class Kind(enum.Enum):
    """Why a transaction is run again: how long to wait before, and which budget pays for it, depend on it.

    .. versionadded:: 0.1
    """

    SERIALIZATION = "serialization failure"
    """It could not be ordered with others, which have ended: the first run after it begins at once."""
    CONFLICT = "conflict"
    """Another transaction stood in the way: its end is waited for, which comes soon."""
    CONNECTION = "lost connection"
    """The connection was lost, could not be made, or led to a server that is not the primary any more."""
    OVERLOAD = "overload"
    """The pool or the server had no room."""
    REQUESTED = "requested"
    """The function itself asked for it, with a RetryRequest."""
    OPTED_IN = "opted in"
    """The caller named the class of the error."""

    @property
    def is_conflict(self) -> bool:
        """Whether other transactions are to blame; otherwise the database is out of reach or has too much to do."""
        return self not in (Kind.CONNECTION, Kind.OVERLOAD)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A row of the table.

    :param kind: None: never worth another run.
    """

    error: type[Exception]
    kind: Kind | None
    why: str


# In order of precedence: the first row whose class fits decides. Rows after the line hold only for errors that call
# themselves transient, because a rule of a backend may say otherwise of a single code.
ALWAYS = (
    Verdict(CommitUnknown, None, "it may be stored: a second run would store it twice"),
    Verdict(DeadlineExceeded, None, "there is no time left"),
    Verdict(DBQueryCanceled, None, "it would take as long again, or be stopped again"),
    Verdict(UsageError, None, "it is refused each time"),
    Verdict(RetryRequest, Kind.REQUESTED, "the function asks for it"),
)
IF_TRANSIENT = (
    Verdict(PoolTimeout, Kind.OVERLOAD, "a connection may come free"),
    Verdict(DBTooManyConnections, Kind.OVERLOAD, "the server may get rid of connections"),
    Verdict(DBConnectionError, Kind.CONNECTION, "COMMIT had not been sent; the next connection may hold"),
    Verdict(DBNotPrimary, Kind.CONNECTION, "the next connection may lead to the new primary"),
    Verdict(ReplayDiverged, Kind.CONFLICT, "others have written since; the function decides anew"),
    Verdict(StaleRow, Kind.SERIALIZATION, "whoever was faster has ended"),
    Verdict(DBSerializationFailure, Kind.SERIALIZATION, "the others have ended"),
    Verdict(DBDeadlock, Kind.CONFLICT, "the others may have ended by then"),
    Verdict(DBError, Kind.CONFLICT, "something changed while it ran, such as the schema"),
)


def judge(
    error: BaseException,
    also: tuple[type[Exception], ...] = (),
    doom: BaseException | None = None,
    outside: BaseException | None = None,
) -> Kind | None:
    """Return the kind of an error that is worth another run; None for any other.

    :param also: classes that are worth it here.
    :param doom: what the transaction was lost to. It decides where the error is another one that came of it: the
        caller's own, raised while this one was handled.
    :param outside: what was being handled when the call began; what stands behind it has nothing to do with the call.
    """
    if not isinstance(error, Exception) or has_given_up(error):
        return None
    if is_in_doubt(error, outside):
        return None
    if also and isinstance(error, also):
        return Kind.OPTED_IN
    kind = _kind_of(error)
    if kind is None and doom is not None and not isinstance(error, DeadlineExceeded):
        if any(each is doom for each in _chain(error, outside)):
            kind = _kind_of(doom)
    return kind


def has_given_up(error: BaseException) -> bool:
    """Return whether somebody has retried already, in vain: retries around retries would multiply."""
    return bool(getattr(error, "retries_exhausted", False) or getattr(error, "retry_budget_exhausted", False))


_NEVER_AGAIN = (Outcome.UNKNOWN, Outcome.COMMITTED)


def _kind_of(error: BaseException) -> Kind | None:
    if isinstance(error, TransactionDoomed):
        cause = error.__cause__ or error.orig
        return None if cause is None or cause is error else _kind_of(cause)
    for verdict in ALWAYS:
        if isinstance(error, verdict.error):
            return verdict.kind
    if isinstance(error, DBError) and error.transient:
        for verdict in IF_TRANSIENT:
            if isinstance(error, verdict.error):
                return verdict.kind
    return None


def is_in_doubt(error: BaseException, outside: BaseException | None = None) -> bool:
    """Return whether an error, or one that it came of, leaves open whether something is stored, or says that it is."""
    return any(isinstance(each, DBError) and each.outcome in _NEVER_AGAIN for each in _chain(error, outside))


def _chain(error: BaseException, outside: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and all that stand behind it: causes, what was handled meanwhile, the members of groups."""
    pending: list[BaseException | None] = [error]
    seen: set[int] = set()
    while pending:
        each = pending.pop()
        if each is None or each is outside or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        pending += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            pending += each.exceptions
