"""The errors that a database reports: one class for each that a caller would answer differently."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dbkit.exceptions.conflicts import Conflict
from dbkit.exceptions.root import DBError, Outcome

# -- the connection -----------------------------------------------------------------------------------------------


class DBConnectionError(DBError):
    """The connection could not be made or was lost before COMMIT was sent. Nothing of the transaction is stored."""

    transient = True
    outcome = Outcome.ROLLED_BACK
    summary = "the connection to the database was lost or could not be made"
    advice = "run the transaction again from its start"


class DBTooManyConnections(DBConnectionError):
    """The server has no connection left to give: back off, and look at the size of the pools."""

    outcome = Outcome.NOT_STARTED
    summary = "the server accepts no more connections"
    advice = "back off, and compare the sizes of all pools with the limit of the server"


class DBAccessDenied(DBError):
    """The server refused the user: a wrong password, a missing privilege, no right to the database.

    :param user: who was refused, as the server or the URL names it.
    """

    summary = "the server denied access"
    advice = "check the user, its password and its privileges"

    def __init__(
        self,
        inner_exception: BaseException | None = None,
        cause: BaseException | None = None,
        *,
        user: str | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(inner_exception, cause, **fields)
        self.user = user

    @classmethod
    def _own_fields(cls) -> dict[str, Any]:
        return {"user": None}


class DBNonExistentDatabase(DBError):
    """The database named by the URL does not exist, or its file cannot be opened."""

    summary = "the database does not exist"
    advice = "check the URL, or create the database"
    outcome = Outcome.NOT_STARTED

    def __init__(
        self, database: str | None = None, inner_exception: BaseException | None = None, **fields: Any
    ) -> None:
        super().__init__(inner_exception, **fields)
        self.database = database

    @classmethod
    def _own_fields(cls) -> dict[str, Any]:
        return {"database": None}


class PoolTimeout(DBError):
    """No connection of the pool came free within ``pool_timeout``."""

    transient = True
    outcome = Outcome.NOT_STARTED
    summary = "no connection of the pool came free in time"
    advice = "look for blocks that stay open too long, or enlarge the pool"


class PoolOverloaded(PoolTimeout):
    """The caller was turned away: for some time everyone has waited longer for a connection than the setting allows."""

    summary = "too many callers wait for a connection of the pool"
    advice = "let some of the callers go without an answer, or enlarge the pool"


# -- conflicts: run the transaction again ---------------------------------------------------------------------------


class DBDeadlock(Conflict):
    """The server chose this transaction as the victim of a conflict and rolled it back."""

    transient = True
    outcome = Outcome.ROLLED_BACK
    summary = "the transaction was chosen as a deadlock victim"
    advice = "run the transaction again from its start"


class DBSerializationFailure(DBDeadlock):
    """The transaction could not be ordered with concurrent ones (SQLSTATE 40001): run it again, at once."""

    summary = "the transaction could not be serialized with concurrent ones"


class DBConsistencyError(DBSerializationFailure):
    """A row changed between the snapshot and the write (MariaDB's error 1020)."""

    summary = "a row changed since the transaction read it"


class DBLockTimeout(DBDeadlock):
    """A lock was not granted in time. By default only the statement failed; see :attr:`DBError.outcome`."""

    outcome = Outcome.STATEMENT_FAILED
    summary = "a lock was not granted in time"
    advice = "run the transaction again, or look for the transaction that holds the lock"


class DBQueryCanceled(DBError):
    """The statement was stopped by a timeout or by someone's request."""

    summary = "the statement was stopped before it ended"
    advice = "give the statement more time, or less to do"


class DeadlineExceeded(DBError):
    """The block's deadline has passed; the transaction is rolled back, and the connection is given up."""

    outcome = Outcome.ROLLED_BACK
    summary = "the block's deadline has passed"
    advice = "give the block more time, or less to do"


class DBReadOnly(DBError):
    """A write reached a reader, a read-only server or a read-only file."""

    summary = "a write was attempted where only reading is allowed"
    advice = "use a writer; if it is one, check which server or file the URL points to, and whether it may be written"


class DBNotPrimary(DBReadOnly):
    """A writer's server accepts no writes any more: another one has taken over its role."""

    transient = True
    outcome = Outcome.ROLLED_BACK
    summary = "the server is not the primary any more and accepts no writes"
    advice = "run the transaction again: it gets a new connection, which leads to the new primary if the URL does"


# -- integrity -------------------------------------------------------------------------------------------------------


class DBIntegrityError(DBError):
    """A constraint of the schema refused the write."""

    summary = "a constraint refused the write"
    advice = "correct the row"


class DBDuplicateEntry(DBIntegrityError):
    """A unique constraint or primary key already holds this value.

    :param columns: names of the columns of the violated key.
    :param value: the duplicate value as the server writes it, where it does; for the program, not for the log.
    """

    summary = "a unique key already holds this value"
    advice = "use the row that is there, or another value"

    def __init__(
        self,
        columns: Sequence[str] | None = None,
        inner_exception: BaseException | None = None,
        value: str | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(inner_exception, columns=columns, **fields)
        self.value = value

    @classmethod
    def _own_fields(cls) -> dict[str, Any]:
        return {"value": None}


class RestoreConflict(DBDuplicateEntry):
    """A deleted row cannot live again: a living row has taken what must be unique among the living.

    :param table: the table of both.
    :param columns: what must be unique.
    :param key: the primary key of the deleted row; one value if it has one column.
    :param living: the primary key of the living row.

    .. versionadded:: 0.1
    """

    summary = "a living row has taken what the deleted one held"
    advice = "change or delete the living row first"

    def __init__(
        self,
        columns: Sequence[str] | None = None,
        inner_exception: BaseException | None = None,
        *,
        key: Any = None,
        living: Any = None,
        **fields: Any,
    ) -> None:
        super().__init__(columns, inner_exception, **fields)
        self.key = key
        self.living = living

    @classmethod
    def _own_fields(cls) -> dict[str, Any]:
        return {**super()._own_fields(), "key": None, "living": None}


class DBReferenceError(DBIntegrityError):
    """A foreign key points to a row that does not exist, or a row that is still pointed to was removed.

    :param table: the table that was written.
    :param constraint: name of the foreign key.
    :param key: the column, or columns joined by a comma, of the violated key.
    :param key_table: the table at the other end of the key.
    """

    summary = "a foreign key refused the write"
    advice = "write the parent row first, or remove the rows that point to it"

    def __init__(
        self,
        table: str | None = None,
        constraint: str | None = None,
        key: str | None = None,
        key_table: str | None = None,
        inner_exception: BaseException | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(inner_exception, table=table, constraint=constraint, **fields)
        self.key = key
        self.key_table = key_table

    @classmethod
    def _own_fields(cls) -> dict[str, Any]:
        return {"key": None, "key_table": None}


class DBConstraintError(DBIntegrityError):
    """A CHECK constraint refused the row."""

    summary = "a check constraint refused the row"
    advice = "correct the row"

    def __init__(
        self,
        table: str | None = None,
        check_name: str | None = None,
        inner_exception: BaseException | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(inner_exception, table=table, constraint=check_name, **fields)

    @property
    def check_name(self) -> str | None:
        """The name of the CHECK constraint."""
        return self.constraint


class DBNotNullError(DBIntegrityError):
    """A column that must have a value got none."""

    summary = "a column that must have a value got none"
    advice = "give the column a value"


class DBExclusionError(DBIntegrityError):
    """An exclusion constraint found a conflicting row (PostgreSQL)."""

    summary = "an exclusion constraint found a conflicting row"
    advice = "choose a value that does not conflict"


# -- what was sent -----------------------------------------------------------------------------------------------------


class DBDataError(DBError):
    """A value does not fit its column or its type."""

    summary = "a value does not fit its column or type"
    advice = "correct the value, or the type of the column"


class DBInvalidUnicodeParameter(DBDataError):
    """A parameter cannot be encoded in the connection's character set."""

    summary = "a parameter cannot be encoded in the connection's character set"
    advice = "correct the text, or the character set of the connection"


class DBNotSupportedError(DBError):
    """The server or the driver does not offer what was asked."""

    summary = "the database does not support what was asked"
    advice = "ask for it in a way that this database and driver offer"


class DBNonExistentTable(DBError):
    """The statement names a table that does not exist."""

    summary = "the table does not exist"
    advice = "check its name, and that the migrations were run"

    def __init__(self, table: str | None = None, inner_exception: BaseException | None = None, **fields: Any) -> None:
        super().__init__(inner_exception, table=table, **fields)


class DBNonExistentConstraint(DBError):
    """The statement names a constraint or key that does not exist."""

    summary = "the constraint does not exist"
    advice = "check its name, and that the migrations were run"

    def __init__(
        self,
        table: str | None = None,
        constraint: str | None = None,
        inner_exception: BaseException | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(inner_exception, table=table, constraint=constraint, **fields)


# -- the transaction -----------------------------------------------------------------------------------------------


class TransactionDoomed(DBError):
    """The transaction was lost to an earlier error; nothing more can be done in it and it cannot be committed.

    The ``__cause__`` is the first error. Catching that error does not revive the transaction.
    """

    outcome = Outcome.ROLLED_BACK
    summary = "the transaction was lost to an earlier error"
    advice = "let the block end, and run it again; the first error is the cause of this one"


class ReplayDiverged(Conflict):
    """After a lost connection the statements were repeated, and the database answered otherwise than before.

    Nothing of either attempt is stored.
    """

    transient = True
    outcome = Outcome.ROLLED_BACK
    summary = "the transaction could not be repeated: the database now answers otherwise than before"
    advice = "run the transaction again from its start"


class CommitUnknown(DBError):
    """The reply to COMMIT was lost: the transaction is stored as a whole, or not at all. Never retried by dbkit.

    :ivar token: identifies the transaction in the token table, or None where none was written.
    """

    outcome = Outcome.UNKNOWN
    summary = "the reply to COMMIT was lost; whether the transaction is stored is not known"
    advice = "ask the database before the work is repeated"
    token: str | None = None
