"""Where a page is read: in an open block, or on a session or connection of plain SQLAlchemy's."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.orm import Session, scoped_session

from dbkit.engines.connection import TrackedConnection
from dbkit.exceptions import HandleNotRequested
from dbkit.queries.where import connection_of, session_of
from dbkit.transaction.greenlets import in_greenlet
from dbkit.transaction.session import BlockSession


def handle_of(where: Any) -> Session | Connection:
    """Return the session or connection that is meant; nothing is sent by that.

    Of a ``Database`` and a context object it is the open block's session.

    :raises HandleNotRequested: it is one of asyncio, and a blocking method was called.
    :raises NoTransaction: no block is open there, or it has ended.
    :raises TransactionOwnedElsewhere: the block was entered in another thread or task.
    :raises UsageError: it is nothing of the kind.
    """
    if isinstance(where, scoped_session):
        where = where()
    for name in ("sync_session", "sync_connection"):  # AsyncSession, AsyncConnection
        inner = getattr(where, name, None)
        if isinstance(inner, Session | Connection):
            if not in_greenlet():
                raise HandleNotRequested(
                    f"the {type(where).__name__} is one of asyncio, and this method is the blocking one; await its "
                    "asyncio twin"
                )
            where = inner
    if isinstance(where, TrackedConnection):
        return connection_of(where)
    if isinstance(where, Session | Connection) and not isinstance(where, BlockSession):
        return where
    return session_of(where)


def dialect_of(handle: Session | Connection, statement: Any) -> Dialect:
    """Return the dialect that a statement gets there."""
    return handle.get_bind(clause=statement).dialect if isinstance(handle, Session) else handle.dialect
