"""How an outermost block ends its transaction: commit or roll back, then run the hooks of that end."""

from __future__ import annotations

from dbkit.exceptions import CommitUnknown
from dbkit.plan import adrive, drive
from dbkit.transaction.greenlets import to_the_end
from dbkit.transaction.hooks import call, call_or_await
from dbkit.transaction.transaction import Transaction


def end(transaction: Transaction, error: BaseException | None) -> None:
    """End a blocking transaction; raises what :meth:`Transaction.commit` does."""
    committed = False
    try:
        if error is None:
            transaction.commit()
            committed = True
        else:
            transaction.rollback()
    except CommitUnknown:
        transaction.hooks = None
        raise
    finally:
        if transaction.hooks is not None:
            drive(transaction.hooks.running(committed, call))


async def aend(transaction: Transaction, error: BaseException | None) -> None:
    """End an asyncio transaction, whatever becomes of the task meanwhile; raises what :func:`end` does."""
    committed = False
    try:
        if error is None:
            await to_the_end(transaction.commit)
            committed = True
        else:
            await to_the_end(transaction.rollback)
    except CommitUnknown:
        transaction.hooks = None
        raise
    finally:
        if transaction.hooks is not None:
            await adrive(transaction.hooks.running(committed, call_or_await))
