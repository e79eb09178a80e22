"""Which open block is meant: what users pass as ``where`` to the functions of this room.

``where`` is a block's session or connection of either colour, a :class:`.Database`, or a context object; of the last
two it is the innermost open block.
"""

from __future__ import annotations

from _thread import get_ident
from typing import Any, NoReturn

from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session, scoped_session

from dbkit.ambient import CURRENT
from dbkit.engines.connection import TrackedConnection
from dbkit.engines.refusals import refuse_ended
from dbkit.exceptions import HandleNotRequested, NoTransaction, UsageError
from dbkit.spec import Colour
from dbkit.transaction.block import Block
from dbkit.transaction.greenlets import in_greenlet
from dbkit.transaction.manager import Modifiers
from dbkit.transaction.scope import Scope, nearest
from dbkit.transaction.session import BlockSession
from dbkit.transaction.transaction import Transaction


def transaction_of(where: Any) -> Transaction:
    """Return the transaction of the block that is meant; nothing is sent by that.

    In asyncio it is called inside SQLAlchemy's greenlet, such as by ``await in_task(partial(work, where, ...))``.

    :raises NoTransaction: no block is open there.
    :raises TransactionOwnedElsewhere: the block was entered in another thread or task.
    :raises HandleNotRequested: the block runs in asyncio, and a blocking function was called.
    :raises UsageError: it is nothing of the kind.
    """
    if where.__class__ is BlockSession:
        block: Any = where.block
        if block.colour is Colour.BLOCKING or in_greenlet():
            found: Transaction = block
            return found
        _refuse_blocking()
    scope: Scope | None = CURRENT.get()
    if scope is not None and scope.named is where and scope.is_open and scope.owner == get_ident():
        return scope.root.transaction or scope.physical()
    try:
        key = where._dbkit_key
    except AttributeError:
        return _other(where)
    if scope is None or scope.key is not key or not scope.is_open or scope.owner != get_ident():
        scope = _scope(where, key, scope)
    else:
        scope.named = where
    return scope.root.transaction or scope.physical()


def connection_of(where: Any) -> TrackedConnection:
    """Return the connection of the block that is meant; raises what :func:`transaction_of` does.

    :raises TransactionDoomed: an earlier error has lost the transaction.
    """
    return transaction_of(where).connect()


def session_of(where: Any) -> BlockSession:
    """Return the session of the block that is meant, made if it has none; raises what :func:`transaction_of` does."""
    return transaction_of(where).open_session()


def _scope(where: Any, key: Any, scope: Scope | None) -> Scope:
    if scope is not None and (scope.key is not key or not scope.is_open):
        scope = nearest(scope.outer, key)
    if scope is None:
        raise NoTransaction(
            f"no block of this {type(where).__name__} is open here; call it inside a function decorated with a reader "
            "or writer, or inside a `with` block"
        )
    scope.check_user("connection")
    return scope


def _other(where: Any) -> Transaction:
    """Find the transaction of what is met less often."""
    kind = type(where).__name__
    if isinstance(where, scoped_session):
        where = where()
    if isinstance(where, BlockSession):
        refuse_ended()
    if isinstance(where, TrackedConnection):
        if where.block is None:
            refuse_ended()
        transaction: Transaction = where.block
        if transaction.colour is not Colour.BLOCKING and not in_greenlet():
            _refuse_blocking()
        return transaction
    for name in ("sync_session", "sync_connection"):  # AsyncSession, AsyncConnection
        inner = getattr(where, name, None)
        if isinstance(inner, (Session, Connection)):
            if not in_greenlet():
                _refuse_blocking()
            return transaction_of(inner)
    if isinstance(where, (Session, Connection)):
        raise UsageError(
            f"a {kind} was given that belongs to no block of dbkit; pass the session or connection of a block, a "
            "Database, or a context object"
        )
    if isinstance(where, (Modifiers, Block)):
        raise UsageError(
            "a reader or writer was given, and this function works in an open block: write `with ... as session:` "
            "around it and pass the session; a lookup's all(), one(), one_or_none() and first() can be given a reader"
        )
    if hasattr(type(where), "transaction_ctx"):
        return _scope(where, where, None).physical()
    raise UsageError(
        f"an object of class {kind} stands where the open block belongs, the first argument; pass the session or "
        "connection of a block, a Database, or a context object"
    )


def _refuse_blocking() -> NoReturn:
    raise HandleNotRequested(
        "the open block runs in asyncio, and this function is the blocking one; await its asyncio twin"
    )
