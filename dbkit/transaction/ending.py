"""How an outermost block ends its transaction: commit or roll back, then run the hooks of that end."""

from __future__ import annotations

from functools import partial

from dbkit.plan import adrive, drive
from dbkit.transaction.greenlets import in_task, to_the_end
from dbkit.transaction.hooks import call, call_or_await, running
from dbkit.transaction.state import State
from dbkit.transaction.transaction import Transaction

_AFTER = {State.COMMITTED: "COMMIT", State.ROLLED_BACK: "ROLLBACK", State.UNKNOWN: "an unknown COMMIT"}


def end(transaction: Transaction, error: BaseException | None) -> None:
    """End a blocking transaction; raises what :meth:`Transaction.commit` does."""
    try:
        if error is None:
            transaction.commit()
        else:
            transaction.rollback(error)
    finally:
        outcome = transaction.outcome
        if transaction.hooks is not None and outcome is not None:
            drive(running(transaction.hooks.of(outcome, transaction.token), _AFTER[outcome], call))


async def aend(transaction: Transaction, error: BaseException | None) -> None:
    """End an asyncio transaction, whatever becomes of the task meanwhile; raises what :func:`end` does."""
    try:
        work = transaction.commit if error is None else partial(transaction.rollback, error)
        await (in_task if transaction.ends_silently else to_the_end)(work)
    finally:
        outcome = transaction.outcome
        if transaction.hooks is not None and outcome is not None:
            await adrive(running(transaction.hooks.of(outcome, transaction.token), _AFTER[outcome], call_or_await))
