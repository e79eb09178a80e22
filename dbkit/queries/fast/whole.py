"""A whole block for one piece of work, which was given a reader in place of an open block."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from dbkit.ambient import innermost
from dbkit.exceptions import UsageError
from dbkit.spec import Propagation
from dbkit.transaction.block import Block
from dbkit.transaction.greenlets import in_task
from dbkit.transaction.manager import ContextManager
from dbkit.transaction.scope import Scope, nearest
from dbkit.transaction.transaction import Transaction

T = TypeVar("T")
Work = Callable[[Transaction], T]


def in_block(where: Any, work: Work[T]) -> T:
    """Do it in a block, or in the open one if it joins; run it again where the reader says so.

    :param where: a reader or writer, or a block, which is not entered by that.
    """
    if _is_run_again(where):
        found: T = where(partial(_in_open, where, _opens_one(where), work))()
        return found
    with _block(where) as scope:
        return _done(scope, scope.root is scope, work)


async def ain_block(where: Any, work: Work[T]) -> T:
    """Do as :func:`in_block` does, in asyncio."""
    if _is_run_again(where):
        is_own = _opens_one(where)

        async def run() -> T:
            return await in_task(partial(_in_open, where, is_own, work))

        found: T = await where(run)()
        return found
    async with _block(where) as scope:
        return await in_task(partial(_done, scope, scope.root is scope, work))


def _block(where: Any) -> Block:
    if isinstance(where, ContextManager):
        raise UsageError("a reader of enginefacade was given without a context; give reader.using(context)")
    made: Block = where if isinstance(where, Block) else where()
    return made.bare()


def _is_run_again(where: Any) -> bool:
    if isinstance(where, (Block, ContextManager)):
        return False
    protection = where.spec.protection
    return protection is not None and protection.retrying is not None


def _opens_one(where: Any) -> bool:
    """Return whether a block of its own transaction is opened, which no other code will see."""
    return where.spec.propagation is Propagation.REQUIRES_NEW or _open_block(where) is None


def _open_block(where: Any) -> Scope | None:
    return nearest(innermost(), where._root.factory)


def _in_open(where: Any, is_own: bool, work: Work[T]) -> T:
    scope = _open_block(where)
    assert scope is not None  # it runs inside the block that was made of it
    return _done(scope, is_own, work)


def _done(scope: Scope, is_own: bool, work: Work[T]) -> T:
    """Do it; what it has found is left as it is when a block of its own ends, though a session would expire it."""
    transaction = scope.physical()
    found = work(transaction)
    if is_own and transaction.session is not None:
        transaction.session.expunge_all()
    return found
