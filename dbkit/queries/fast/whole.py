"""A whole block for one piece of work, which was given a reader in place of an open block."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from dbkit.ambient import innermost
from dbkit.exceptions import UsageError
from dbkit.transaction.block import Block
from dbkit.transaction.greenlets import in_task
from dbkit.transaction.manager import ContextManager
from dbkit.transaction.scope import nearest
from dbkit.transaction.transaction import Transaction

T = TypeVar("T")
Work = Callable[[Transaction], T]


def in_block(where: Any, work: Work[T]) -> T:
    """Do it in a block, or in the open one if it joins; run it again where the reader says so.

    :param where: a reader or writer, or a block that was not entered.
    """
    if _is_run_again(where):
        found: T = where(partial(_in_open, where, work))()
        return found
    with _block(where) as scope:
        return work(scope.physical())


async def ain_block(where: Any, work: Work[T]) -> T:
    """Do as :func:`in_block` does, in asyncio."""
    if _is_run_again(where):

        async def run() -> T:
            return await in_task(partial(_in_open, where, work))

        found: T = await where(run)()
        return found
    async with _block(where) as scope:
        return await in_task(lambda: work(scope.physical()))


def _block(where: Any) -> Block:
    if isinstance(where, ContextManager):
        raise UsageError("a reader of enginefacade was given without a context; give reader.using(context)")
    found: Block = where if isinstance(where, Block) else where()
    found.is_bare = True
    return found


def _is_run_again(where: Any) -> bool:
    if isinstance(where, (Block, ContextManager)):
        return False
    protection = where.spec.protection
    return protection is not None and protection.retrying is not None


def _in_open(where: Any, work: Work[T]) -> T:
    scope = nearest(innermost(), where._root.factory)
    assert scope is not None  # it runs inside the block that was made of it
    return work(scope.physical())
