"""A SQLAlchemy Connection that knows whether its transaction can still be committed.

SQLAlchemy has no public place for this, so seven of its internal methods are overridden: ``_begin_impl``,
``_commit_impl``, ``_rollback_impl``, ``_revalidate_connection``, ``_rollback_to_savepoint_impl``,
``_release_savepoint_impl`` and ``_run_ddl_visitor``; and ``_close_special`` of the pool's proxy is called as
``Connection.close`` calls it.
``tests/contract/test_sqlalchemy_names.py`` holds them against the SQLAlchemy that is installed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NoReturn

from sqlalchemy.engine import Connection, Engine
from sqlalchemy.sql.expression import TextClause

from dbkit.backends.base import Backend, SessionFacts, Standing
from dbkit.engines.doomable import DoomableConnection
from dbkit.engines.refusals import LOST, refuse_another, refuse_ended, rolled_back_because_of
from dbkit.engines.statements import ends_savepoint, is_write, needs_transaction, refuse_control
from dbkit.engines.variant import CHANGING
from dbkit.engines.watch import Watch
from dbkit.exceptions import DBError, DBReadOnly, Outcome, TransactionManaged
from dbkit.filters.marks import GUARDED
from dbkit.spec import Isolation

FACTS = "dbkit.facts"
"""Where a pooled connection's :class:`SessionFacts` are kept in its ``info``."""

_NO_FACTS = SessionFacts()


