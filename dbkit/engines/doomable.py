"""A connection that knows what its transaction was lost to, and goes no further."""

from __future__ import annotations

from typing import Any

from dbkit.backends.base import Backend, Standing
from dbkit.engines.variant import RuledConnection
from dbkit.engines.watch import Watch
from dbkit.exceptions import DBError, Outcome, TransactionDoomed


class DoomableConnection(RuledConnection):
    """A connection that an error can cost its transaction.

    :ivar doom: the error that the transaction was lost to, or None.
    :ivar erred: a statement has failed on it.
    :ivar last_error: the error that came last, whatever it did.
    :ivar used: a statement has succeeded on it.
    :ivar ending: the block rolls back; what happens now is its own doing.
    :ivar has_begun: its transaction was begun without SQLAlchemy's object for it, which joins if it is made later.
    """

    backend: Backend
    watch: int
    doom: DBError | None = None
    erred = False
    last_error: DBError | None = None
    used = False
    ending = False
    has_begun = False
    _was_open = False

    @property
    def driver_level(self) -> Any:
        """The DBAPI connection, in SQLAlchemy's adapter if it is an asyncio one; for dbkit itself."""
        return self._proxy().dbapi_connection

    @property
    def info(self) -> Any:
        """What is kept with the DBAPI connection."""
        return self._proxy().info

    def _proxy(self) -> Any:
        """Return the pool's proxy, without what :attr:`connection` does for whoever works with it directly."""
        proxy = self._dbapi_connection
        return self._revalidate_connection() if proxy is None else proxy

    def _has_transaction(self) -> bool:
        return self._transaction is not None or self.has_begun

    def failed(self, error: DBError) -> None:
        """Take note of an error of the database; the one that came first is the one that counts."""
        self.erred = True
        self.last_error = error
        if self.doom is not None or self.ending or not self._has_transaction():
            return
        standing = None
        if not self.invalidated:
            standing = self.backend.standing(self.driver_level, self.dialect.driver)
            self._was_open = self._was_open or standing is Standing.OPEN
        if error.outcome is not Outcome.STATEMENT_FAILED or (standing is Standing.NONE and self._had_begun()):
            self.condemn(error)

    def _had_begun(self) -> bool:
        backend = self.backend
        return backend.ends_only_when_told and (self.used or backend.begins_at_once)

    def condemn(self, error: DBError) -> None:
        """Refuse every further statement, and COMMIT, because of this error."""
        if not self.watch & Watch.AUTOCOMMIT and self.doom is None:
            self.doom = error
            self.watch |= Watch.DOOMED

    def doomed(self) -> TransactionDoomed:
        """Return the error for whoever goes on in a transaction that is lost."""
        doom = self.doom
        again = doom is not None and doom.transient
        saves = doom is None or doom.outcome is not Outcome.ROLLED_BACK
        error = TransactionDoomed(
            message=(
                f"the transaction was lost to an earlier {type(doom).__name__} and nothing of it can be stored; let "
                f"that error end the block{' and run all of it again' if again else ''}"
                + (", or put what may fail into a .savepoint block" if saves else "; a savepoint does not survive it")
            ),
            transient=again,
        )
        error.__cause__ = error.orig = doom
        return error

    def _rollback_to_savepoint_impl(self, name: str) -> None:
        doom = self.doom
        if doom is not None and doom.outcome is not Outcome.ABORTED:
            return  # the server has forgotten the savepoint; asking for it would hide the error that did that
        super()._rollback_to_savepoint_impl(name)
        self.doom = None
        self.watch &= ~Watch.DOOMED

    def _release_savepoint_impl(self, name: str) -> None:
        if self.doom is not None:
            raise self.doomed()
        super()._release_savepoint_impl(name)
