"""The root of all errors, and what an error says about the transaction."""

from __future__ import annotations

import enum
import pickle
from collections.abc import Sequence
from typing import Any, Self


class Outcome(enum.Enum):
    """What an error did to the transaction in which it happened."""

    STATEMENT_FAILED = "statement failed"
    """The statement had no effect; the transaction is open and can go on."""

    ABORTED = "aborted"
    """The transaction accepts nothing but ROLLBACK; a savepoint opened before the error can still save it."""

    ROLLED_BACK = "rolled back"
    """The server has discarded the whole transaction, savepoints included; nothing of it is stored."""

    NOT_STARTED = "not started"
    """No transaction was open; nothing was sent that could be stored."""

    UNKNOWN = "unknown"
    """COMMIT was sent and its reply was lost: all of it is stored, or nothing is."""

    COMMITTED = "committed"
    """All of it is stored. Only what is no error of the database says this: a cancellation, an interrupt."""


class DriverError(Exception):
    """Stands for a driver's exception that could not be pickled; its text begins with the original class's name."""


def _portable(error: BaseException | None) -> BaseException | None:
    """Return the error itself if it survives pickling, else a :class:`DriverError` that quotes it."""
    if error is None or isinstance(error, DBError):
        return error
    try:
        pickle.loads(pickle.dumps(error))
    except Exception as failed:  # whatever a driver's class raises here, the answer is the same: it is not portable
        del failed
        return DriverError(f"{type(error).__module__}.{type(error).__qualname__}: {error}")
    return error


def _restore(cls: type[DBError], args: tuple[Any, ...], state: dict[str, Any], reason: BaseException | None) -> DBError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    error.__cause__ = reason
    return error


class DBError(Exception):
    """The root of all errors of dbkit, and the class of a database error that no narrower class describes.

    :param inner_exception: the driver's exception.
    :param cause: the error that was being handled when a ROLLBACK TO SAVEPOINT failed in its turn.
    :param message: what happened, to which object, what to do. Never parameter values, never a password.
    """

    transient: bool = False
    """Whether the same transaction may succeed when it is run again from its beginning."""

    outcome: Outcome = Outcome.STATEMENT_FAILED
    """What became of the transaction."""

    summary: str = "the database reported an error"
    """What happened, in words that begin the text of every error of the class."""

    advice: str = "see the driver's own error, which is the cause of this one"
    """What to do, in words that end the text."""

    retry_budget_exhausted: bool = False
    """It was worth another run, and too many had been made again lately."""

    retries_exhausted: bool = False
    """It was worth another run, and as many as are allowed had been made. No retry around that one makes more."""

    def __init__(
        self,
        inner_exception: BaseException | None = None,
        cause: BaseException | None = None,
        *,
        message: str | None = None,
        sqlstate: str | None = None,
        errno: int | None = None,
        errname: str | None = None,
        statement: str | None = None,
        outcome: Outcome | None = None,
        transient: bool | None = None,
        constraint: str | None = None,
        table: str | None = None,
        columns: Sequence[str] | None = None,
    ) -> None:
        if message is None:
            message = self.summary if inner_exception is None else str(inner_exception)
        super().__init__(message)
        self.orig = inner_exception
        self.cause = cause
        #: SQLSTATE of five characters, where the driver gives one.
        self.sqlstate = sqlstate
        #: MySQL's error number, or SQLite's extended result code.
        self.errno = errno
        #: SQLite's name of the result code, such as ``SQLITE_CONSTRAINT_UNIQUE``.
        self.errname = errname
        #: The SQL that failed, without its parameters.
        self.statement = statement
        self.constraint = constraint
        self.table = table
        self.columns: list[str] = list(columns or ())
        if outcome is not None:
            self.outcome = outcome
        if transient is not None:
            self.transient = transient

    @property
    def inner_exception(self) -> BaseException | None:
        """The driver's exception, under oslo.db's name."""
        return self.orig

    @property
    def code(self) -> str | int | None:
        """The code by which the error was recognised: SQLSTATE, SQLite's name or MySQL's number."""
        return self.errname or self.errno or self.sqlstate

    def __reduce__(self) -> tuple[Any, ...]:
        state = dict(self.__dict__)
        state["orig"] = _portable(state.get("orig"))
        state["cause"] = _portable(state.get("cause"))
        reason = state["orig"] if self.__cause__ is self.orig else _portable(self.__cause__)
        return _restore, (type(self), self.args, state, reason)

    def __copy__(self) -> Self:
        duplicate: Self = type(self).__new__(type(self), *self.args)
        duplicate.args = self.args
        duplicate.__dict__.update(self.__dict__)
        duplicate.columns = list(self.columns)
        duplicate.__cause__, duplicate.__context__ = self.__cause__, self.__context__
        return duplicate

    @classmethod
    def classify(cls, message: str, **fields: Any) -> Self:
        """Build the error from named fields.

        The translation of drivers' errors uses this, so that every class can be built in one way.

        :raises TypeError: the class has no such field.
        """
        error = cls.__new__(cls)
        known = {name: fields.pop(name) for name in _ROOT_FIELDS if name in fields}
        DBError.__init__(error, message=message, **known)
        for name, default in cls._own_fields().items():
            setattr(error, name, fields.pop(name, default))
        if fields:
            raise TypeError(f"{cls.__name__} has no field {sorted(fields)[0]!r}")
        return error

    @classmethod
    def fields(cls) -> frozenset[str]:
        """Return the names of the fields that :meth:`classify` accepts."""
        return frozenset((*_ROOT_FIELDS, *cls._own_fields()))

    @classmethod
    def _own_fields(cls) -> dict[str, Any]:
        return {}


_ROOT_FIELDS = (
    "inner_exception", "cause", "sqlstate", "errno", "errname", "statement", "outcome", "transient", "constraint",
    "table", "columns",
)  # fmt: skip
