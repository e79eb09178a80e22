"""The errors of those who use dbkit: what was asked must be refused, and the text says what to do instead."""

from __future__ import annotations

from typing import Any

from dbkit.exceptions.root import DBError, Outcome


class UsageError(DBError):
    """dbkit was asked for something that it must refuse; the text says what to do instead."""

    outcome = Outcome.NOT_STARTED
    summary = "dbkit was asked for something that it must refuse"
    advice = "see the documentation of this error"

    def __init__(self, message: str | None = None, *args: Any, **fields: Any) -> None:
        super().__init__(*args, message=message, **fields)


class ModeConflict(UsageError, TypeError):
    """A block cannot join the open one: a writer inside a reader, a stronger isolation level, another colour."""


class TransactionOwnedElsewhere(UsageError, RuntimeError):
    """The open transaction belongs to another task or thread."""


class TransactionManaged(UsageError, RuntimeError):
    """The code inside a block tried to end the block's transaction itself."""


class NoTransaction(UsageError, AttributeError):
    """A session or connection was asked for where no block is open."""


class HandleNotRequested(UsageError, AttributeError):
    """The open block offers the other handle: a session instead of a connection, or the other way round."""


class InvalidDecoration(UsageError, TypeError):
    """The function cannot be decorated: a generator, one without the parameter that is needed, or wrong brackets."""


class ArgumentNotRepeatable(UsageError, TypeError):
    """An argument of a function that may be run again would be used up or changed by its first run."""


class BlindUpdate(UsageError):
    """A statement would change rows that have a version without looking at it, and without counting the change.

    .. versionadded:: 0.1
    """


class RetryRequest(Exception):
    """Raised by a function that may be run again, to be run again: it found the database in a state that will pass.

    No error of the database, and so no :class:`DBError`. When there is no further run, the caller gets the exception
    that it carries.

    :param inner_exc: what is raised when there is no further run.
    :raises UsageError: it is no exception.
    """

    def __init__(self, inner_exc: BaseException) -> None:
        if not isinstance(inner_exc, BaseException):
            raise UsageError(
                "RetryRequest takes the exception that the caller gets when there is no further run, such as "
                f"RetryRequest(AddressInUse()); an object of class {type(inner_exc).__name__} is none"
            )
        super().__init__(inner_exc)
        self.inner_exc = inner_exc


class InvalidContext(UsageError, TypeError):
    """The context object cannot carry a transaction."""


class FilterError(UsageError):
    """A statement would go round the rules of a table; the text says which rule, which table, and what to do."""


class UnknownRule(FilterError, ValueError):
    """A rule is to be switched off by a name that no table's rule has; the text offers the nearest one."""


class RuleValueMissing(FilterError, LookupError):
    """A rule compares with a value, such as the tenant, and nobody has said which."""


class ForeignScope(FilterError):
    """A row would be stored for another tenant than the one on whose behalf the code runs, or nobody could tell."""


class InvalidModel(UsageError, TypeError):
    """A class or table is declared in a way that dbkit cannot serve; the text says how to declare it."""


class SchemaMismatch(UsageError, ValueError):
    """A table, column, index or constraint is missing that was to be worked on, or is there that was to be made.

    ``table``, ``columns`` and ``constraint`` say which, where it is known.

    .. versionadded:: 0.1
    """


class InvalidToken(UsageError, ValueError):
    """What was given as the token of a transaction is none."""


class InvalidURL(UsageError, ValueError):
    """The database URL cannot be used."""


class InvalidSetting(UsageError, ValueError):
    """A setting has a wrong value, or no such setting exists."""


class UnknownSetting(InvalidSetting, TypeError):
    """No setting has this name; the text offers the nearest one."""


class DriverMissing(UsageError, ImportError):
    """The driver's package is not installed; the text names it."""


class DriverRefused(UsageError, RuntimeError):
    """The driver cannot be used in this process."""


class BackendMissing(UsageError, LookupError):
    """No backend of dbkit serves this kind of database."""


class CantStartEngineError(UsageError):
    """The engine has nothing to start from, or could not reach the database."""


class AlreadyStartedError(UsageError, TypeError):
    """Settings cannot change once the engines are started."""


class InvalidCursor(UsageError, ValueError):
    """The cursor of a page was changed on its way, or belongs to another order or filter."""


class InvalidSortKey(UsageError, ValueError):
    """Rows cannot be sorted by this.

    :param key: what was given as the sort key.
    """

    def __init__(self, key: object = None, **fields: Any) -> None:
        fields.setdefault("message", f"the sort key {key!s} is no column, hybrid or expression of what is selected")
        super().__init__(**fields)
        self.key = key


class BackendNotAvailable(DBError):
    """A test's database cannot be had here; the text says what is missing."""

    outcome = Outcome.NOT_STARTED
    summary = "the test database cannot be had here"
    advice = "install or start the server that the test needs"

    def __init__(self, message: str | None = None, **fields: Any) -> None:
        super().__init__(message=message, **fields)
