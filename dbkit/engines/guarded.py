"""The connection of a protected block: its statements, its COMMIT and its end pass by the guards that the block has.

A guard is one protection: a deadline, a commit fence, a replay log. None knows the others; the order in which they act
stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from sqlalchemy.engine import Connection, Dialect

from dbkit.backends.base import Standing
from dbkit.deadline import Deadline
from dbkit.engines.arriving import arriving
from dbkit.engines.connection import TrackedConnection
from dbkit.engines.renewal import RenewableConnection
from dbkit.engines.view import Sent, view_of
from dbkit.engines.watch import Watch
from dbkit.exceptions import DBConnectionError, DBError, Outcome


class TimeGuard(Protocol):
    """Ends in time what the connection waits for."""

    deadline: Deadline

    def bound(self, deadline: Deadline) -> Callable[[], None]:
        """Let another deadline count until the returned function is called."""

    @property
    def needs_transaction(self) -> bool:
        """Whether an autocommitting reader must open a transaction."""

    def taken(self, connection: GuardedConnection) -> None:
        """A DBAPI connection was taken from the pool; no transaction has begun on it."""

    def begun(self, connection: GuardedConnection) -> None:
        """The transaction has begun."""

    def sending(self, sent: Sent) -> None:
        """A statement is about to be sent; it may be changed."""

    def committing(self, connection: GuardedConnection) -> None:
        """COMMIT is about to be sent."""

    def judged(self, error: DBError) -> DBError:
        """Return the error that the block gets in place of this one."""

    def let_go(self, connection: GuardedConnection) -> None:
        """The DBAPI connection is about to go back to its pool, or has been closed."""


class ReplayGuard(Protocol):
    """Repeats the transaction on another connection when it was lost before COMMIT was sent."""

    def carry_out(self, connection: GuardedConnection, sent: Sent) -> None:
        """Send the statement; if the transaction is lost by it, repeat it all.

        :raises ReplayDiverged: the database answered otherwise than before.
        """

    def recovers(self, connection: GuardedConnection, error: DBError) -> bool:
        """COMMIT is known to have failed with this error; return whether all was repeated and it can be sent again.

        For BEGIN too, before which there was nothing: return whether it was sent on another connection.

        :raises ReplayDiverged: the database answered otherwise than before.
        """

    def mends(self, connection: GuardedConnection) -> bool:
        """Look whether the connection is lost before COMMIT is sent; return whether all was repeated on another one.

        :raises ReplayDiverged: the database answered otherwise than before.
        :raises DBConnectionError: it is lost, and nothing could be repeated.
        """


class FenceGuard(Protocol):
    """Lets COMMIT carry a token, and decides by it what became of a COMMIT whose reply was lost."""

    def saw(self, sent: Sent) -> None:
        """A statement is about to be sent; one that fails may have stored a part all the same."""

    def commit(self, connection: GuardedConnection) -> bool:
        """Send what COMMIT needs before it; return whether COMMIT itself was sent along."""

    @property
    def is_announced(self) -> bool:
        """Whether somebody may know the token already: no other one can stand for the transaction then."""

    def decides(self, connection: GuardedConnection, error: BaseException) -> bool:
        """COMMIT is in doubt; return whether it is stored.

        :raises CommitUnknown: it could not be decided in time.
        """


class GuardedConnection(RenewableConnection):
    """A connection whose block has guards; each is None where the block does not ask for it.

    :ivar is_asking: what is sent now is no statement of the block; see :meth:`asking`.
    """

    time: TimeGuard | None = None
    replay: ReplayGuard | None = None
    fence: FenceGuard | None = None
    is_asking = False

    def send(self, sent: Sent) -> None:
        """Carry a statement out for SQLAlchemy."""
        if self.fence is not None:
            self.fence.saw(sent)
        if self.replay is not None:
            self.replay.carry_out(self, sent)
            return
        # what pass_on() does, without two calls more for each statement
        if self.time is not None:
            self.time.sending(sent)
        sent.call(sent.cursor, sent.statement, sent.parameters, sent.context)

    def pass_on(self, sent: Sent) -> None:
        """Hand a statement over to the driver, within the time that is left."""
        if self.time is not None:
            self.time.sending(sent)
        sent.carry_out()

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Let what is sent meanwhile be no statement of the block: it is bound in time, and no log keeps it.

        In a lost transaction nothing is repeated for it; in any other one it is sent again after a replay.
        """
        replay, holds_results = self.replay, self.holds_results
        self.is_asking = True
        if self.doom is not None:
            self.replay, self.holds_results = None, False
        try:
            yield
        finally:
            self.is_asking = False
            self.replay, self.holds_results = replay, holds_results

    def hand_over(self, send: Callable[[], None], statement: str | None = None) -> None:
        """Send something past SQLAlchemy; its errors become what they would have become there.

        :param statement: for the error; None for COMMIT.
        """
        try:
            send()
        except BaseException as error:
            self._handle_dbapi_exception(error, statement, None, None, None)

    def give_up(self) -> None:
        """Close the DBAPI connection, which nobody trusts any more, and give its place in the pool back."""
        if not self.invalidated and self._dbapi_connection is not None:
            Connection.invalidate(self)

    # -- the end ----------------------------------------------------------------------------------------------------

    def _commit_impl(self) -> None:
        if self.replay is not None and self.erred and self.doom is None and not self.watch & Watch.AUTOCOMMIT:
            while not self._stands() and self.replay.mends(self):
                pass
        super()._commit_impl()

    def _stands(self) -> bool:
        """Ask whether the transaction is open. Who asks is not told whether the connection was lost by that."""
        if self.backend.ask_standing(self.driver_level, self.dialect.driver) is not Standing.OPEN:
            return False
        self.erred = False  # it need not be asked once more
        return True

    def _send_commit(self) -> None:
        while True:
            try:
                if self.time is not None:
                    self.time.committing(self)
                if self.fence is None or not self.fence.commit(self):
                    super()._send_commit()
                return
            except BaseException as error:
                if self._is_stored(error):
                    return
                self.committing = self.in_doubt = True  # all was repeated, and COMMIT is sent again

    def _is_stored(self, error: BaseException) -> bool:
        """Return whether a COMMIT that failed is stored; if not, everything has been repeated for another COMMIT.

        :raises CommitUnknown: it could not be decided.
        :raises DBError: it is known not to be stored.
        """
        failed = error
        if self.in_doubt and (not isinstance(error, DBError) or error.outcome is Outcome.UNKNOWN):
            if self.fence is None:
                raise error
            if self.fence.decides(self, error):
                self.in_doubt, self.committed = False, True
                if isinstance(error, DBError):
                    return True
                raise error  # an interrupt, which says of the transaction that it is stored
            self.in_doubt = False
            if not isinstance(error, DBError):
                raise error
            error.outcome = Outcome.ROLLED_BACK  # it stands behind the next one, and whoever looks there must not doubt
            failed = _never_arrived(error)
            if self.fence.is_announced:
                raise failed from error  # whoever knows the token is told that the transaction is not stored
        if self.replay is not None and isinstance(failed, DBError) and self.replay.recovers(self, failed):
            return False
        if failed is error:
            raise error
        raise failed from error

    # -- the beginning ----------------------------------------------------------------------------------------------

    def _open(self) -> None:
        time = self.time
        if time is None:
            super()._open()
        else:
            with arriving(time.deadline):
                super()._open()
        self.obey()
        if time is not None:
            try:
                self._taken()
            except BaseException as error:
                self._handle_dbapi_exception(error, None, None, None, None)

    def _begin_impl(self, transaction: Any) -> None:
        if self.time is not None:
            if self.watch & Watch.UNOPENED:
                self._open()
            if self.watch & Watch.AUTOCOMMIT and self.time.needs_transaction:
                self._open_transaction()
        try:
            super()._begin_impl(transaction)
        except DBConnectionError as error:
            if self.replay is None or not self.replay.recovers(self, error):
                raise

    def _own_dialect(self) -> Dialect:
        return view_of(self.engine)

    def _take(self) -> Any:
        if self.time is None:
            return super()._take()
        with arriving(self.time.deadline):
            return super()._take()

    def _taken(self) -> None:
        if self.time is not None:
            self.time.taken(self)

    def _begun(self) -> None:
        if self.time is not None:
            self.time.begun(self)

    def _about_to_go(self) -> None:
        if self.time is not None:
            self.time.let_go(self)

    def judged(self, error: DBError) -> DBError:
        """Return the error that the block gets in place of this one."""
        return error if self.time is None else self.time.judged(error)

    def give_back(self) -> None:
        """Return the DBAPI connection to its pool, without what the guards have done to it."""
        if self.time is not None and self.is_taken:
            self.time.let_go(self)
        super().give_back()


def guarded(connection: TrackedConnection) -> GuardedConnection:
    """Return the connection as one that has guards, though it was made without.

    It stays the same object: its session and its block know it already.
    """
    watched: Any = connection
    if not isinstance(connection, GuardedConnection):
        watched.__class__ = GuardedConnection
        if not connection.watch & Watch.UNOPENED:
            watched.obey()
    found: GuardedConnection = watched
    return found


def _never_arrived(error: DBError) -> DBConnectionError:
    return DBConnectionError(
        error.orig,
        message=(
            "the connection was lost while COMMIT was on its way, and it did not arrive: nothing of the transaction is "
            "stored, and nothing of it can be any more; run it again from its start"
        ),
        outcome=Outcome.ROLLED_BACK,
    )