class TrackedConnection(DoomableConnection):
    """The connection of one transaction, taken from the pool when the first statement needs it.

    :param checkout: takes a connection from the pool, and tells what was settled when it was opened.
    :ivar committing: COMMIT has been sent and not been answered.
    :ivar in_doubt: COMMIT was sent, and what came of it was not told: a lost reply, or an interrupt.
    :ivar committed: COMMIT has succeeded; whatever fails now is no failure of the transaction.
    :ivar may_commit: the block is ending; before that, nothing commits.
    :ivar block: the transaction that it serves, until it has ended.
    :ivar was_cut: dbkit has cut the connection off itself, which says nothing of the others.
    """

    was_cut = False
    block: Any = None
    _is_beginning = False

    def __init__(
        self, engine: Engine, backend: Backend, checkout: Callable[[], tuple[Any, SessionFacts | None]]
    ) -> None:
        # with no listener on the engine or the class, SQLAlchemy need not join the two; it looks at this flag
        has_events = None if engine._has_events or Connection._has_events else False
        super().__init__(engine, _NOT_TAKEN, has_events)  # type: ignore[arg-type]
        self._dbapi_connection = None
        self.backend = backend
        self.facts = _NO_FACTS
        self.watch = Watch.UNOPENED
        self.committing = False
        self.in_doubt = False
        self.committed = False
        self.may_commit = False
        self.isolation: Isolation | None = None
        self._checkout = checkout
        self._commit_failed = False
        self._restore: Callable[[], None] | None = None

    # -- statements ------------------------------------------------------------------------------------------------

    def execute(self, statement: Any, parameters: Any = None, *, execution_options: Any = None) -> Any:
        """Execute a statement, unless the transaction cannot take it."""
        if statement.__class__ is TextClause:
            refuse_control(statement.text)
        if self.watch:
            self._look_at(statement, execution_options)
        result = super().execute(statement, parameters, execution_options=execution_options)
        self.used = True
        if self.on_hidden is not None and statement.__class__.__name__ in CHANGING:
            about = statement.table.__dict__  # looked at without a call: this is the way of each flush
            if "element" in about or ("info" in about and GUARDED in about["info"]):
                self.tell_hidden(statement, parameters, execution_options)
        return result

    def scalar(self, statement: Any, parameters: Any = None, *, execution_options: Any = None) -> Any:
        """Execute a statement and return the first column of its first row."""
        if statement.__class__ is TextClause:
            refuse_control(statement.text)
        if self.watch:
            self._look_at(statement, execution_options)
        result = super().scalar(statement, parameters, execution_options=execution_options)
        self.used = True
        return result

    def exec_driver_sql(self, statement: str, parameters: Any = None, execution_options: Any = None) -> Any:
        """Execute SQL as the driver takes it."""
        refuse_control(statement)
        self.refuse_text(statement)
        if self.watch:
            self._look_at(statement, execution_options)
        result = super().exec_driver_sql(statement, parameters, execution_options)
        self.used = True
        return result

    def begin_nested(self) -> Any:
        """Open a savepoint."""
        if self.watch & Watch.UNOPENED:
            self._open()
        if self.watch & Watch.AUTOCOMMIT:
            self._open_transaction()
        return super().begin_nested()

    def _run_ddl_visitor(self, visitorcallable: Any, element: Any, **kwargs: Any) -> None:
        if self.watch & Watch.UNOPENED:
            self._open()  # what the dialect must know of the server, it learns from the first connection
        super()._run_ddl_visitor(visitorcallable, element, **kwargs)

    def commit(self) -> None:
        """Refused: the block commits when it ends without an error."""
        self._refuse("commit()", _COMMIT_INSTEAD)

    def rollback(self) -> None:
        """Refused: the block rolls back when it ends with an error."""
        self._refuse("rollback()", "raise an error; what may fail by itself belongs into a .savepoint block")

    def execution_options(self, **opt: Any) -> Any:
        """Set options for the block's statements; the isolation level is set on the block, by ``.isolation(...)``."""
        if "isolation_level" in opt:
            self._refuse("execution_options(isolation_level=...)", "open the block with .isolation(...)")
        if opt.get(_WITHOUT_HANDLERS):
            return _Once(self, opt)
        return super().execution_options(**opt)

    def close(self) -> None:
        """Refused: the block gives its connection back."""
        self._refuse("close()", "let the block end")

    def invalidate(self, exception: BaseException | None = None) -> None:
        """Close the DBAPI connection for good; what the transaction has done is lost."""
        if self._has_transaction() and not self.ending and self.doom is None:
            self.condemn(self.last_error or DBError(message=_INVALIDATED, outcome=Outcome.ROLLED_BACK))
        super().invalidate(exception)

    def _refuse(self, what: str, instead: str) -> NoReturn:
        if self._checkout is refuse_ended:
            refuse_ended()
        raise TransactionManaged(f"connection.{what} inside a block, whose transaction is the block's own; {instead}")

    def _look_at(self, statement: Any, execution_options: Any) -> None:
        if self.watch & Watch.UNOPENED:
            self._open()
        if self.watch & Watch.DOOMED and not ends_savepoint(statement):
            raise self.doomed()
        if self.watch & Watch.READING and is_write(statement):
            self.last_error = DBReadOnly(
                message=(
                    "a reader block inside a writer's transaction tried to write; a reader reads only, whatever it "
                    "joins: write in the writer, or make the function a writer"
                )
            )
            raise self.last_error
        if self.watch & Watch.AUTOCOMMIT and needs_transaction(statement, execution_options, self._execution_options):
            self._open_transaction()

    # -- beginning ----------------------------------------------------------------------------------------------------

    @property
    def connection(self) -> Any:
        """The pool's proxy of the DBAPI connection; what is done with it is done in the block's transaction."""
        if not (self.has_begun or self._transaction is not None or self._is_beginning or self.ending):
            self.begin_alone()
        return super().connection

    @property
    def is_taken(self) -> bool:
        """Whether a connection was taken from the pool."""
        return not self.watch & Watch.UNOPENED

    def _open(self) -> None:
        checkout, self._checkout = self._checkout, refuse_another
        try:
            self._dbapi_connection, facts = checkout()
        except DBError as error:
            self.last_error = error  # nothing is lost yet, unless it was a flush that needed the connection
            raise
        finally:
            if self._checkout is refuse_another:  # and not refuse_ended
                self._checkout = checkout
        self.watch &= ~Watch.UNOPENED
        if self.off:
            self.obey()
        if facts is not None:
            self.facts = facts
            if facts.autocommits and self.isolation is None:
                self.watch |= Watch.AUTOCOMMIT

    def _revalidate_connection(self) -> Any:
        if self.watch & Watch.UNOPENED:
            self._open()
            return self._dbapi_connection
        if self.doom is not None:
            raise self.doomed()
        return super()._revalidate_connection()

    def _open_transaction(self) -> None:
        """Let an autocommitting reader's next statement open a READ ONLY transaction."""
        self.watch &= ~Watch.AUTOCOMMIT
        try:
            self._restore = self.backend.leave_autocommit(self.driver_level, self.dialect)
        except BaseException as error:
            self._handle_dbapi_exception(error, None, None, None, None)

    def begin_alone(self) -> None:
        """Begin the transaction, for who sends statements past SQLAlchemy's Connection."""
        if self.watch & Watch.UNOPENED:
            self._open()
        if self.watch & Watch.AUTOCOMMIT:
            return
        watched = self._has_events or self.engine._has_events or self._echo
        if watched or self.isolation is not None or self.__class__ is not TrackedConnection:
            self._begin_impl(None)
        else:
            try:
                self.engine.dialect.do_begin(self._dbapi_connection)  # type: ignore[arg-type]
            except BaseException as error:
                self._handle_dbapi_exception(error, None, None, None, None)
        self.has_begun = True

    def adopt(self) -> None:
        """Give a transaction that was begun alone the object that SQLAlchemy has for each; others use it then."""
        if self._transaction is None and self.has_begun:
            self._autobegin()

    def in_transaction(self) -> bool:
        """Return whether a transaction is open."""
        return super().in_transaction() or (self._transaction is None and self.has_begun)

    def _begin_impl(self, transaction: Any) -> None:
        if self.has_begun:
            return
        if self.watch & Watch.UNOPENED:
            self._open()
        if self.watch & Watch.AUTOCOMMIT:
            return
        if self.isolation is not None:
            try:
                self._isolate(self.isolation)
            except BaseException as error:
                self._handle_dbapi_exception(error, None, None, None, None)
        self._is_beginning = True
        try:
            super()._begin_impl(transaction)
        finally:
            self._is_beginning = False

    def _isolate(self, level: Isolation) -> None:
        undo = [self.backend.isolate(self.driver_level, self.dialect, level)]
        if self.facts.autocommits:
            undo.append(self.backend.leave_autocommit(self.driver_level, self.dialect))

        def restore() -> None:
            for step in undo:
                if step is not None:
                    step()

        self._restore = restore

    # -- ending -------------------------------------------------------------------------------------------------------

    def _commit_impl(self) -> None:
        if self.watch & Watch.AUTOCOMMIT:
            return
        self._commit_failed = True
        if self.doom is not None:
            raise self.doomed()
        if not self.may_commit:
            self._refuse("commit()", _COMMIT_INSTEAD)
        if self.erred:
            self._verify(self.backend.ask_standing(self.driver_level, self.dialect.driver))
        elif self.used:
            standing = self.backend.standing(self._dbapi_connection.dbapi_connection, self.dialect.driver)  # type: ignore[union-attr]
            if standing is not Standing.OPEN:
                self._verify(standing)
        self.committing = self.in_doubt = True
        try:
            self._send_commit()
        except DBError as error:
            self.in_doubt = error.outcome is Outcome.UNKNOWN
            raise
        finally:
            self.committing = False
        # what is begun after it, such as by a listener of the session, is another transaction
        self._commit_failed = self.in_doubt = self.has_begun = False
        self.committed = True

    def _send_commit(self) -> None:
        if self._has_events or self.engine._has_events or self._echo:
            super()._commit_impl()
            return
        try:
            self.engine.dialect.do_commit(self._dbapi_connection)  # type: ignore[arg-type]
        except BaseException as error:
            self._handle_dbapi_exception(error, None, None, None, None)

    def _rollback_impl(self) -> None:
        if self.watch & Watch.AUTOCOMMIT:
            return
        if not self.ending and self.doom is None:
            self.condemn(self.last_error or rolled_back_because_of(sys.exception()))
        super()._rollback_impl()

    def _verify(self, standing: Standing) -> None:
        """Make sure that COMMIT would store the transaction.

        :raises TransactionDoomed: it would not.
        """
        if standing is Standing.FAILED or (standing is Standing.NONE and self._must_be_open()):
            self.condemn(DBError(message=LOST, outcome=Outcome.ROLLED_BACK))
            raise self.doomed()

    def _must_be_open(self) -> bool:
        return self.backend.ends_only_when_told and self.used or self.erred and self._was_open

    def end_with_commit(self) -> None:
        """Commit what is open, for the block."""
        self.may_commit = True
        if self._transaction is not None:
            self._transaction.commit()
        elif self.has_begun:
            self._commit_impl()

    def end_with_rollback(self) -> None:
        """Roll back what is open, for the block."""
        self.ending = True
        if self._transaction is not None:
            self._transaction.rollback()
        elif self.has_begun and not self._commit_failed:
            self._rollback_impl()
        if self._commit_failed:
            # SQLAlchemy takes the transaction for ended; the driver, and on SQLite the database, may not
            self._rollback_impl()

    def drop(self) -> None:
        """Close the DBAPI connection instead of returning it: nobody knows how it stands."""
        self.ending = True
        if not self.invalidated and self._dbapi_connection is not None:
            self.invalidate()

    def give_back(self) -> None:
        """Return the DBAPI connection to its pool, for the block, whose transaction has ended."""
        self._checkout = refuse_ended
        self.block = None
        self.watch |= Watch.UNOPENED
        fairy = self._dbapi_connection
        if fairy is None:
            return
        try:
            if self._restore is not None and fairy.is_valid:
                self._restore()
        except BaseException as error:
            fairy.invalidate(error)
            raise
        finally:
            if self._transaction is not None:
                self.ending = True
                super().close()
            else:
                self._dbapi_connection = None
                if fairy.dbapi_connection is not None:  # is_valid, without a call
                    fairy._close_special(transaction_reset=True)


class _NotTaken:
    """Stands for the pool's proxy until a connection is taken."""


_NOT_TAKEN = _NotTaken()

_COMMIT_INSTEAD = "let the block end; what must be stored by itself belongs into an .independent block"
_INVALIDATED = "the connection was invalidated by the code inside the block"


_WITHOUT_HANDLERS = "skip_user_error_events"


class _Once:
    """What SQLAlchemy's MySQL dialect sends one statement with, when it waits for the plain error of its own probe.

    It sets the option on the connection, where it would stay: from then on no error would be translated, and none would
    doom the transaction.
    """

    def __init__(self, connection: TrackedConnection, options: dict[str, Any]) -> None:
        self._connection = connection
        self._options = options

    def exec_driver_sql(self, statement: str, parameters: Any = None, execution_options: Any = None) -> Any:
        options = {**self._options, **(execution_options or {})}
        return self._connection.exec_driver_sql(statement, parameters, options)
