"""Where the steps of many rows are done: in the open block, in one of their own, or each in its own."""

from __future__ import annotations

from typing import Any

from dbkit.ambient import CURRENT
from dbkit.engines.connection import TrackedConnection
from dbkit.exceptions import NoTransaction, UsageError
from dbkit.queries.bulk.batches import Step, Work, Written
from dbkit.queries.where import transaction_of
from dbkit.spec import Handle, Mode, Propagation, TransactionSpec
from dbkit.transaction.block import Block
from dbkit.transaction.greenlets import in_task
from dbkit.transaction.manager import Databased
from dbkit.transaction.scope import nearest

_ALL = TransactionSpec(mode=Mode.WRITER, handle=Handle.CONNECTION)
_EACH = TransactionSpec(mode=Mode.WRITER, handle=Handle.CONNECTION, propagation=Propagation.REQUIRES_NEW)


def _opens(where: Any, each: bool) -> bool:
    """Return whether blocks are opened here.

    :raises UsageError: each batch is to be committed, and the transaction is another one's.
    """
    free = isinstance(where, Databased) and nearest(CURRENT.get(), where.factory) is None
    if each and not free:
        raise UsageError(
            "commit_each=True commits each batch in a transaction of its own, and here a block is open, or was given, "
            "whose end decides about all; leave it out, or pass the Database outside of any block"
        )
    return free


def _block(where: Any, spec: TransactionSpec) -> Block:
    return Block(where.factory, where.factory, spec)


def in_open_block(where: Any) -> TrackedConnection:
    """Return the connection of an open block; what its session has pending goes first."""
    try:
        transaction = transaction_of(where)
    except NoTransaction:
        if isinstance(where, Databased):
            raise NoTransaction("no block of this Database is open here") from None
        raise
    if transaction.session is not None and transaction.session.may_write:
        transaction.session.flush()
    return transaction.connect()


def _walk(connection: TrackedConnection, work: Work) -> Written:
    step = _next(work, None)
    while not isinstance(step, Written):
        step = _next(work, step(connection))
    return step


def _next(work: Work, result: Any) -> Step | Written:
    try:
        return work.send(result)
    except StopIteration as done:
        found: Written = done.value
        return found


def carry_out(where: Any, work: Work, each: bool) -> Written:
    """Do the work where it is to be done."""
    if not _opens(where, each):
        return _walk(in_open_block(where), work)
    if not each:
        with _block(where, _ALL) as connection:
            return _walk(connection, work)
    step = _next(work, None)
    while not isinstance(step, Written):
        with _block(where, _EACH) as connection:
            result = step(connection)
        step = _next(work, result)
    return step


async def acarry_out(where: Any, work: Work, each: bool) -> Written:
    """Do the same in asyncio."""
    if not _opens(where, each):
        return await in_task(lambda: _walk(in_open_block(where), work))
    if not each:
        async with _block(where, _ALL) as connection:
            found: Written = await connection.run_sync(_walk, work)
            return found
    step = _next(work, None)
    while not isinstance(step, Written):
        async with _block(where, _EACH) as connection:
            result = await connection.run_sync(step)
        step = _next(work, result)
    return step
