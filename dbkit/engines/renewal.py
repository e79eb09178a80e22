"""A connection that can begin its transaction anew, on the same DBAPI connection or on another one.

What SQLAlchemy holds of the transaction, its savepoints included, stays as it is; only what is behind it changes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from dbkit.engines.connection import TrackedConnection
from dbkit.engines.held import HeldCursor
from dbkit.engines.watch import Watch


class RenewableConnection(TrackedConnection):
    """The connection of a transaction that may be begun anew.

    :ivar holds_results: cursors read all rows when they arrive; see :class:`HeldCursor`.
    :ivar is_exposed: the code in the block has had the driver's connection in hand, so that nobody knows what it did.
    """

    holds_results = False
    is_exposed = False
    _source: Callable[[], Any]

    def _open(self) -> None:
        self._source = self._checkout
        super()._open()

    def _begin_impl(self, transaction: Any) -> None:
        super()._begin_impl(transaction)
        self._begun()

    # -- the driver's connection, and who asks for it -----------------------------------------------------------------

    @property
    def connection(self) -> Any:
        """The pool's proxy of the driver's connection. What is done with it directly, no log of statements knows."""
        if not (self._is_beginning or self.committing or self.ending):
            self.is_exposed = True
        return super().connection

    def held_cursor(self) -> HeldCursor:
        """Return a new cursor of the DBAPI connection in use."""
        fairy = self._dbapi_connection
        assert fairy is not None
        return HeldCursor(fairy.cursor(), partial(self._uses, fairy))

    def renew_cursor(self, held: HeldCursor) -> None:
        """Let a cursor stand for a new one of the DBAPI connection in use."""
        fairy = self._dbapi_connection
        assert fairy is not None
        held.stand_for(fairy.cursor(), partial(self._uses, fairy))

    def _uses(self, fairy: Any) -> bool:
        return self._dbapi_connection is fairy

    # -- anew ---------------------------------------------------------------------------------------------------------

    def begin_over(self) -> None:
        """Roll back, and begin again on the same DBAPI connection. A driver's error is raised as it is."""
        self.engine.dialect.do_rollback(self._dbapi_connection)  # type: ignore[arg-type]
        restore, self._restore = self._restore, None
        if restore is not None:
            restore()
        self._begin_again()

    def take_again(self) -> None:
        """Take another DBAPI connection from the pool and begin on it, in place of one that was lost.

        :raises DBError: there is none to be had. A driver's error is raised as it is.
        """
        self.let_lost_go()
        self._dbapi_connection, facts = self._take()
        self.watch &= ~Watch.UNOPENED  # what was lost may have been the way to the first one
        if facts is not None:
            self.facts = facts
        self._taken()
        self._begin_again()

    def let_lost_go(self) -> None:
        """Close the DBAPI connection for good; its place in the pool is free then."""
        self._restore = None
        lost, self._dbapi_connection = self._dbapi_connection, None
        if lost is not None:
            self._about_to_go()
            if lost.is_valid:
                lost.invalidate()

    def _begin_again(self) -> None:
        if self.watch & Watch.AUTOCOMMIT and self.facts.autocommits:
            return
        self.watch &= ~Watch.AUTOCOMMIT
        if self.isolation is not None:
            self._isolate(self.isolation)
        elif self.facts.autocommits:
            self._open_transaction()
        if self.isolation is not None or not self.facts.autocommits:
            self.engine.dialect.do_begin(self._dbapi_connection)  # type: ignore[arg-type]
        self._begun()

    def undo(self) -> None:
        """Discard what was done in the transaction, at once; the DBAPI connection is closed if it does not work."""
        try:
            self.engine.dialect.do_rollback(self._dbapi_connection)  # type: ignore[arg-type]
        except Exception:  # whatever it was, nothing of the transaction is left on a connection that is closed
            self.let_lost_go()

    def absolve(self) -> None:
        """Forget what the transaction was lost to: all of it was done again."""
        self.doom = None
        self.watch &= ~Watch.DOOMED

    def _take(self) -> Any:
        return self._source()

    # -- for those who look on ----------------------------------------------------------------------------------------

    def _taken(self) -> None:
        """A DBAPI connection was taken."""

    def _begun(self) -> None:
        """A transaction was begun."""

    def _about_to_go(self) -> None:
        """The DBAPI connection is about to be closed."""
