"""The pool's proxy as a block needs it: made and given back without what is paid for listeners that are not there.

SQLAlchemy's proxy asks at each step whether somebody listens, and puts together a destructor for a connection that
nobody gives back. A block always gives its connection back, but for a task whose event loop was closed under it; a weak
reference is enough for that one. Whoever gets hold of a lease has SQLAlchemy's proxy in hand, and where there is a
listener, or a log to write, SQLAlchemy's own functions do the work.
"""

from __future__ import annotations

from typing import Any
from weakref import ref

import sqlalchemy
from sqlalchemy.event.attr import _EmptyListener
from sqlalchemy.pool import Pool
from sqlalchemy.pool.base import _ConnectionFairy, _finalize_fairy, reset_rollback

from dbkit.engines.record import Record


class _NoFinalizer:
    """Stands for the destructor that SQLAlchemy 2.1 takes back when a connection is returned."""

    def detach(self) -> None:
        pass


class Lease(_ConnectionFairy):
    """A pooled connection in the hands of one block."""

    __slots__ = ()
    _finalizer: Any = _NoFinalizer()

    def __init__(self, pool: Pool, record: Record) -> None:
        self._pool = pool
        self._counter = 1
        self.dbapi_connection: Any = record.dbapi_connection
        self._connection_record = record
        self._echo = None
        record.fairy_ref = ref(self, lambda gone: _collected(gone, record, pool))

    def commit(self) -> None:
        """Commit; found by SQLAlchemy's proxy only after a search."""
        self.dbapi_connection.commit()

    def _close_special(self, transaction_reset: bool = False) -> None:
        record, pool = self._connection_record, self._pool
        if (
            transaction_reset
            and record is not None
            and self._counter == 1
            and self.dbapi_connection is not None
            and not record.finalize_callback
            and pool._reset_on_return is reset_rollback
            and is_quiet(pool)
        ):
            self._counter = 0
            self.dbapi_connection = self._connection_record = record.fairy_ref = None
            pool._do_return_conn(record)
        else:
            super()._close_special(transaction_reset)


def is_quiet(pool: Any) -> bool:
    """Return whether nobody listens to what a pool hands out and gets back."""
    dispatch = pool.dispatch
    for listeners in (dispatch.checkout, dispatch.checkin, dispatch.reset):
        # as its truth tells, but without the call
        if listeners.__class__ is not _EmptyListener or listeners.parent_listeners:
            return False
    return True


def _collected(gone: Any, record: Any, pool: Pool) -> None:
    """Let SQLAlchemy deal with a connection whose block has vanished without an end."""
    if record.fairy_ref is not gone:
        return  # it was given back since
    finalize: Any = _finalize_fairy
    if sqlalchemy.__version__.startswith("2.0."):
        # it looks for the reference among others, and one that is dead has no hash
        record.fairy_ref = alive = object()
        finalize(None, record, pool, alive, None, transaction_was_reset=False)
    else:
        finalize(None, record, pool, None, transaction_was_reset=False, is_gc_cleanup=True)
